"""Runs an open model on feeds: samples first, any number of inputs and outputs, wherever the batch is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from squeeze.errors import ConfigError, MeasureError
from squeeze.feed import Array, Feed, count, part, repeated
from squeeze.runtimes.ort import ORT_ERRORS, first_line

if TYPE_CHECKING:
    import onnxruntime as ort

    from squeeze.interface import Interface, TensorSpec

BATCH_SIZE = 64


def infer(
    session: ort.InferenceSession,
    feed: Feed,
    interface: Interface,
    batch_size: int = BATCH_SIZE,
) -> dict[str, Array]:
    """Every output of `interface` for the samples of `feed`, name -> [n, ...], computed `batch_size` at a time.

    A batch that the model fixes overrules `batch_size`; a last chunk that is too short is filled up with its last
    sample, and what that gives is cut off again. Raises ConfigError for no samples, MeasureError when the runtime fails
    or an output has another number of samples than went in.
    """
    samples = count(feed)
    if samples == 0:
        raise ConfigError("no samples to run the model on")
    size = interface.batch_size or batch_size
    parts: dict[str, list[Array]] = {spec.name: [] for spec in interface.outputs}
    for start in range(0, samples, size):
        chunk = part(feed, start, start + size)
        for name, values in run_once(session, chunk, interface).items():
            parts[name].append(values)
    return {n: v[0] if len(v) == 1 else np.concatenate(v) for n, v in parts.items()}


def run_once(session: ort.InferenceSession, feed: Feed, interface: Interface) -> dict[str, Array]:
    """As `infer`, in one run: no more samples than a fixed batch."""
    given, fixed = count(feed), interface.batch_size
    whole = repeated(feed, fixed) if fixed is not None and given < fixed else feed
    names = [spec.name for spec in interface.outputs]
    try:
        found = session.run(names, tensors(whole, interface))
    except ORT_ERRORS as e:
        shapes = ", ".join(f"'{n}' {list(x.shape)}" for n, x in feed.items())
        raise MeasureError(f"the model failed on {shapes}: {first_line(e)}") from e
    return {
        spec.name: _cut(spec, np.asarray(values), given, count(whole))
        for spec, values in zip(interface.outputs, found, strict=True)
    }


def tensors(feed: Feed, interface: Interface) -> dict[str, Array]:
    """What the runtime is given for a feed: the model's own order of axes, contiguous."""
    return {
        spec.name: np.ascontiguousarray(spec.as_model(feed[spec.name])) for spec in interface.inputs
    }


def one_run(feed: Feed, interface: Interface) -> dict[str, Array]:
    """What the runtime is given for the first sample of a feed; a batch that the model fixes is filled with it."""
    sample = part(feed, 0, 1)
    fixed = interface.batch_size
    return tensors(sample if fixed is None else repeated(sample, fixed), interface)


def _cut(spec: TensorSpec, values: Array, wanted: int, run: int) -> Array:
    samples = spec.as_samples(values) if values.ndim or spec.batch_axis is None else values[None]
    if spec.batch_axis is not None and len(samples) != run:
        raise MeasureError(
            f"output '{spec.name}': got shape {list(values.shape)} for {run} samples; its axis {spec.batch_axis} must "
            "be the batch"
        )
    if spec.batch_axis is None and run > 1:
        # One value for the whole batch is the same for each of its samples.
        samples = np.repeat(samples, wanted, axis=0)
    return np.asarray(samples[:wanted])
