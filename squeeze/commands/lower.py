"""`squeeze lower`: any quantised ONNX file in, the same model with our fused ops out, measured before and after."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from squeeze import account, graph, ops, runtimes, teacher
from squeeze.commands.effect import difference, timed_shapes, times, tries
from squeeze.errors import ConfigError, MeasureError, UnsupportedError
from squeeze.graph.agreement import objector
from squeeze.graph.choose import fastest, sound
from squeeze.interface_changes import compare_interfaces
from squeeze.progress import Progress
from squeeze.runtimes.confined import check_within
from squeeze.runtimes.shapes import ANY
from squeeze.teacher.onnx.quantised import how_quantised
from squeeze.workdir import check_target_file, write_target_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir

    from squeeze.note import Note
    from squeeze.teacher.onnx.quantised import Kind, Quantised

Json = dict[str, Any]  # Any: JSON

# DequantizeLinear takes a scale per channel since then.
LEAST_OPSET = 13
# What to do with files of which our ops compute nothing, by how they are quantised.
INSTEAD: dict[Kind, str] = {
    "dynamic": "our ops take activations with fixed scales: give the float model to squeeze quantize",
    "operators": "save it in QDQ format (QuantFormat.QDQ of onnxruntime's quantize_static)",
    "weights": "our int8 ops take 8-bit activations too: give the float model to squeeze quantize",
    "wide": "our ops take 8 bits: quantise activations to uint8, or run the file as it is",
    "qdq": "",
}


def lower_file(
    model: str | Path,
    out: str | Path,
    *,
    measured: bool = True,
    threads: int = 1,
    shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    progress: Progress | None = None,
) -> Json:
    """Writes the lowered `model` to `out` and says what was done, how fast it is, and how far its outputs moved.

    With `measured`, and where our library is there, kinds of ops that do not pay are left out; its speed decides, that
    of the stock runtime is `stock_speed`. Sizes that the model leaves open are those of `shape` (batch included; by
    input, or one for all inputs with as many axes) or of its own metadata; where neither says them, nothing is timed.
    Raises ConfigError or UnsupportedError, and writes nothing, for what is no
    QDQ model, is lowered already, does not get faster, or where the lowered file would not do what this one does;
    MeasureError for what the runtime does not take.
    """
    progress = progress or Progress()
    path, target = Path(model), Path(out)
    _check_paths(path, target)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        plain = teacher.self_contained(path, folder)
        check_within(plain, path, plain.stat().st_size, shapes=_by_input(shape))
        given = graph.load(plain)
        quantised = _checked(path, given, how_quantised(onnx.load(plain)))
        _check_runs(path, plain)
        progress.begin("lower")
        began = time.perf_counter()
        shapes, open_sizes = timed_shapes(plain, _by_input(shape))
        not_measured = _why_not_measured(open_sizes, measured)
        feeds = tries(plain, shapes)
        try:
            objection = objector(given, plain, feeds[:2])
        except MeasureError as e:
            raise MeasureError(f"{path}: {e}") from e
        timed: dict[tuple[Path, Path], Json] = {}

        def ratio(a: Path, b: Path) -> float:
            assert shapes is not None  # not_measured
            timed[a, b] = times(a, b, shapes, threads)
            return float(timed[a, b]["ratio"])

        speed: Json | None = None
        stock_speed: Json | None = None
        if not_measured is None:
            found = fastest(given, plain, folder, ratio, objection)
            chosen = found[0] if found is not None else None
        else:
            chosen = sound(given, plain, folder, objection)
        if chosen is None:
            raise UnsupportedError(f"{path}: {_nothing_fits(given, quantised)}")
        if not chosen.made:
            raise UnsupportedError(
                f"{path}: {chosen.notes[-1].why}; nothing was written, the file runs as it is. Please report this"
            )
        if not_measured is None and shapes is not None:
            speed = timed[chosen.path, plain]
            stock_speed = times(chosen.path, plain, shapes, threads, native=False)
            if speed["ratio"] >= 1.0:
                raise UnsupportedError(
                    f"{path}: lowering does not make it faster on this machine ({1 / speed['ratio']:.2f}x its speed at "
                    "best); --no-measure writes it all the same"
                )
        result = graph.load(chosen.path)
        moved = difference(path, plain, chosen.path, given, feeds) if feeds else None
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
        "difference": moved,
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


def _checked(path: Path, model: ir.Model, quantised: Quantised | None) -> Quantised:
    """How the model is quantised, when lowering knows that way. Raises ConfigError or UnsupportedError."""
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
    return quantised


def _by_input(
    shape: Sequence[int] | Mapping[str, Sequence[int]] | None,
) -> dict[str, Sequence[int]]:
    return dict(shape) if isinstance(shape, Mapping) else {} if shape is None else {ANY: shape}


def _why_not_measured(open_sizes: str, measured: bool) -> str | None:
    if ops.library_path() is None:
        why = "the native library is not built on this machine"
    else:
        why = open_sizes if measured else "--no-measure"
    return f"{why}; all that fits was lowered" if why else None


def _nothing_fits(model: ir.Model, quantised: Quantised) -> str:
    if quantised.kind != "qdq":
        return f"{quantised.words}; {INSTEAD[quantised.kind]}"
    return f"nothing in it fits one of our ops. {_reasons(graph.lower(model)[1])}"


def _reasons(notes: list[Note]) -> str:
    return "; ".join(n.why for n in notes[:3] if not n.kept) or "It has no quantised layer."
