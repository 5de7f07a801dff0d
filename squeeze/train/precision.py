"""Which arithmetic the training runs in on this CPU."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import torch
from torch import nn

logger = logging.getLogger(__name__)

_CPU_INFO = Path("/proc/cpuinfo")


def choose(wanted: Literal["auto", "bf16", "fp32"], module: nn.Module) -> torch.dtype:
    """bfloat16 or float32 for the matrix work. 'auto': bfloat16 for convolutions on a CPU with instructions for it.

    Weights, their updates, BatchNorm and the loss are float32 either way. A fixed rule and no timing, so that a second
    run on the machine makes the same choice.
    """
    if wanted == "auto":
        convolutions = any(isinstance(m, (nn.Conv1d, nn.Conv2d)) for m in module.modules())
        wanted = "bf16" if convolutions and _has_bf16() else "fp32"
    logger.info("training in %s with %d threads", wanted, torch.get_num_threads())
    return torch.bfloat16 if wanted == "bf16" else torch.float32


def _has_bf16() -> bool:
    try:
        flags = _CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(f" {flag}" in flags for flag in ("avx512_bf16", "amx_bf16", "bf16"))
