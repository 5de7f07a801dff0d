"""LSQ of activations in one pass over memory forward and one backward, by our native library, where torch takes eight.

The values are those of `lsq`, in float32 arithmetic whatever the type of the tensor: an activation in bfloat16 is
rounded once, when it is done. Bits do not depend on the number of threads, which are torch's own. Not for weights:
they are small, and have a step for each channel.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from squeeze import ops
from squeeze.train.compute import HOST

logger = logging.getLogger(__name__)

_BLOCK = 4096  # numbers with sums of their own: kBlock of squeeze/csrc/lsq/lsq.h
_GRID = (ctypes.c_bool, ctypes.c_float, ctypes.c_float, ctypes.c_float)
_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_size_t
_THREADS = (_POINTER, ctypes.c_uint)


class Passes(NamedTuple):
    """Functions of the library, and what it starts threads with."""

    forward: Callable[..., None]
    backward: Callable[..., None]
    parallel: int | None


def takes(x: Tensor) -> bool:
    """Whether `on_grid` takes the tensor."""
    known = x.device.type == HOST and x.dtype in (torch.bfloat16, torch.float32)
    return known and _passes() is not None


def on_grid(x: Tensor, step: Tensor, zero: Tensor, low: int, high: int, gain: float) -> Tensor:
    """[n, ...] -> the same shape, type and layout; gradients of `step` and `zero` are times `gain`."""
    found: Tensor = _Fused.apply(x, step, zero, low, high, gain)  # type: ignore[no-untyped-call]
    return found


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # Any: torch's own
        x: Tensor,
        step: Tensor,
        zero: Tensor,
        low: int,
        high: int,
        gain: float,
    ) -> Tensor:
        offset = int(torch.round(zero).clamp(low, high))
        y = torch.empty_like(x)
        x = _laid_as(y, x)
        ctx.gain, ctx.grid = (
            gain,
            (x.dtype is torch.bfloat16, step.item(), low - offset, high - offset),
        )
        ctx.save_for_backward(x, step)
        run = _loaded()
        threads = run.parallel, torch.get_num_threads()
        run.forward(*ctx.grid, x.data_ptr(), x.numel(), y.data_ptr(), *threads)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:  # Any: torch's own
        x, step = ctx.saved_tensors
        g_x = torch.empty_like(x)
        g = _laid_as(g_x, g)
        sums = np.empty((-(-x.numel() // _BLOCK), 2), np.float32)
        run = _loaded()
        threads = run.parallel, torch.get_num_threads()
        places = x.data_ptr(), g.data_ptr(), x.numel(), g_x.data_ptr(), sums.ctypes.data
        run.backward(*ctx.grid, *places, *threads)
        of_step, beyond = sums.sum(0, dtype=np.float64).tolist()
        g_zero = step * (-beyond * ctx.gain) if ctx.needs_input_grad[2] else None
        return g_x, torch.full_like(step, of_step * ctx.gain), g_zero, None, None, None


def _laid_as(like: Tensor, x: Tensor) -> Tensor:
    """`x` in the memory layout of `like`, which is without holes."""
    return x if x.stride() == like.stride() else torch.empty_like(like).copy_(x)


def _loaded() -> Passes:
    passes = _passes()
    assert passes is not None  # `takes` was asked
    return passes


@cache
def _passes() -> Passes | None:
    path = ops.library_path()
    if path is None:
        logger.info("training at quantised weights takes longer without the native library")
        return None
    library = ctypes.CDLL(str(path))
    try:
        forward, backward = library.SqueezeLsqForward, library.SqueezeLsqBackward
    except AttributeError:
        logger.warning("%s: older than this code, training takes longer; build it again", path)
        return None
    forward.argtypes = [*_GRID, _POINTER, _SIZE, _POINTER, *_THREADS]
    backward.argtypes = [*_GRID, _POINTER, _POINTER, _SIZE, _POINTER, _POINTER, *_THREADS]
    forward.restype = backward.restype = None
    return Passes(forward, backward, _parallel())


def _parallel() -> int | None:
    """The address of a function of OpenMP, which torch has loaded for everybody; None where it has another one."""
    try:
        return ctypes.cast(ctypes.CDLL(None).GOMP_parallel, ctypes.c_void_p).value
    except AttributeError:
        return None
