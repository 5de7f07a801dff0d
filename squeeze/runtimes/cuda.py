"""ONNX Runtime on an NVIDIA GPU: its CUDA provider, or TensorRT with CUDA for what that leaves; measured where one is.

No node may fall back to the CPU: then the model is refused with the node's name, because the copies to and from the
CPU would be most of what is measured. Operators of ours have no CUDA kernels; their function bodies run.

    accelerator.options   what the providers are opened with, in their own words: trt_... for TensorRT, others for CUDA
    runtime.options       precision = "float16": float models are converted, with the inputs and outputs they had
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import onnxruntime as ort

from squeeze.errors import ConfigError, MeasureError, UnsupportedError
from squeeze.runtimes.inference import every_output
from squeeze.runtimes.installed import named_version
from squeeze.runtimes.made_feed import made_feed
from squeeze.runtimes.nvidia import load_libraries, missing_gpu
from squeeze.runtimes.ort import ORT_ERRORS, first_line
from squeeze.runtimes.placement import (
    FellBack,
    NotLoaded,
    can_tell,
    first_left,
    open_without_cpu,
    placements,
)
from squeeze.runtimes.plain_onnx import named_onnx, read, with_tensors, write
from squeeze.runtimes.quantised_types import off_centre
from squeeze.runtimes.repeated_runs import times_ms
from squeeze.runtimes.runtime import Abilities, Array, Built, Cost, Refusal, Source

if TYPE_CHECKING:
    from squeeze.target import Target

_CUDA, _TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
_PRECISIONS = ("float32", "float16")
_INSTALL = "pip uninstall -y onnxruntime && pip install 'onnxruntime-gpu[cuda,cudnn]'"


class Gpu:
    """See `InThisProcess`. Of the targets `cuda` and `tensorrt`, which differ in the providers that are asked."""

    abilities = Abilities(in_this_process=True)
    source: Source = "measured"
    providers: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "cuda": (_CUDA,),
        "tensorrt": (_TENSORRT, _CUDA),
    }

    def __init__(self, target: Target) -> None:
        self.target = target
        self._chain = self.providers[target.runtime.name]

    @property
    def version(self) -> str:
        """Of ONNX Runtime's package for GPUs."""
        return named_version("onnxruntime-gpu")

    def missing(self) -> str | None:
        """The provider, the driver, or an ONNX Runtime that tells what runs where."""
        if self._chain[0] not in ort.get_available_providers():
            return (
                f"this onnxruntime has no {self._chain[0]}; onnxruntime-gpu takes the place of onnxruntime, "
                f"never beside it: {_INSTALL}"
            )
        if not can_tell():
            return f"onnxruntime {ort.__version__} does not tell which node runs where: pip install -U onnxruntime-gpu"
        return missing_gpu()

    def refuses(self, model: Path) -> list[Refusal]:
        """What TensorRT's integers are not, by a look; else the first node that falls back to the CPU."""
        if refusal := self._off_centre(model):
            return [refusal]
        with tempfile.TemporaryDirectory(prefix="squeeze-") as scratch:
            named = named_onnx(model, Path(scratch))
            try:
                self._open(named)
            except FellBack as e:
                order = [node.name for node in read(named).graph.node]
                return [first_left(e, order, "replace it, or cut the model before it")]
            except ORT_ERRORS as e:
                return [Refusal("", f"{self.version} cannot open it: {first_line(e)}")]
        return []

    def build(self, model: Path, folder: Path) -> Built:
        """The file itself, or `model_float16.onnx`. Raises UnsupportedError, ConfigError for an unknown precision."""
        precision = self.target.runtime.options.get("precision", "float32")
        if precision not in _PRECISIONS:
            raise ConfigError(
                f"target '{self.target.name}': runtime.options.precision: got '{precision}', "
                f"allowed: {', '.join(_PRECISIONS)}"
            )
        if refusals := self.refuses(model):
            raise UnsupportedError(f"{model.name}: {refusals[0]}")
        if precision == "float32":
            return Built({"model.onnx": model})
        made = half(model, folder / "model_float16.onnx")
        return Built({made.name: made}, ("computed in float16",))

    def run(self, built: Built, feed: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs. Raises MeasureError."""
        return every_output(self._opened(built), feed, built.runs)

    def caller(self, built: Built, feed: Mapping[str, Array]) -> Callable[[], object]:
        """One run from and to the CPU's memory, as an app has its samples."""
        opened, inputs = self._opened(built), dict(feed)
        names = [output.name for output in opened.get_outputs()]
        return lambda: opened.run(names, inputs)

    def cost(self, built: Built, feed: Mapping[str, Array] | None = None) -> Cost:
        """Latency of runs in a row, with the copies to and from the GPU."""
        taken = times_ms(self.caller(built, made_feed(built.runs) if feed is None else feed))
        notes = [
            f"{taken.runs} runs in a row on this machine, copies to and from the GPU among them"
        ]
        nodes = placements(self._opened(built))
        if beside := [node.name for node in nodes if node.provider != self._chain[0]]:
            notes.append(
                f"{len(beside)} of {len(nodes)} operators by CUDA's own kernels, not TensorRT: {', '.join(beside)}"
            )
        return Cost(
            self.source,
            latency_ms=taken.p50_ms,
            latency_p10_ms=taken.p10_ms,
            latency_p90_ms=taken.p90_ms,
            file_bytes=built.runs.stat().st_size,
            accelerator_share=1.0,
            notes=tuple(notes),
        )

    def _off_centre(self, model: Path) -> Refusal | None:
        if self._chain[0] != _TENSORRT or (node := off_centre(read(model))) is None:
            return None
        return Refusal(
            node,
            "TensorRT takes int8 with a zero point of 0 alone; give it the float model (trt_fp16_enable = "
            '"1" in accelerator.options makes it float16)',
        )

    def _opened(self, built: Built) -> ort.InferenceSession:
        try:
            return self._open(built.runs)
        except FellBack as e:
            order = [node.name for node in read(built.runs).graph.node]
            raise UnsupportedError(f"{built.runs}: {first_left(e, order, 'build it again')}") from e
        except ORT_ERRORS as e:
            raise MeasureError(f"{built.runs}: {self.version}: {first_line(e)}") from e

    def _open(self, model: Path) -> ort.InferenceSession:
        if self._chain[0] in ort.get_available_providers():
            load_libraries()
        try:
            return open_without_cpu(model, lambda _: ort.SessionOptions(), self._providers())
        except NotLoaded as e:
            raise MeasureError(f"target '{self.target.name}': {e}; {_INSTALL}") from e

    def _providers(self) -> list[tuple[str, dict[str, str]]]:
        device = self.target.accelerator
        given = {} if device is None else device.options
        return [
            (name, {k: v for k, v in given.items() if k.startswith("trt_") == (name == _TENSORRT)})
            for name in self._chain
        ]


def half(model: Path, path: Path) -> Path:
    """Writes `model` with float16 inside, inputs and outputs as they were. Raises as `plain_onnx.read` and `write`."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    proto = with_tensors(read(model), model)
    return write(convert_float_to_float16(proto, keep_io_types=True), path)
