"""Runtime name of a target file -> what runs models there. Nothing of a runtime is loaded until it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from squeeze.runtimes.runtime import Runtime
    from squeeze.target import RuntimeName, Target


def _lazily(module: str, name: str) -> Callable[[Target], Runtime]:
    """The class `name` of `squeeze.runtimes.<module>`, imported when it is called."""

    def make(target: Target) -> Runtime:
        made: Runtime = getattr(import_module(f"squeeze.runtimes.{module}"), name)(target)
        return made

    return make


RUNTIMES: dict[RuntimeName, Callable[[Target], Runtime]] = {
    "cuda": _lazily("cuda", "Gpu"),
    "ethos-u": _lazily("ethos_u", "EthosU"),
    "hexagon": _lazily("hexagon", "Hexagon"),
    "litert": _lazily("litert", "LiteRt"),
    "ncnn-vulkan": _lazily("ncnn", "NcnnVulkan"),
    "onnxruntime": _lazily("host", "Host"),
    "openvino": _lazily("openvino", "OpenVino"),
    "tensorrt": _lazily("cuda", "Gpu"),
    "tflite-micro": _lazily("tflite_micro", "TfliteMicro"),
    "web": _lazily("web", "Web"),
}


def runtime_of(target: Target) -> Runtime:
    """The runtime of `target`, which has loaded nothing heavy yet."""
    if target.transport == "qemu":
        return _lazily("arm64", "Arm64")(target)
    return RUNTIMES[target.runtime.name](target)


def estimated(target: Target) -> Runtime | None:
    """Our estimate of `target`, for where its runtime is not here; None where its file does not say what it reaches."""
    reached = target.peak.model_dump(exclude={"operator_start_s"})
    if not any(reached.values()):
        return None
    return _lazily("estimate", "Estimate")(target)
