"""int8 files on x86 CPUs with VNNI and without: what saturating sums cost, and what weights that avoid them cost.

python -m benchmarks.old_cpu                     all cases; replaces this machine's rows in results/old_cpu.json
python -m benchmarks.old_cpu --only resnet20     cases whose name has this text; writes nothing

Each teacher becomes int8 after training, with the same ranges and no bias correction, so that weights alone differ:

    full      weights of -127..127
    reduced   weights of -63..63
    any       the smallest scales with which no two weights of a channel can saturate together
    runtime   the smallest scales with which no two weights that ONNX Runtime adds can

`metric` is what a CPU with VNNI gives, `old_metric` what one without gives (emulated, or proven equal where nothing can
saturate); `error` and `old_error` are the root mean square differences of the outputs to the float ones, in percent of
their deviation. `qemu_equal`: of so many images, on how many the emulated outputs are those of qemu's Haswell, to the
bit; null without qemu.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from benchmarks import qemu, results_file
from benchmarks.cases import CASES, Case, MissingData
from squeeze import calib as calibration
from squeeze import graph, measure, quant, runtimes, teacher
from squeeze.calib import Calib
from squeeze.graph.values import constant, integer, is_op, producer
from squeeze.interface import Interface
from squeeze.metrics import Reading
from squeeze.old_x86.emulation import Emulated, emulated
from squeeze.old_x86.saturation import safe_scales
from squeeze.quant.ranges.grid import Grid, quantise_bias, quantise_weights, weight_scales
from squeeze.spec import QuantPart

RESULTS = Path(__file__).parent / "results" / "old_cpu.json"
NAMES = ("fashion", "cifar-resnet20", "cifar-resnet56", "mlperf-resnet8", "mlperf-mobilenetv1")
GRID = Grid(np.dtype(np.uint8))
IMAGES, QEMU_IMAGES, SAMPLES, SEED = 1000, 8, 512, 0
PART = QuantPart(samples=SAMPLES, bias_correction=False)
SCALES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float32]]] = {
    "reduced": lambda weights: weight_scales(weights, Grid(GRID.dtype, 63)),
    "any": lambda weights: safe_scales(weights, pairs="any"),
    "runtime": lambda weights: safe_scales(weights, pairs="runtime"),
}
logger = logging.getLogger(__name__)
Json = dict[str, Any]  # Any: JSON
Array = NDArray[np.generic]


def main() -> None:
    """Measures, writes results."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logger.setLevel(logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="cases with this text; writes nothing")
    given = parser.parse_args()
    rows: list[Json] = []
    for name in NAMES:
        if given.only in name:
            try:
                rows += measured(CASES[name])
            except MissingData as e:
                logger.info("%s: left out: %s", name, e)
    if not given.only:
        results_file.write(RESULTS, "python -m benchmarks.old_cpu", rows)


def measured(case: Case) -> list[Json]:
    """One row for each scheme. Raises MissingData."""
    with tempfile.TemporaryDirectory(prefix="squeeze-") as scratch:
        folder = Path(scratch)
        model, data, interface = loaded(case, folder)
        chosen = data.sample(data.calibrate, SAMPLES, SEED)
        passes = data.passes(interface, data.calibrate, chosen, 32)
        full = quant.quantize(model, passes, activations="uint8", part=PART).model
        schemes = {"full": full}
        for scheme, scales in SCALES.items():
            schemes[scheme] = with_scales(full, model, scales)
        graph.save(model, folder / "float.onnx")
        metric, exact = judged(folder / "float.onnx", case, data, interface)
        rows = []
        for scheme, int8 in schemes.items():
            path = folder / f"{scheme}.onnx"
            graph.save(int8, path)
            row = {"case": case.name, "scheme": scheme, "fp32_metric": round(metric, 4)}
            rows.append({**row, **compared(path, case, data, interface, exact)})
            logger.info("%s", rows[-1])
        return rows


def loaded(case: Case, folder: Path) -> tuple[ir.Model, Calib, Interface]:
    """The optimised float graph of a case's teacher, and its data with at most IMAGES to be evaluated on."""
    raw = calibration.load(case.calib(), seed=SEED)
    example = raw.feed(raw.fit, 0, 4)
    found = teacher.load(str(case.teacher_path()), weights=None, example=example, folder=folder)
    data = raw.fitted(found.interface)
    some = data.evaluate
    labels = some.y[:IMAGES] if some.y is not None else None
    arrays = {name: x[:IMAGES] for name, x in some.arrays.items()}
    data = replace(data, evaluate=replace(some, arrays=arrays, y=labels))
    model = graph.load(found.model)
    graph.optimise(model, data.feed(data.fit, 0, 1), found.interface)
    return model, data, found.interface


def judged(path: Path, case: Case, data: Calib, interface: Interface) -> tuple[float, Array]:
    """The case's metric on the evaluation split, and the outputs that it was computed from."""
    name = interface.only_output.name
    reading = Reading(name, case.metric)
    found = measure.evaluate(path, data, data.evaluate, (reading,), interface=interface)
    return found.scores[0].value, found.outputs[name]


def compared(path: Path, case: Case, data: Calib, interface: Interface, exact: Array) -> Json:
    """What an int8 file gives with VNNI and without; `exact` are the outputs of the float one."""
    found = emulated(path)
    old = path.with_suffix(".old.onnx")
    old.write_bytes(found.model)
    # On a CPU without VNNI the file itself would saturate.
    new = path.with_suffix(".new.onnx")
    new.write_bytes(emulated(path, saturate=False).model)
    metric, outputs = judged(new, case, data, interface)
    old_metric, old_outputs = judged(old, case, data, interface)
    changed = np.argmax(outputs, axis=1) != np.argmax(old_outputs, axis=1)
    return {
        "metric": round(metric, 4),
        "old_metric": round(old_metric, 4),
        "old_source": "emulated" if found.layers else "proven equal",
        "images": len(outputs),
        "changed_top1": int(changed.sum()),
        "error": error(outputs, exact),
        "old_error": error(old_outputs, exact),
        "layers_at_risk": len(found.layers),
        "pairs_at_risk": sum(layer.pairs_at_risk for layer in found.layers),
        "qemu_equal": equal_in_qemu(path, found, data),
        "qemu_images": QEMU_IMAGES,
    }


def error(outputs: Array, exact: Array) -> float:
    """Root mean square difference in percent of the deviation of `exact`."""
    wide = exact.astype(np.float64)
    apart = outputs.astype(np.float64) - wide
    return round(float(100 * np.sqrt(np.mean(apart**2)) / wide.std()), 3)


def equal_in_qemu(path: Path, found: Emulated, data: Calib) -> int | None:
    """On how many of QEMU_IMAGES images qemu gives the emulated outputs; None without qemu."""
    if not qemu.available():
        return None
    x = data.inputs(data.evaluate, 0, QEMU_IMAGES)
    ran = qemu.outputs([(path.read_bytes(), x)])[0]
    emulation = runtimes.run(runtimes.session(found.model), x)
    return int((ran == emulation).reshape(len(x), -1).all(axis=1).sum())


def with_scales(
    full: ir.Model, model: ir.Model, scale: Callable[[NDArray[np.float64]], NDArray[np.float32]]
) -> ir.Model:
    """A copy of the int8 graph `full`, whose weights are those of the float `model` on the scales from `scale`."""
    copy = ir.serde.deserialize_model(ir.serde.serialize_model(full))
    original = {node.name: node for node in model.graph}
    for node in copy.graph:
        if not is_op(node, "Conv", "Gemm", "MatMul"):
            continue
        x, weight, *rest = (producer(value, "DequantizeLinear") for value in node.inputs)
        if x is None or weight is None:
            continue
        axis = 0 if is_op(node, "Conv") or integer(node, "transB", 0) else 1
        inputs = original[node.name].inputs
        wide = np.moveaxis(numbers(inputs[1]), axis, 0)
        if is_op(node, "Conv") and wide.shape[1] == 1 and integer(node, "group", 1) == len(wide):
            continue  # depthwise: exact everywhere
        bias = numbers(inputs[2]).reshape(-1) if len(inputs) > 2 else np.zeros(len(wide))
        x_scale = float(numbers(x.inputs[1]).item())
        scales = np.maximum(weight_scales(wide, GRID, bias, x_scale), scale(wide))
        integers = np.moveaxis(quantise_weights(wide, scales, GRID), 0, axis)
        change(weight, integers, scales)
        if rest and rest[0] is not None:
            steps = quantise_bias(bias, x_scale, scales)
            change(rest[0], steps, np.float32(x_scale) * scales)
    return copy


def numbers(value: ir.Value | None) -> NDArray[np.float64]:
    """A constant of the graph."""
    found = constant(value)
    assert found is not None
    return found.astype(np.float64)


def change(dequantise: ir.Node, integers: Array, scales: Array) -> None:
    """Gives a DequantizeLinear, which is its constants' only reader, other ones."""
    for value, array in zip(dequantise.inputs[:2], (integers, scales), strict=True):
        assert value is not None
        value.const_value = ir.tensor(np.ascontiguousarray(array), name=value.name)


if __name__ == "__main__":
    main()
