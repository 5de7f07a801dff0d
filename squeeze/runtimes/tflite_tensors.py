"""Tensors of an ONNX model as those of its .tflite file and back: one sample a run, channels last, int8 where it is.

    x float [n, c, h, w]  ->  n times int8 [1, h, w, c]  ->  n times int8 [1, k]  ->  y float [n, k]

The file has a batch of 1. Which axis is the batch shows where a tensor that is given has more entries than the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.runtimes.runtime import Array

if TYPE_CHECKING:
    from squeeze.tflite import Port


def stacked(ports: Sequence[Port], feed: Mapping[str, Array]) -> tuple[list[Array], int]:
    """What each input of the file is given, [n, *its shape], and the axis of the ONNX tensors that n is from.

    Raises ConfigError where the inputs of `feed` are not those of the file.
    """
    names = {port.name for port in ports}
    if names != set(feed):
        raise ConfigError(
            f"inputs: got {', '.join(sorted(feed)) or 'none'}, the model takes {', '.join(sorted(names))}"
        )
    axes = {axis for port in ports if (axis := _batch_axis(port, feed[port.name])) is not None}
    axis = min(axes, default=0)
    counts = {
        np.shape(feed[port.name])[axis]
        for port in ports
        if _batch_axis(port, feed[port.name]) is not None
    }
    if len(axes) > 1 or len(counts) > 1:
        raise ConfigError(
            "inputs: their batches differ; give every input as many samples as the others"
        )
    count = counts.pop() if counts else 1
    given = []
    for port in ports:
        x = np.asarray(feed[port.name])
        one_each = (
            np.moveaxis(x, axis, 0).reshape(
                count, *(1 if i == axis else d for i, d in enumerate(x.shape))
            )
            if _batch_axis(port, x) is not None
            else np.broadcast_to(x, (count, *x.shape))
        )
        moved = one_each.transpose(0, *(1 + a for a in port.axes))
        given.append(np.ascontiguousarray(_stored(port, moved)))
    return given, axis


def joined(ports: Sequence[Port], taken: Sequence[Array], axis: int) -> dict[str, Array]:
    """What the file gave, [n, *its shape] for each output, as the ONNX model has it.

    Raises UnsupportedError for several samples of an output that has no axis of one entry to join them along.
    """
    found = {}
    for port, values in zip(ports, taken, strict=True):
        moved = _plain(port, values).transpose(0, *(1 + int(i) for i in np.argsort(port.axes)))
        if len(moved) == 1:
            found[port.name] = moved[0]
            continue
        ones = [i for i, size in enumerate(moved.shape[1:]) if size == 1]
        if not ones:
            raise UnsupportedError(
                f"output '{port.name}' {list(moved.shape[1:])} has no batch axis, so that it is of one sample: "
                "run the samples one by one"
            )
        along = axis if axis in ones else ones[0]
        found[port.name] = np.concatenate(list(moved), axis=along)
    return found


def made_up(ports: Sequence[Port], seed: int = 0) -> list[Array]:
    """One seeded sample for each input as the file takes it: normal floats, any bytes, 0 or 1 for wider integers."""
    rng = np.random.default_rng(seed)
    given: list[Array] = []
    for port in ports:
        dtype = np.dtype(port.dtype)
        if dtype.kind == "f":
            given.append(rng.standard_normal(tuple(port.shape)).astype(dtype))
        elif dtype.itemsize == 1 and dtype.kind in "iu":
            limits = np.iinfo(dtype.name)
            given.append(rng.integers(limits.min, limits.max + 1, tuple(port.shape)).astype(dtype))
        else:
            given.append(rng.integers(0, 2, tuple(port.shape)).astype(dtype))
    return given


def onnx_shape(port: Port) -> tuple[int, ...]:
    """The shape of one sample's tensor in the ONNX model."""
    shape = [0] * len(port.axes)
    for size, axis in zip(port.shape, port.axes, strict=True):
        shape[axis] = int(size)
    return tuple(shape)


def _batch_axis(port: Port, x: Array) -> int | None:
    """Where `x` has another number of samples than the file's one. Raises ConfigError when it differs elsewhere."""
    needs, got = onnx_shape(port), np.shape(x)
    differ = [i for i, (a, b) in enumerate(zip(needs, got, strict=False)) if a != b]
    if not differ and len(needs) == len(got):
        return None
    if len(needs) != len(got) or len(differ) > 1 or needs[differ[0]] != 1 or got[differ[0]] == 0:
        allowed = " or ".join(
            f"[{', '.join(map(str, (*needs[:i], 'n', *needs[i + 1 :])))}]"
            for i, size in enumerate(needs)
            if size == 1
        )
        raise ConfigError(
            f"input '{port.name}': got {list(got)}, the model takes {allowed or list(needs)}"
        )
    return differ[0]


def _stored(port: Port, x: Array) -> Array:
    """`x` in the type that the file has."""
    dtype = np.dtype(port.dtype)
    if x.dtype == dtype:
        return x
    if port.scale is not None and x.dtype.kind == "f":
        limits = np.iinfo(dtype.name)
        codes = np.rint(x.astype(np.float32) / np.float32(port.scale)) + (port.zero_point or 0)
        stored: Array = np.clip(codes, limits.min, limits.max).astype(dtype)
        return stored
    if x.dtype.kind in "iub" and dtype.kind in "iu":
        limits = np.iinfo(dtype.name)
        if limits.min <= int(x.min(initial=0)) and int(x.max(initial=0)) <= limits.max:
            whole: Array = x.astype(dtype)
            return whole
    elif x.dtype.kind == dtype.kind:
        return x.astype(dtype)
    raise ConfigError(f"input '{port.name}': got {x.dtype} values, the model takes {dtype}")


def _plain(port: Port, values: Array) -> Array:
    """The numbers that stored ones stand for."""
    if port.scale is None:
        return values
    codes: Any = values.astype(np.float32) - np.float32(
        port.zero_point or 0
    )  # Any: NumPy's arithmetic
    plain: Array = codes * np.float32(port.scale)
    return plain
