"""Runs an open model on feeds: samples first, any number of inputs and outputs, wherever the batch is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from squeeze.errors import ConfigError, MeasureError
from squeeze.feed import Array, Feed, count, part, repeated
from squeeze.interface import Interface, TensorSpec
from squeeze.runtimes.ort import ORT_ERRORS, first_line, only_input, session
from squeeze.runtimes.signature import cast_to

if TYPE_CHECKING:
    import onnxruntime as ort

BATCH_SIZE = 64


def infer(
    opened: ort.InferenceSession,
    feed: Feed,
    interface: Interface,
    batch_size: int = BATCH_SIZE,
) -> dict[str, Array]:
    """Every output of `interface` for the samples of `feed`, name -> [n, ...], computed `batch_size` at a time.

    A batch that the model fixes overrules `batch_size`; a last chunk that is too short is filled up with its last
    sample, and what that gives is cut off again. Raises ConfigError for no samples, MeasureError when the runtime
    fails, or an output has another number of samples than went in, or samples that differ in size.
    """
    samples = count(feed)
    if samples == 0:
        raise ConfigError("no samples to run the model on")
    size = interface.batch_size or batch_size
    parts: dict[str, list[Array]] = {spec.name: [] for spec in interface.outputs}
    for start in range(0, samples, size):
        chunk = part(feed, start, start + size)
        for name, values in _run_once(opened, chunk, interface).items():
            parts[name].append(values)
    return {name: _joined(name, values) for name, values in parts.items()}


def _joined(name: str, values: list[Array]) -> Array:
    """Of all batches. Raises MeasureError when their samples differ in size."""
    first = values[0]
    for other in values[1:]:
        if other.shape[1:] != first.shape[1:]:
            raise MeasureError(other_size(name, other, first))
    return first if len(values) == 1 else np.concatenate(values)


def other_size(name: str, values: Array, before: Array) -> str:
    """What is said of an output whose samples differ in size."""
    return (
        f"output '{name}': {list(values.shape[1:])} of a sample, before it was {list(before.shape[1:])}; its sizes "
        "must not depend on values: cut the model before what selects (NonMaxSuppression, NonZero, ...)"
    )


def run(
    model: ort.InferenceSession | Path | bytes,
    x: Array,  # [n, ...]
    batch_size: int = BATCH_SIZE,
    *,
    threads: int = 1,
) -> Array:
    """As `infer`, for a file of which only its one input and its one output are known, batch first.

    `x` is cast when no value changes its meaning. Raises ConfigError also when `x` does not fit the input,
    UnsupportedError when the model has several inputs or outputs.
    """
    opened = session(model, threads=threads) if isinstance(model, (Path, bytes)) else model
    if batch_size < 1:
        raise ConfigError(f"batch size: got {batch_size}, allowed: 1 or more")
    takes, gives = only_input(opened), opened.get_outputs()[0].name
    x = cast_to(takes, x)
    fixed = takes.shape[0] if isinstance(takes.shape[0], int) else None
    interface = Interface(
        (TensorSpec(takes.name, takes.dtype.name, x.shape[1:], batch_size=fixed),),
        (TensorSpec(gives, "", ()),),
    )
    return infer(opened, {takes.name: x}, interface, batch_size)[gives]


def _run_once(opened: ort.InferenceSession, feed: Feed, interface: Interface) -> dict[str, Array]:
    """As `infer`, in one run: no more samples than a fixed batch."""
    given, fixed = count(feed), interface.batch_size
    whole = repeated(feed, fixed) if fixed is not None and given < fixed else feed
    names = [spec.name for spec in interface.outputs]
    try:
        found = opened.run(names, tensors(whole, interface))
    except ORT_ERRORS as e:
        shapes = ", ".join(f"'{n}' {list(x.shape)}" for n, x in feed.items())
        raise MeasureError(f"the model failed on {shapes}: {first_line(e)}") from e
    return {
        spec.name: _cut(spec, np.asarray(values), given, count(whole))
        for spec, values in zip(interface.outputs, found, strict=True)
    }


def every_output(opened: ort.InferenceSession, inputs: Feed, where: Path) -> dict[str, Array]:
    """All outputs of one run on tensors as the model takes them. Raises MeasureError with the file `where`."""
    names = [output.name for output in opened.get_outputs()]
    try:
        return dict(zip(names, opened.run(names, dict(inputs)), strict=True))
    except ORT_ERRORS as e:
        raise MeasureError(f"{where}: failed: {first_line(e)}") from e


def tensors(feed: Feed, interface: Interface) -> dict[str, Array]:
    """What the runtime is given for a feed: the model's own order of axes, contiguous."""
    return {
        # Not ascontiguousarray: it makes a vector of a single number.
        spec.name: np.asarray(spec.as_model(feed[spec.name]), order="C")
        for spec in interface.inputs
    }


def one_run(feed: Feed, interface: Interface) -> dict[str, Array]:
    """What the runtime is given for the first sample of a feed; a batch that the model fixes is filled with it."""
    sample = part(feed, 0, 1)
    fixed = interface.batch_size
    return tensors(sample if fixed is None else repeated(sample, fixed), interface)


def _cut(spec: TensorSpec, values: Array, wanted: int, taken: int) -> Array:
    samples = spec.as_samples(values) if values.ndim or spec.batch_axis is None else values[None]
    if spec.batch_axis is not None and len(samples) != taken:
        place = "first dimension" if spec.batch_axis == 0 else f"axis {spec.batch_axis}"
        raise MeasureError(
            f"output '{spec.name}': got shape {list(values.shape)} for {taken} samples; its {place} must be the batch"
        )
    if spec.batch_axis is None and taken > 1:
        # One value for the whole batch is the same for each of its samples.
        samples = np.repeat(samples, wanted, axis=0)
    return np.asarray(samples[:wanted])
