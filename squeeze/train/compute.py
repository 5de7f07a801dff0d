"""Where a training runs, and in which arithmetic: decided once, before anything is trained."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from squeeze.errors import UnsupportedError
from squeeze.machine.cpu import BF16, flags
from squeeze.train.threads import torch_threads

logger = logging.getLogger(__name__)

Precision = Literal["auto", "bf16", "fp32"]
TrainingDevice = Literal["auto", "cpu", "cuda"]

# Where networks are made, before they go to the device of their training.
HOST = "cpu"
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)


@dataclass(frozen=True)
class Compute:
    """`device`: torch's name. Matrix products run in `dtype` where a network has convolutions, in `dense_dtype` where
    it has none; weights, their updates, normalisation and the loss are float32 either way."""

    device: str
    dtype: torch.dtype
    dense_dtype: torch.dtype

    @classmethod
    def choose(cls, device: TrainingDevice = "auto", precision: Precision = "auto") -> Compute:
        """'auto': CUDA where torch sees a device; bfloat16 for convolutions where the device has instructions for it.

        Fixed rules and no timing, so that a second run on the machine makes the same choice. Raises UnsupportedError
        when CUDA is asked for and torch sees none.
        """
        seen = torch.cuda.is_available()
        if device == "cuda" and not seen:
            build = torch.version.cuda
            raise UnsupportedError(
                f"device 'cuda': torch {torch.__version__} "
                + (
                    "is a build for CPUs alone; install one with CUDA, or use --device cpu"
                    if build is None
                    else f"(CUDA {build}) sees no device; check the driver, or use --device cpu"
                )
            )
        chosen = "cuda" if device == "cuda" or (device == "auto" and seen) else "cpu"
        half, full = torch.bfloat16, torch.float32
        if precision != "auto":
            wanted = half if precision == "bf16" else full
            return cls(chosen, wanted, wanted)
        fast = torch.cuda.is_bf16_supported() if chosen == "cuda" else bool(flags() & set(BF16))
        return cls(chosen, half if fast else full, full)

    def key(self) -> dict[str, Any]:  # Any: JSON
        """Everything of this that can change a result."""
        words = {"dtype": self.dtype, "dense_dtype": self.dense_dtype}
        return {
            "device": self.device,
            **{k: str(v).removeprefix("torch.") for k, v in words.items()},
        }

    def dtype_for(self, module: nn.Module) -> torch.dtype:
        """What the matrix products of `module` run in."""
        convolves = any(isinstance(m, _CONVOLUTIONS) for m in module.modules())
        found = self.dtype if convolves else self.dense_dtype
        logger.info("training on %s in %s", self.device, str(found).removeprefix("torch."))
        return found

    @contextmanager
    def session(self, threads: int) -> Iterator[None]:
        """Torch with this many threads, a generator of its own, and on CUDA kernels that repeat to the bit; as before
        afterwards."""
        on_cuda = self.device == "cuda"
        devices = [torch.cuda.current_device()] if on_cuda else []
        with torch_threads(threads, devices=devices), _repeatable() if on_cuda else nullcontext():
            yield


@contextmanager
def _repeatable() -> Iterator[None]:
    # Read by cuBLAS when it makes its first handle; without it sums over split products come in any order.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    was, warned = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        ):
            yield
    finally:
        torch.use_deterministic_algorithms(was, warn_only=warned)
