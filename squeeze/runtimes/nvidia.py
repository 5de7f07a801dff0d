"""Whether an NVIDIA driver with a GPU is here, asked of the driver itself."""

from __future__ import annotations

import ctypes

_DRIVER = "libcuda.so.1"


def missing_gpu() -> str | None:
    """What is not there; None where the driver finds a GPU."""
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return (
            f"no NVIDIA driver is here ({_DRIVER}); squeeze has to run on the machine with the GPU"
        )
    count = ctypes.c_int(0)
    if (
        driver.cuInit(0) != 0
        or driver.cuDeviceGetCount(ctypes.byref(count)) != 0
        or not count.value
    ):
        return "the NVIDIA driver finds no GPU that it may use (nvidia-smi tells what it sees)"
    return None
