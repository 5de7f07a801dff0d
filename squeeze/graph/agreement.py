"""Whether a lowered file may stand for the plain one: it opens and runs, and its outputs stay where they were.

Lowering rounds a tie here and there otherwise, and leaves quantisers inside of functions out. What moves outputs
further than that is a fault of ours, and no reason to hand a wrong file out. How far one step here and there gets
depends on the network, and deep transformers carry it far, so the plain file is rounded otherwise, too, for comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze import ops, runtimes
from squeeze.errors import MeasureError, SqueezeError
from squeeze.graph.files import load, to_bytes
from squeeze.graph.qdq import grid_of
from squeeze.graph.values import add_constant, constant, is_op, producer
from squeeze.runtimes.ort import ORT_ERRORS, first_line

Array = NDArray[Any]  # Any: outputs of several element types
Feeds = Sequence[Mapping[str, Array]]

# The root mean square of differences: of the spread of an output, of its largest number, in steps of its quantiser, and
# as a multiple of what the runtime's own optimiser does to the plain file, and of what NUDGE does to it.
SHARE_OF_SPREAD, SHARE_OF_LARGEST, STEPS, OPTIMISERS, NUDGES = 0.1, 0.02, 2.0, 4.0, 2.0
# Scales are larger by this share where activations are quantised: of each number on the way from -128 to 127 at most
# every 16th is rounded to the step beside.
NUDGE = 2.0**-11


def objector(model: ir.Model, plain: Path, feeds: Feeds) -> Callable[[Path], str | None]:
    """Says of a lowered file why it may not stand for `plain`, the file of `model`; None when nothing is against it.

    It is opened and run on `feeds` without our library, and with it where it is there; without feeds only opened.
    Raises MeasureError where `plain` itself does not run.
    """
    try:
        wanted, unoptimised = _outputs(plain, feeds), _outputs(plain, feeds, optimise=False)
        nudged = _outputs(to_bytes(_nudged(load(plain))), feeds)
    except ORT_ERRORS as e:
        raise MeasureError(f"the quantised file itself fails when it runs: {first_line(e)}") from e
    steps = {str(output.name): step_of(output) for output in model.graph.outputs}

    def objection(lowered: Path) -> str | None:
        for native in (False, True) if ops.library_path() is not None else (False,):
            where = "with our library" if native else "on the stock runtime"
            try:
                got = _outputs(lowered, feeds, native=native)
            except SqueezeError as e:
                return f"the lowered file does not open {where}: {e}"
            except ORT_ERRORS as e:
                return f"the lowered file does not run {where}: {first_line(e)}"
            for name, step in steps.items():
                for a, b, *others in zip(got, wanted, unoptimised, nudged, strict=True):
                    if why := _moved(a[name], b[name], [o[name] for o in others], step):
                        return f"output '{name}' of the lowered file {why} {where}"
        return None

    return objection


def step_of(output: ir.Value) -> float | None:
    """The step of the quantiser that gives an output; an 8-bit one has steps of 1. None where a float layer is last."""
    if producer(output, "QuantizeLinear") is not None:
        return 1.0
    node = producer(output, "DequantizeLinear")
    grid = grid_of(node) if node is not None else None
    return None if grid is None else grid.scale


def _nudged(model: ir.Model) -> ir.Model:
    """Makes `model` round activations a little otherwise: what is quantised is divided by 1 + NUDGE first."""
    for node in model.graph:
        grid = grid_of(node) if is_op(node, "QuantizeLinear") else None
        given = constant(node.inputs[1]) if grid is not None else None
        if grid is not None and given is not None and constant(node.inputs[0]) is None:
            scale = np.asarray(grid.scale * (1 + NUDGE), given.dtype)  # of half precision, too
            node.replace_input_with(1, add_constant(model.graph, f"{node.name}_nudged", scale))
    return model


def _outputs(
    file: Path | bytes, feeds: Feeds, *, native: bool = False, optimise: bool = True
) -> list[dict[str, Array]]:
    opened = runtimes.session(file, native=native, optimise=optimise)
    names = [output.name for output in opened.get_outputs()]
    return [
        dict(zip(names, (np.asarray(v) for v in opened.run(names, dict(feed))), strict=True))
        for feed in feeds
    ]


def _moved(got: Array, wanted: Array, others: Sequence[Array], step: float | None) -> str | None:
    """others: what the plain file gives when it is not optimised, and when it is nudged."""
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        return f"is {got.dtype} {list(got.shape)} instead of {wanted.dtype} {list(wanted.shape)}"
    if wanted.size == 0 or (wanted.dtype.kind != "f" and step is None):
        return None  # counts, indices, classes: a tie in front of them may change them altogether
    a, b, c, d = (v.astype(np.float64) for v in (got, wanted, *others))
    finite = np.isfinite(b) & np.isfinite(c) & np.isfinite(d)
    if not np.isfinite(a[finite]).all():
        return "has numbers that are not finite"
    a, b, c, d = a[finite], b[finite], c[finite], d[finite]
    if a.size == 0:
        return None
    moved, optimised, nudged = (float(np.sqrt(np.mean((v - b) ** 2))) for v in (a, c, d))
    spread, largest = float(b.std()), float(np.abs(b).max())
    allowed = max(
        SHARE_OF_SPREAD * spread,
        SHARE_OF_LARGEST * largest,
        STEPS * (step or 0.0),
        OPTIMISERS * optimised,
        NUDGES * nudged,
    )
    if moved <= allowed:
        return None
    return f"moves by {moved:.3g} (root mean square; at most {allowed:.3g} is rounding)"
