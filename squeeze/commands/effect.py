"""What lowering did to a file, on random inputs: how fast it is beside the plain one, and how far its outputs moved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze import measure, runtimes
from squeeze.errors import ConfigError, MeasureError, UnsupportedError
from squeeze.graph.agreement import step_of
from squeeze.measure.timing import time_sessions
from squeeze.runtimes.ort import first_line
from squeeze.runtimes.shapes import shapes_of, unsaid
from squeeze.runtimes.signature import generate, signature

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx_ir as ir
    import onnxruntime as ort

    from squeeze.runtimes.shapes import Shape

Json = dict[str, Any]  # Any: JSON
Feeds = dict[str, np.ndarray[Any, Any]]  # Any: what the inputs take

RUNS = 200
SECONDS = 10.0
RANDOM_INPUTS = 8
# Sizes for axes that are open, batches aside: the outputs are compared on the first that the file runs on.
TRIED = (64, 224, 16)


def timed_shapes(
    plain: Path, given: Mapping[str, Sequence[int]]
) -> tuple[dict[str, Shape] | None, str]:
    """The shapes to time the file at, by input: as `given`, else as the file's own metadata say; or None and why.

    Raises ConfigError for a shape that fits no input.
    """
    opened = runtimes.session(plain)
    try:
        inputs = signature(opened)
        hints = opened.get_modelmeta().custom_metadata_map
        if why := unsaid(inputs, given, hints):
            return None, why
        shapes, _ = shapes_of(inputs, given, hints)
        opened.run(None, _feeds(opened, 0, shapes))
    except UnsupportedError as e:
        return None, str(e).partition(";")[0]
    except ConfigError as e:
        if given:
            raise
        return None, str(e).partition(";")[0]
    except runtimes.ORT_ERRORS as e:
        told = ", ".join(f"'{name}' {list(shape)}" for name, shape in shapes.items())
        if given:
            raise ConfigError(f"--shape: the model fails on {told}: {first_line(e)}") from e
        return None, f"it fails on random inputs {told}; --shape says other sizes"
    return shapes, ""


def tries(plain: Path, shapes: Mapping[str, Shape] | None) -> list[Feeds]:
    """Random inputs that the file runs on, of these shapes; where there are none, of the first size of TRIED for all
    that is open. None where it runs on none that we can make."""
    opened = runtimes.session(plain)
    for size in TRIED if shapes is None else (None,):
        chosen = _filled(opened, size) if shapes is None and size is not None else shapes
        feeds = [_feeds(opened, seed, chosen) for seed in range(RANDOM_INPUTS)]
        try:
            opened.run(None, feeds[0])
        except runtimes.ORT_ERRORS:
            continue
        return feeds
    return []


def times(
    model: Path, against: Path, shapes: Mapping[str, Shape], threads: int, *, native: bool = True
) -> Json:
    """The latency of `model` and as a share of that of `against`, in turns, on inputs of these shapes."""
    opened = {
        n: runtimes.session(p, threads=threads, native=native)
        for n, p in (("after", model), ("before", against))
    }
    feeds = dict.fromkeys(opened, _feeds(opened["before"], 0, shapes))
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


def difference(path: Path, plain: Path, lowered: Path, model: ir.Model, feeds: list[Feeds]) -> Json:
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


def _filled(session: ort.InferenceSession, size: int) -> dict[str, Shape]:
    """The shape of each input with `size` for what is open, but 1 for the batch."""
    return {
        needs.name: tuple(
            d if isinstance(d, int) else 1 if i == needs.batch_axis else size
            for i, d in enumerate(needs.shape)
        )
        for needs in signature(session)
    }


def _feeds(session: ort.InferenceSession, seed: int, shapes: Mapping[str, Shape] | None) -> Feeds:
    """One random input for each name."""
    return {
        needs.name: generate(needs, None if shapes is None else shapes[needs.name], seed)
        for needs in signature(session)
    }
