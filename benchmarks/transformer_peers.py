"""Other ways to make a transformer of token ids small and fast, each at its best known settings, on one thread.

    ort-float          the runtime with all of its own optimisations
    ort-fused          the runtime's transformer optimiser before that: Attention, SkipLayerNormalization are nodes
    ort-dynamic        its dynamic quantisation of the fused graph, weights per channel
    ort-dynamic-plain  the same of the graph as exported: one line, what most people do
    ort-static         its static quantisation, QDQ, weights per channel
    nncf-ort           nncf with its preset for transformers (SmoothQuant), run by ONNX Runtime
    openvino-f32, openvino-bf16, nncf-openvino   the same in OpenVINO

A maker takes the case, calibration feeds and a folder, and gives a `Peer`. What cannot be made raises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.peers import MissingPeer, optional
from benchmarks.transformer_cases import Case, Feed


@dataclass(frozen=True)
class Peer:
    """files: what would be shipped; run: a feed -> the first output."""

    files: tuple[Path, ...]
    run: Callable[[Feed], NDArray[np.generic]]

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(path.stat().st_size for path in self.files)


def on_ort(path: Path) -> Peer:
    """A file that the stock runtime runs."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Peer((path,), lambda feed: np.asarray(session.run(None, dict(feed))[0]))


def ort_float(case: Case, feeds: Sequence[Feed], folder: Path) -> Peer:
    """The file as it is."""
    return on_ort(case.model)


def ort_fused(case: Case, feeds: Sequence[Feed], folder: Path) -> Peer:
    """After the runtime's transformer optimiser."""
    return on_ort(_fused(case, folder))


def ort_dynamic(case: Case, feeds: Sequence[Feed], folder: Path) -> Peer:
    """Dynamic quantisation of the fused graph."""
    path = folder / "dynamic.onnx"
    quantize_dynamic(
        str(_fused(case, folder)), str(path), weight_type=QuantType.QInt8, per_channel=True
    )
    return on_ort(path)


def ort_dynamic_plain(case: Case, feeds: Sequence[Feed], folder: Path) -> Peer:
    """Dynamic quantisation in one line."""
    path = folder / "dynamic_plain.onnx"
    quantize_dynamic(str(case.model), str(path), weight_type=QuantType.QInt8)
    return on_ort(path)


def ort_static(case: Case, feeds: Sequence[Feed], folder: Path) -> Peer:
    """Static quantisation."""
    prepared, path = folder / "prepared.onnx", folder / "static.onnx"
    quant_pre_process(str(case.model), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(path),
        _Reader(feeds),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )
    return on_ort(path)


def nncf_ort(case: Case, feeds: Sequence[Feed], folder: Path) -> Peer:
    """nncf on the ONNX file."""
    path = folder / "nncf.onnx"
    onnx.save(_nncf(onnx.load(case.model), feeds), path)
    return on_ort(path)


def openvino_f32(case: Case, feeds: Sequence[Feed], folder: Path) -> Peer:
    """OpenVINO held at float32."""
    return _openvino(optional("openvino").Core().read_model(case.model), folder / "f32.xml", "f32")


def openvino_bf16(case: Case, feeds: Sequence[Feed], folder: Path) -> Peer:
    """OpenVINO in bfloat16, weights stored as fp16."""
    core = optional("openvino").Core()
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise MissingPeer("this CPU has no bfloat16 arithmetic")
    return _openvino(core.read_model(case.model), folder / "bf16.xml", "bf16")


def nncf_openvino(case: Case, feeds: Sequence[Feed], folder: Path) -> Peer:
    """nncf on the OpenVINO model."""
    found = _nncf(optional("openvino").Core().read_model(case.model), feeds)
    return _openvino(found, folder / "int8.xml", "f32")


PEERS: dict[str, Callable[[Case, Sequence[Feed], Path], Peer]] = {
    "ort-float": ort_float,
    "ort-fused": ort_fused,
    "ort-dynamic": ort_dynamic,
    "ort-dynamic-plain": ort_dynamic_plain,
    "ort-static": ort_static,
    "nncf-ort": nncf_ort,
    "openvino-f32": openvino_f32,
    "openvino-bf16": openvino_bf16,
    "nncf-openvino": nncf_openvino,
}


def _fused(case: Case, folder: Path) -> Path:
    path = folder / "fused.onnx"
    if not path.exists():
        from onnxruntime.transformers.optimizer import optimize_model

        found = optimize_model(str(case.model), model_type=case.model_type, opt_level=1)
        found.save_model_to_file(str(path))
    return path


def _nncf(model: Any, feeds: Sequence[Feed]) -> Any:  # Any: of onnx or OpenVINO
    nncf = optional("nncf")
    return nncf.quantize(
        model,
        nncf.Dataset([dict(feed) for feed in feeds]),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(feeds),
        target_device=nncf.TargetDevice.CPU,
    )


def _openvino(model: Any, path: Path, precision: str) -> Peer:  # Any: of OpenVINO
    openvino = optional("openvino")
    openvino.save_model(model, path, compress_to_fp16=precision != "f32" or path.stem == "int8")
    compiled = openvino.Core().compile_model(
        path,
        "CPU",
        {
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision,
        },
    )
    request = compiled.create_infer_request()

    def run(feed: Feed) -> NDArray[np.generic]:
        return np.asarray(request.infer(dict(feed))[compiled.output(0)])

    return Peer((path, path.with_suffix(".bin")), run)


class _Reader(CalibrationDataReader):
    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._left = iter(feeds)

    def get_next(self) -> dict[str, Any] | None:  # Any: arrays
        found = next(self._left, None)
        return None if found is None else dict(found)
