"""Runs a graph over calibration samples and hands out values inside it, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from squeeze import graph, runtimes
from squeeze.errors import ConfigError, MeasureError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Batches = Callable[[], Iterator["NDArray[np.generic]"]]

# What the values of one run may take together.
CHUNK_BYTES = 48 << 20


def limited(batches: Batches, samples: int) -> Iterator[NDArray[np.generic]]:
    """The first `samples` samples. Raises ConfigError when there are none or a number is not finite."""
    left = samples
    for batch in batches():
        taken = batch[:left]
        if taken.dtype.kind == "f" and not np.isfinite(taken).all():
            raise ConfigError("calibration: the inputs hold NaN or infinite numbers")
        if len(taken):
            yield taken
        left -= len(taken)
        if left <= 0:
            break
    if left == samples:
        raise ConfigError("calibration: no samples; one or more are needed")


def with_outputs(model: ir.Model, names: Sequence[str]) -> bytes:
    """The model as bytes, with the values called `names` as its only outputs, in that order."""
    copy = ir.serde.deserialize_model(ir.serde.serialize_model(model))
    values = {v.name: v for v in copy.graph.inputs}
    values |= {v.name: v for node in copy.graph for v in node.outputs}
    copy.graph.outputs.clear()
    copy.graph.outputs.extend(values[name] for name in names)
    return graph.to_bytes(copy)


class Runner:
    """An open session. `whole_batches` when outputs are taken over the batch and say nothing about its memory."""

    def __init__(self, model: bytes, *, whole_batches: bool = False) -> None:
        self._session = runtimes.session(model)
        (self._input,) = self._session.get_inputs()
        batch = self._input.shape[0]
        self._fixed = batch if isinstance(batch, int) else None
        self._whole = whole_batches
        # The first sample goes alone: it tells how much memory one takes.
        self._chunk = self._fixed or 1
        self._measured = self._fixed is not None

    def run(self, batch: NDArray[np.generic]) -> Iterator[tuple[int, list[NDArray[np.generic]]]]:
        """The outputs for `batch` [n, ...] in chunks that memory allows: (samples in the chunk, outputs)."""
        start = 0
        while start < len(batch):
            chunk = len(batch) if self._whole and self._fixed is None else self._chunk
            x = batch[start : start + chunk]
            outputs = self._outputs(x)
            if not self._measured:
                total = sum(o.nbytes for o in outputs)
                self._chunk, self._measured = max(1, CHUNK_BYTES // max(total, 1)), True
            yield len(x), outputs
            start += len(x)

    def _outputs(self, x: NDArray[np.generic]) -> list[NDArray[np.generic]]:
        count = len(x)
        if self._fixed is not None and count < self._fixed:
            x = np.concatenate([x, np.repeat(x[-1:], self._fixed - count, axis=0)])
        try:
            outputs = self._session.run(None, {self._input.name: np.ascontiguousarray(x)})
        except runtimes.ORT_ERRORS as e:
            raise MeasureError(f"calibration: the model failed on inputs {x.shape}: {e}") from e
        return [np.asarray(o)[:count] for o in outputs]
