"""Other ways to make a teacher small and fast, each at its best known settings: what squeeze has to beat.

Every maker takes the teacher as fp32 ONNX (dynamic batch, one input, one output), calibration inputs as
the model takes them, and a folder for its files; it returns a `Peer` that runs on one thread.

    teacher-fp32-ort   the teacher as it is
    ort-int8           onnxruntime.quantization: pre-processing, QDQ, U8 activations, S8 weights per channel
    nncf-ort           nncf's post-training quantisation of the ONNX file, run by ONNX Runtime
    openvino-fp32      OpenVINO, arithmetic held at float32 (it would choose bfloat16 where the CPU has it)
    openvino-bf16      OpenVINO in bfloat16: what it does by itself on a CPU with bfloat16 tile units
    nncf-openvino      nncf's post-training quantisation of the OpenVINO model

A missing optional package is a MissingPeer, which says what to install. No telemetry leaves the machine:
squeeze/offline.py blocks the package that would send it before OpenVINO or nncf are imported.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

CALIBRATION_SAMPLES = 512
CHUNK = 100


class MissingPeer(Exception):
    """A peer cannot run here: its package is not installed, or the CPU lacks what it needs; the message says which."""


@dataclass(frozen=True)
class Peer:
    """One file on one runtime, one thread. `once` runs a batch of one; `batch` any number of samples."""

    name: str
    files: tuple[Path, ...]
    once: Callable[[np.ndarray], np.ndarray]  # x: [1, ...] -> [1, ...]
    batch: Callable[[np.ndarray], np.ndarray]  # x: [n, ...] -> [n, ...]

    @property
    def file_bytes(self) -> int:
        """Bytes that would have to be shipped."""
        return sum(path.stat().st_size for path in self.files)

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """Outputs for all samples, in chunks. x: [n, ...] -> [n, c]"""
        return np.concatenate(
            [self.batch(x[start : start + CHUNK]) for start in range(0, len(x), CHUNK)]
        )


def teacher_fp32_ort(model: Path, calibrate: np.ndarray, folder: Path) -> Peer:
    """The teacher under ONNX Runtime."""
    return _on_ort("teacher-fp32-ort", model)


def ort_int8(model: Path, calibrate: np.ndarray, folder: Path) -> Peer:
    """ONNX Runtime's own static quantisation, as its guide recommends for x86 with VNNI."""
    prepared, quantised = folder / "ort_prepared.onnx", folder / "ort_int8.onnx"
    quant_pre_process(str(model), str(prepared))
    quantize_static(
        str(prepared),
        str(quantised),
        _Reader(_input_name(prepared), calibrate[:CALIBRATION_SAMPLES]),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )
    return _on_ort("ort-int8", quantised)


def nncf_ort(model: Path, calibrate: np.ndarray, folder: Path) -> Peer:
    """nncf on the ONNX file. Its default preset mixes signed and unsigned activations, as its users get it."""
    import onnx

    nncf = optional("nncf")
    name = _input_name(model)
    quantised = nncf.quantize(
        onnx.load(model),
        _nncf_samples(nncf, calibrate, lambda x: {name: x}),
        subset_size=min(CALIBRATION_SAMPLES, len(calibrate)),
        target_device=nncf.TargetDevice.CPU,
    )
    path = folder / "nncf_int8.onnx"
    onnx.save(quantised, path)
    return _on_ort("nncf-ort", path)


def openvino_fp32(model: Path, calibrate: np.ndarray, folder: Path) -> Peer:
    """OpenVINO on the teacher, in float32."""
    openvino = optional("openvino")
    path = folder / "openvino_fp32.xml"
    openvino.save_model(openvino.Core().read_model(model), path, compress_to_fp16=False)
    return _on_openvino("openvino-fp32", path, {"INFERENCE_PRECISION_HINT": "f32"})


def openvino_bf16(model: Path, calibrate: np.ndarray, folder: Path) -> Peer:
    """OpenVINO on the teacher, in bfloat16; weights stored as fp16."""
    openvino = optional("openvino")
    core = openvino.Core()
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise MissingPeer("this CPU has no bfloat16 arithmetic")
    path = folder / "openvino_bf16.xml"
    openvino.save_model(core.read_model(model), path, compress_to_fp16=True)
    return _on_openvino("openvino-bf16", path, {"INFERENCE_PRECISION_HINT": "bf16"})


def nncf_openvino(model: Path, calibrate: np.ndarray, folder: Path) -> Peer:
    """nncf on the OpenVINO model, fp32 left-overs stored as fp16: the smallest and fastest that OpenVINO ships."""
    openvino, nncf = optional("openvino"), optional("nncf")
    quantised = nncf.quantize(
        openvino.Core().read_model(model),
        _nncf_samples(nncf, calibrate, lambda x: x),
        subset_size=min(CALIBRATION_SAMPLES, len(calibrate)),
        target_device=nncf.TargetDevice.CPU,
    )
    path = folder / "openvino_int8.xml"
    openvino.save_model(quantised, path, compress_to_fp16=True)
    return _on_openvino("nncf-openvino", path, {"INFERENCE_PRECISION_HINT": "f32"})


PEERS: dict[str, Callable[[Path, np.ndarray, Path], Peer]] = {
    "nncf-openvino": nncf_openvino,
    "nncf-ort": nncf_ort,
    "openvino-bf16": openvino_bf16,
    "openvino-fp32": openvino_fp32,
    "ort-int8": ort_int8,
    "teacher-fp32-ort": teacher_fp32_ort,
}


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    def __init__(self, name: str, samples: np.ndarray) -> None:
        self._feeds: Iterator[dict[str, np.ndarray]] = iter(
            [{name: samples[i : i + 1]} for i in range(len(samples))]
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


def _input_name(model: Path) -> str:
    return str(_session(model).get_inputs()[0].name)


def _session(model: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def _on_ort(name: str, model: Path) -> Peer:
    session = _session(model)
    feed = session.get_inputs()[0].name

    def run(x: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(None, {feed: x})[0])

    return Peer(name, (model,), run, run)


def _on_openvino(name: str, path: Path, settings: dict[str, str]) -> Peer:
    openvino = optional("openvino")
    core = openvino.Core()
    options = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # a pinned thread cannot dodge other work; the others are not pinned
        **settings,
    }

    # A fixed batch of one is what OpenVINO's guide asks for when latency matters; accuracy runs in batches.
    fixed = core.read_model(path)
    shape = [1, *(d.get_length() for d in list(fixed.input(0).partial_shape)[1:])]
    fixed.reshape(shape)
    one = core.compile_model(fixed, "CPU", options).create_infer_request()
    many = core.compile_model(core.read_model(path), "CPU", options).create_infer_request()

    def once(x: np.ndarray) -> np.ndarray:
        one.infer([x], share_inputs=True)
        return np.asarray(one.get_output_tensor(0).data)

    def batch(x: np.ndarray) -> np.ndarray:
        many.infer([x], share_inputs=True)
        return np.array(many.get_output_tensor(0).data)

    return Peer(name, (path, path.with_suffix(".bin")), once, batch)


def _nncf_samples(
    nncf: ModuleType,
    calibrate: np.ndarray,
    feed: Callable[[np.ndarray], Any],  # Any: each nncf back end wants its own kind of input
) -> Any:
    samples = calibrate[:CALIBRATION_SAMPLES]
    return nncf.Dataset([samples[i : i + 1] for i in range(len(samples))], feed)


def optional(package: str) -> ModuleType:
    """An optional package. Raises MissingPeer, which says what to install."""
    try:
        module = importlib.import_module(package)
    except ImportError as e:
        raise MissingPeer(
            f"{package} is not installed ({e}); to compare with it: pip install -c constraints.txt -e '.[peers]'"
        ) from e
    logging.getLogger("nncf").setLevel(logging.ERROR)
    return module
