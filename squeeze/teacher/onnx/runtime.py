"""Runs a teacher's ONNX in memory while it is being prepared; what the runtime refuses becomes a ConfigError."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto

from squeeze import runtimes
from squeeze.errors import ConfigError, MeasureError
from squeeze.runtimes.signature import MOST_NUMBERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx
    import onnxruntime as ort
    from numpy.typing import NDArray

    from squeeze.teacher.example import Fitted

logger = logging.getLogger(__name__)

# Kernels of different batch sizes add in another order; as a share of the largest output.
SAME = 1e-3
Values = dict[str, Any]  # Any: an array of any element type
Tensors = dict[str, Any]  # the same, what the model takes


def run_values(model: onnx.ModelProto, feed: Tensors, names: Sequence[str], where: str) -> Values:
    """The values called `names`, which must be outputs of `model`, for one run on `feed`. Raises ConfigError."""
    return run_feeds(model, [feed], names, where)[0]


def run_feeds(
    model: onnx.ModelProto, feeds: Sequence[Tensors], names: Sequence[str], where: str
) -> list[Values]:
    """As `run_values`, for each feed; the model is opened once."""
    session = opened(model, where)
    return [run_opened(session, feed, names, where) for feed in feeds]


def opened(model: onnx.ModelProto, where: str) -> ort.InferenceSession:
    """A session for several runs. Raises ConfigError."""
    try:
        return runtimes.session(model.SerializeToString())
    except MeasureError as e:
        raise ConfigError(f"{where}: {str(e).removeprefix('the model: ')}") from e


def run_opened(
    session: ort.InferenceSession, feed: Tensors, names: Sequence[str], where: str
) -> Values:
    """As `run_values`, of an open model."""
    try:
        values = session.run(list(names), dict(feed))
    except runtimes.ORT_ERRORS as e:
        takes = ", ".join(f"'{i.name}' {i.type} {i.shape}" for i in session.get_inputs())
        given = ", ".join(f"{x.dtype} {list(x.shape)}" for x in feed.values())
        reason = str(e).strip().splitlines()[0][:200]
        raise ConfigError(f"{where}: the model takes {takes} but fails on {given}: {reason}") from e
    return {name: np.asarray(v) for name, v in zip(names, values, strict=True)}


def output_names(model: onnx.ModelProto) -> list[str]:
    """The outputs in the model's order."""
    return [v.name for v in model.graph.output]


def one_run(model: onnx.ModelProto, inputs: Sequence[Fitted], sample: int = 0) -> Tensors:
    """A feed for one run: sample number `sample`, as often as the batch that the model declares; 1 where it may vary.

    Inputs without a batch beside others that have one give their first sample, whichever is asked for.
    """
    batched = any(one.spec.batch_axis is not None for one in inputs)
    feed = {}
    for value, one in _pairs(model, inputs):
        axis = one.spec.batch_axis
        tensor = one.part(0 if axis is None and batched else sample, 1)
        dim = None if axis is None else value.type.tensor_type.shape.dim[axis]
        if dim is not None and dim.HasField("dim_value"):
            if dim.dim_value * tensor.size > MOST_NUMBERS:
                raise ConfigError(
                    f"input '{value.name}': a batch of {dim.dim_value} in one run is too much; is the file right?"
                )
            tensor = np.repeat(tensor, dim.dim_value, axis=axis)
        feed[value.name] = _in_type(tensor, value)
    return feed


def together(model: onnx.ModelProto, inputs: Sequence[Fitted], count: int) -> Tensors:
    """A feed for one run: the first `count` samples at once."""
    return {v.name: _in_type(one.part(0, count), v) for v, one in _pairs(model, inputs)}


def _pairs(
    model: onnx.ModelProto, inputs: Sequence[Fitted]
) -> list[tuple[onnx.ValueInfoProto, Fitted]]:
    values = {v.name: v for v in model.graph.input}
    return [(values[one.spec.name], one) for one in inputs]


def _in_type(x: NDArray[np.generic], value: onnx.ValueInfoProto) -> NDArray[np.generic]:
    """The user's floats as those that the graph takes at this point of its preparation."""
    inside = value.type.tensor_type.elem_type == TensorProto.FLOAT
    return np.ascontiguousarray(x.astype(np.float32) if inside else x)


def same(a: NDArray[np.generic], b: NDArray[np.generic], tolerance: float = SAME) -> bool:
    """Whether two outputs agree but for the order of additions; infinite ones at the same places agree."""
    if a.shape != b.shape:
        return False
    x, y = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(x)
    if not np.array_equal(finite, np.isfinite(y)):
        return False
    largest = np.abs(x[finite]).max(initial=0.0)
    return bool(np.all(np.abs(x[finite] - y[finite]) <= 1e-6 + tolerance * largest))


def check_output(output: NDArray[np.generic], name: str, where: str) -> None:
    """Raises ConfigError for an empty output and for NaN or infinity; says it when all is 0. `output`: [n, ...]."""
    if output.size == 0:
        raise ConfigError(f"{where}: output '{name}' is empty (shape {list(output.shape)})")
    if output.dtype.kind != "f":
        return
    bad = int((~np.isfinite(output)).reshape(len(output), -1).any(1).sum())
    if bad:
        raise ConfigError(
            f"{where}: output '{name}' has NaN or infinity for {bad} of {len(output)} examples; "
            "check the weights and the preprocessing of the data"
        )
    if not output.any():
        logger.warning("%s: output '%s' is 0 for every example; is the model trained?", where, name)
