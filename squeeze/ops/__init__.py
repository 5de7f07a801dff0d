"""The Python face of our native ops: where the library is, and per op the schema and the ONNX function body."""

from __future__ import annotations

from squeeze.ops.library import library_path as library_path

DOMAIN = "ai.squeeze"
VERSION = 1
