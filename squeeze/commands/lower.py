"""`squeeze lower`: any quantised ONNX file in, the same model with our fused ops out, measured before and after."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from squeeze import account, graph, measure, ops, runtimes, teacher
from squeeze.errors import ConfigError, MeasureError, UnsupportedError
from squeeze.graph.agreement import objector, step_of
from squeeze.graph.choose import fastest, sound
from squeeze.interface_changes import compare_interfaces
from squeeze.measure.timing import time_sessions
from squeeze.progress import Progress
from squeeze.runtimes.ort import first_line
from squeeze.runtimes.signature import generate, signature
from squeeze.teacher.onnx.quantised import how_quantised
from squeeze.workdir import check_target_file, write_target_file

if TYPE_CHECKING:
    import onnx_ir as ir
    import onnxruntime as ort

    from squeeze.note import Note
    from squeeze.teacher.onnx.quantised import Kind, Quantised

Json = dict[str, Any]  # Any: JSON
Feeds = dict[str, np.ndarray[Any, Any]]  # Any: what the inputs take

# DequantizeLinear takes a scale per channel since then.
LEAST_OPSET = 13
RUNS = 200
SECONDS = 10.0
RANDOM_INPUTS = 8
# What to do with files of which our ops compute nothing, by how they are quantised.
INSTEAD: dict[Kind, str] = {
    "dynamic": "our ops take activations with fixed scales: give the float model to squeeze quantize",
    "operators": "save it in QDQ format (QuantFormat.QDQ of onnxruntime's quantize_static)",
    "weights": "our int8 ops take 8-bit activations too: give the float model to squeeze quantize",
    "wide": "our ops take 8 bits: quantise activations to uint8, or run the file as it is",
    "qdq": "",
}
# Sizes for axes that are open, batches aside: the outputs are compared on the first that the file runs on.
TRIED = (64, 224, 16)


def lower_file(
    model: str | Path,
    out: str | Path,
    *,
    measured: bool = True,
    threads: int = 1,
    progress: Progress | None = None,
) -> Json:
    """Writes the lowered `model` to `out` and says what was done, how fast it is, and how far its outputs moved.

    With `measured`, and where our library is there, kinds of ops that do not pay are left out; its speed decides, that
    of the stock runtime is `stock_speed`. Raises ConfigError or UnsupportedError, and writes nothing, for what is no
    QDQ model, is lowered already, does not get faster, or where the lowered file would not do what this one does;
    MeasureError for what the runtime does not take.
    """
    progress = progress or Progress()
    path, target = Path(model), Path(out)
    _check_paths(path, target)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        plain = teacher.self_contained(path, folder)
        given = graph.load(plain)
        quantised = how_quantised(onnx.load(plain))
        _check_model(path, given, quantised)
        _check_runs(path, plain)
        progress.begin("lower")
        began = time.perf_counter()
        not_measured = _why_not_measured(plain, measured)
        feeds = _tries(plain)
        try:
            objection = objector(given, plain, feeds[:2])
        except MeasureError as e:
            raise MeasureError(f"{path}: {e}") from e
        speed: Json | None = None
        stock_speed: Json | None = None
        if not_measured is None:
            found = fastest(
                given, plain, folder, lambda a, b: _times(a, b, threads)["ratio"], objection
            )
            chosen = found[0] if found is not None else None
        else:
            chosen = sound(given, plain, folder, objection)
        if chosen is None:
            raise UnsupportedError(f"{path}: {_nothing_fits(given, quantised)}")
        if not chosen.made:
            raise UnsupportedError(
                f"{path}: {chosen.notes[-1].why}; nothing was written, the file runs as it is. Please report this"
            )
        if not_measured is None:
            speed = _times(chosen.path, plain, threads)
            stock_speed = _times(chosen.path, plain, threads, native=False)
            if speed["ratio"] >= 1.0:
                raise UnsupportedError(
                    f"{path}: lowering does not make it faster on this machine ({1 / speed['ratio']:.2f}x its speed at "
                    "best); --no-measure writes it all the same"
                )
        result = graph.load(chosen.path)
        difference = _difference(path, plain, chosen.path, given, feeds) if feeds else None
        changes = compare_interfaces(path, chosen.path)
        data = chosen.path.read_bytes()
        before_bytes = account.file_bytes(path)
    write_target_file(target, data)
    counts = {
        op.removeprefix(f"{ops.DOMAIN}::"): n
        for op, n in graph.count_ops(result).items()
        if op.startswith(ops.DOMAIN)
    }
    progress.end(", ".join(f"{n} {op}" for op, n in counts.items()), time.perf_counter() - began)
    return {
        "model": str(path),
        "out": str(target),
        "lowered": counts,
        "notes": [note.to_json() for note in chosen.notes],
        "speed": speed,
        "stock_speed": stock_speed,
        "not_measured": not_measured,
        "difference": difference,
        "bytes": {"before": before_bytes, "after": len(data)},
        "interface_changes": changes,
    }


def _check_paths(path: Path, target: Path) -> None:
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise ConfigError(f"{path}: {what}; a quantised .onnx file is wanted")
    check_target_file(target, path)


def _check_runs(path: Path, plain: Path) -> None:
    """The passes count on a graph that a runtime accepts."""
    try:
        runtimes.session(plain)
    except MeasureError as e:
        raise MeasureError(str(e).replace(str(plain), str(path))) from e


def _check_model(path: Path, model: ir.Model, quantised: Quantised | None) -> None:
    if ops.DOMAIN in model.graph.opset_imports:
        raise ConfigError(f"{path}: is lowered already; give the QDQ file that it was made from")
    if quantised is None:
        raise ConfigError(
            f"{path}: is not quantised; quantise first: squeeze quantize, or a tool that writes QDQ"
        )
    if not any(op.endswith("DequantizeLinear") for op in graph.count_ops(model)):
        raise UnsupportedError(f"{path}: {quantised.words}; {INSTEAD[quantised.kind]}")
    opset = model.graph.opset_imports.get("", 0)
    if opset < LEAST_OPSET:
        raise UnsupportedError(
            f"{path}: opset {opset}; {LEAST_OPSET} is the least for scales per channel: convert it with "
            "onnx.version_converter"
        )


def _why_not_measured(plain: Path, measured: bool) -> str | None:
    if ops.library_path() is None:
        why: str | None = "the native library is not built on this machine"
    else:
        why = _open_size(plain) if measured else "--no-measure"
    return None if why is None else f"{why}; all that fits was lowered"


def _open_size(plain: Path) -> str | None:
    """Why no random inputs can be made, or None."""
    try:
        _feeds(runtimes.session(plain), 0)
    except (ConfigError, UnsupportedError) as e:
        return str(e).partition(";")[0]
    return None


def _tries(plain: Path) -> list[Feeds]:
    """Random inputs that the file runs on; none where it runs on none that we can make. Open sizes are TRIED."""
    opened = runtimes.session(plain)
    for size in TRIED:
        feeds = [_feeds(opened, seed, size) for seed in range(RANDOM_INPUTS)]
        try:
            opened.run(None, feeds[0])
        except runtimes.ORT_ERRORS:
            continue
        return feeds
    return []


def _times(model: Path, against: Path, threads: int, *, native: bool = True) -> Json:
    opened = {
        n: runtimes.session(p, threads=threads, native=native)
        for n, p in (("after", model), ("before", against))
    }
    feeds = dict.fromkeys(opened, _feeds(opened["before"], 0))
    found = time_sessions(opened, feeds, threads=threads, runs=RUNS, max_seconds=SECONDS)
    compared = measure.compared(found["after"], found["before"])
    return {
        "ratio": compared.ratio,
        "ratio_p10": compared.ratio_p10,
        "ratio_p90": compared.ratio_p90,
        "steady": compared.steady,
        "before_ms": compared.against_p50_ms,
        "after_ms": compared.model_p50_ms,
        "runs": found["after"].runs,
        "threads": threads,
    }


def _difference(
    path: Path, plain: Path, lowered: Path, model: ir.Model, feeds: list[Feeds]
) -> Json:
    """How far outputs moved, in steps of their quantiser, on random inputs; and how far the runtime's own optimiser
    moves those of the plain model, to compare with."""
    before = runtimes.session(plain)
    names = [output.name for output in before.get_outputs()]

    def outputs(
        opened: ort.InferenceSession,
    ) -> list[np.ndarray[Any, Any]]:  # per name [inputs, ...]
        try:
            runs = [opened.run(names, feed) for feed in feeds]
        except runtimes.ORT_ERRORS as e:
            raise MeasureError(f"{path}: fails on random inputs: {first_line(e)}") from e
        return [np.stack(found).astype(np.float64) for found in zip(*runs, strict=True)]

    wanted = outputs(before)
    got = outputs(runtimes.session(lowered))
    plainly = outputs(runtimes.session(plain, optimise=False))
    steps = [step_of(next(v for v in model.graph.outputs if v.name == name)) for name in names]
    # Where a float layer is last: what one of 256 steps over its range would be.
    widths = [
        step or float(y.max(initial=0.0) - y.min(initial=0.0)) / 255 or 1.0
        for step, y in zip(steps, wanted, strict=True)
    ]

    def moved(other: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        apart = [
            np.abs(a - b).reshape(-1) / w for a, b, w in zip(other, wanted, widths, strict=True)
        ]
        return np.concatenate(apart)

    return {
        "max_steps": float(moved(got).max(initial=0.0)),
        "share_moved": float(np.mean(moved(got) > 0.5)),
        "optimiser_max_steps": float(moved(plainly).max(initial=0.0)),
        "step_of": "its range / 255" if None in steps else "its quantiser",
        "random_inputs": RANDOM_INPUTS,
    }


def _feeds(session: ort.InferenceSession, seed: int, size: int | None = None) -> Feeds:
    """One random input for each name. Raises ConfigError where an axis is open and there is no `size` for it."""
    found = {}
    for needs in signature(session):
        shape = None
        if size is not None:
            shape = tuple(
                d if isinstance(d, int) else 1 if i == needs.batch_axis else size
                for i, d in enumerate(needs.shape)
            )
        found[needs.name] = generate(needs, shape, seed)
    return found


def _nothing_fits(model: ir.Model, quantised: Quantised | None) -> str:
    if quantised is not None and quantised.kind != "qdq":
        return f"{quantised.words}; {INSTEAD[quantised.kind]}"
    return f"nothing in it fits one of our ops. {_reasons(graph.lower(model)[1])}"


def _reasons(notes: list[Note]) -> str:
    return "; ".join(n.why for n in notes[:3] if not n.kept) or "It has no quantised layer."
