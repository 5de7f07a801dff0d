"""ONNX -> TFLite: the file that LiteRT, Ethos-U and microcontrollers load, float or int8, channels last."""

from __future__ import annotations

from squeeze.tflite.ports import Port, Ports, ports_of
from squeeze.tflite.whole import Written, lacking, refusals, write

__all__ = ["Port", "Ports", "Written", "lacking", "ports_of", "refusals", "write"]
