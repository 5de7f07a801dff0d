"""Whether an NVIDIA driver with a GPU is here, asked of the driver; and the libraries that pip installed for it."""

from __future__ import annotations

import ctypes
import io
from contextlib import redirect_stdout, suppress
from functools import cache
from importlib import import_module

import onnxruntime as ort

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


@cache
def load_libraries() -> None:
    """Loads CUDA, cuDNN and TensorRT from the packages that pip puts them into, where no loader looks; what is not
    there is left to the system's own. ONNX Runtime says on stdout what it does not find; that is not for users."""
    with redirect_stdout(io.StringIO()):
        ort.preload_dlls(directory="")
    with suppress(ImportError):
        import_module("tensorrt")
