"""From a float network to what a device runs: passes, int8, our fused ops. Each is kept only when it is faster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze import graph, quant, runtimes
from squeeze.account.sizes import is_float
from squeeze.errors import ConfigError
from squeeze.front import Candidate
from squeeze.note import Note
from squeeze.quant.keep import kept, remember
from squeeze.steps.fault import told
from squeeze.steps.lowering import put_ops
from squeeze.steps.placing import placed
from squeeze.steps.recurrent import dynamic
from squeeze.steps.samples import calibrate_lost, calibration_passes, shown
from squeeze.steps.storing import stored
from squeeze.steps.timing import FASTER, compared
from squeeze.workdir import digest_file

if TYPE_CHECKING:
    from pathlib import Path

    import onnx_ir as ir

    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.feed import Passes
    from squeeze.measure import Comparison
    from squeeze.net import FloatNet
    from squeeze.run import At, Run
    from squeeze.spec import QuantPart

Json = dict[str, Any]  # Any: JSON

_BITS = {"float": 32, "int8": 8}
# What the step is called for the two networks that nearly every compile has.
_USUAL = {"kept": "keep", "student": "quantise"}


def deploy(
    run: Run,
    case: Case,
    device: Device,
    net: FloatNet,
    part: QuantPart,
    *,
    slower: bool = False,
) -> list[Candidate]:
    """The float file of `net` and, where it is faster on the device, the int8 file; with `slower` also where not, and
    then one with weights alone in int8 besides.

    Nothing that goes wrong in passes or quantisation stops it: then there is the float file, with the reason.
    """
    case = case.judging(net)
    step = run.step(
        _USUAL.get(net.origin, net.step("quantise")),
        build,
        measured_on=device,
        repeated=net.origin == "kept",
        net=net,
        case=case.blind(),
        part=part,
        seed=run.seed,
        threads=run.threads,
    )
    made = step.result["forms"]
    forms = {
        form: Candidate.of(net, form, step.path / f"{form}.onnx", f, _BITS[form])
        for form, f in made.items()
    }
    found = [candidate for form, candidate in forms.items() if made[form]["kept"] or slower]
    runs_float = not device.integers_only
    wanted = slower and not ("int8" in forms and made["int8"]["kept"])
    if runs_float and part.enabled and (wanted or part.weights_only):
        weights_alone = stored(run, case, device, forms["float"], part)
        found += [weights_alone] if weights_alone is not None else []
    int8 = forms.get("int8")
    # Parts in float and LSTMs on integers are chosen by what kernels take in ONNX Runtime on this CPU.
    if int8 is not None and device.runtime is None:
        undone = graph.undone(step.result["tried"])
        in_parts = placed(run, case, device, forms["float"], int8, part, undone)
        on_integers = dynamic(run, case, device, forms["float"], int8, part)
        found += [c for c in (in_parts, on_integers) if c is not None]
    return found


def build(
    at: At,
    *,
    device: Device,
    net: FloatNet,
    case: Case,
    part: QuantPart,
    seed: int,
    threads: int,
) -> Json:
    """Writes `float.onnx` and, where it is kept, `int8.onnx`."""
    passes = calibration_passes(case, part, seed=seed, threads=threads)
    passes = shown(passes, min(part.samples, len(case.data.calibrate)), at.progress)
    sample = case.data.feed(case.data.calibrate, 0, 1)
    model = graph.load(net.file)
    at.progress.update(0, 0, "rewriting the graph")
    known = remember(model, part.keep_float)
    passes_done = graph.optimise(model, sample, case.interface)
    kept(model, part.keep_float, known)
    float_file, int8_file = at.folder / "float.onnx", at.folder / "int8.onnx"
    graph.save(model, float_file)
    notes = passes_done.notes
    files = {float_file: True}
    if not part.enabled or part.weights_only:
        why = (
            "weights alone were asked for"
            if part.enabled
            else "the recipe switches quantisation off"
        )
        notes.append(Note("int8", False, why))
        return _result(at, "float, as the recipe says", notes, case, files, threads)
    tried = list(notes)
    try:
        summary, files[int8_file] = _int8(
            at, device, model, float_file, int8_file, case, part, passes, tried
        )
        return _result(at, summary, tried, case, files, threads)
    except ConfigError:
        raise  # of the data or the recipe; what follows is ours
    except Exception as e:
        why = told("int8 failed, the float file is kept", e, at.folder)
        notes.append(Note("int8", False, f"failed: {why}"))
        for file in at.folder.glob("*.onnx"):
            if file != float_file:
                file.unlink()
        return _result(at, f"float: int8 failed: {why}", notes, case, {float_file: True}, threads)


def _int8(
    at: At,
    device: Device,
    model: ir.Model,
    float_file: Path,
    int8_file: Path,
    case: Case,
    part: QuantPart,
    passes: Passes,
    notes: list[Note],
) -> tuple[str, bool]:
    """Writes `int8_file`; the summary, and whether it is faster than `float_file`. Removes a file that has no integers:
    nothing in the graph could be int8."""
    quantised = quant.quantize(
        model,
        passes,
        activations=device.numerics.activations,
        part=part,
        progress=at.progress,
        reduce_range=device.numerics.safe_weights,
    )
    notes.extend(quantised.notes)
    at.progress.update(0, 0, "timing int8 against float")
    graph.save(quantised.model, int8_file)
    if is_float(int8_file):
        int8_file.unlink()
        return f"float: {quantised.notes[0].why}", False
    sample = case.data.feed(case.data.calibrate, 0, 1)
    stock_ops = runtimes.fused_ops(int8_file)
    stock = compared(device, int8_file, float_file, sample, case.interface)
    lowered = put_ops(
        device,
        quantised.model,
        int8_file,
        sample,
        case.interface,
        notes,
        keep_names=True,
        progress=at.progress,
    )
    # On what counts, the target: with our library where the target takes it.
    taken = compared(device, int8_file, float_file, sample, case.interface) if lowered else stock
    if device.integers_only:
        why = f"the only form that {device.name} runs"
        notes.append(Note("int8", True, why, {"ratio": taken.ratio}))
        return f"int8, {why}", True
    why = _why(taken, stock, lowered, {} if device.runtime else stock_ops)
    kept = taken.ratio < FASTER
    numbers = {"ratio": taken.ratio, "qdq_ratio": stock.ratio, "steady": taken.steady}
    if not kept:
        why = f"{'not faster' if taken.what == 'latency' else 'not cheaper'}: {why}"
    notes.append(Note("int8", kept, why, numbers))
    return f"int8, {why}", kept


def _why(taken: Comparison, stock: Comparison, lowered: int, stock_ops: dict[str, int]) -> str:
    why = taken.said("the float graph")
    if lowered:
        why += f" with {lowered} fused ops, {1 / stock.ratio:.1f}x as plain QDQ"
    convolutions = sum(n for op, n in stock_ops.items() if "Conv" in op)
    if convolutions:
        why += f"; {stock_ops.get('QLinearConv', 0)} of {convolutions} convolutions run in int8"
    if not taken.steady:
        why += f" (the machine is busy: {1 / taken.ratio_p90:.1f}x to {1 / taken.ratio_p10:.1f}x)"
    return why


def _result(
    at: At, summary: str, notes: list[Note], case: Case, files: dict[Path, bool], threads: int
) -> Json:
    """files: those that were made, and whether each is kept."""
    return {
        "summary": summary,
        "tried": [note.to_json() for note in notes],
        "forms": {
            file.stem: {
                "digest": digest_file(file),
                **calibrate_lost(case, file, threads=threads, progress=at.progress).to_json(),
                "kept": kept,
            }
            for file, kept in files.items()
            if file.exists()
        },
    }
