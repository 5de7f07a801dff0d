"""One peer quantises one file, in a process that may fail: python -m benchmarks.shipped_peer TOOL MODEL FEEDS OUT.

FEEDS is a folder of one `.npz` a calibration sample, with an array for each input as the model takes it.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.peers import optional
from squeeze.feed import Feed


def ort_static(model: Path, feeds: list[Feed], out: Path) -> None:
    """QDQ, U8 activations, S8 weights per channel."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = _prepared(model, Path(folder))
        quantize_static(
            str(prepared),
            str(out),
            _Reader(feeds),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )


def ort_dynamic(model: Path, feeds: list[Feed], out: Path) -> None:
    """S8 weights per channel; needs no samples."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = _prepared(model, Path(folder))
        quantize_dynamic(str(prepared), str(out), per_channel=True, weight_type=QuantType.QInt8)


def nncf(model: Path, feeds: list[Feed], out: Path) -> None:
    """The default preset; raises MissingPeer."""
    import onnx

    tool = optional("nncf")
    made = tool.quantize(
        onnx.load(model),
        tool.Dataset(feeds),
        subset_size=len(feeds),
        target_device=tool.TargetDevice.CPU,
    )
    onnx.save(made, out)


PEERS: dict[str, Callable[[Path, list[Feed], Path], None]] = {
    "nncf": nncf,
    "ort-dynamic": ort_dynamic,
    "ort-static": ort_static,
}


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    def __init__(self, feeds: list[Feed]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def _prepared(model: Path, folder: Path) -> Path:
    """With shapes and folded constants where its pre-processing manages that, with less of it where it does not."""
    for skip in (
        {},
        {"skip_symbolic_shape": True},
        {"skip_symbolic_shape": True, "skip_onnx_shape": True},
    ):
        at = folder / f"prepared{len(skip)}.onnx"
        try:
            quant_pre_process(str(model), str(at), **skip)
        except Exception:  # its shape inference raises bare Exceptions
            continue
        return at
    return model


def main() -> None:
    """Reads the feeds and runs the peer."""
    tool, model, feeds, out = sys.argv[1:]
    read: list[Feed] = []
    for path in sorted(Path(feeds).glob("*.npz")):
        with np.load(path) as arrays:
            read.append({name: arrays[name] for name in arrays.files})
    PEERS[tool](Path(model), read, Path(out))


if __name__ == "__main__":
    main()
