"""Which operator domains an ONNX file imports, read from its outermost fields without parsing the model.

A session has to know it for every model, also in the child that measures memory, where importing onnx would
be counted. Malformed bytes end the reading early: whoever opens the model afterwards reports them.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MODEL_OPSET_IMPORT = 8  # ModelProto.opset_import
_OPSET_DOMAIN = 1  # OperatorSetIdProto.domain
_LONGEST_IMPORT_BYTES = 1 << 16


def domains(model: Path | bytes) -> frozenset[str]:
    """The domains in the model's opset imports ("" is ONNX itself). Raises OSError when a file cannot be read."""
    found: set[str] = set()
    with io.BytesIO(model) if isinstance(model, bytes) else model.open("rb") as stream:
        for imported in _fields(stream, _MODEL_OPSET_IMPORT):
            names = _fields(io.BytesIO(imported), _OPSET_DOMAIN)
            found.add(names[-1].decode("utf-8", "replace") if names else "")
    return frozenset(found)


def _fields(stream: BinaryIO, wanted: int) -> list[bytes]:
    """The contents of each length-delimited field numbered `wanted`; everything else is skipped."""
    found: list[bytes] = []
    while (tag := _varint(stream)) is not None:
        field, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            _varint(stream)
        elif kind in (_FIXED32, _FIXED64):
            stream.seek(4 if kind == _FIXED32 else 8, io.SEEK_CUR)
        elif kind == _BYTES:
            length = _varint(stream)
            if length is None:
                break
            if field == wanted and length <= _LONGEST_IMPORT_BYTES:
                found.append(stream.read(length))
            else:
                stream.seek(length, io.SEEK_CUR)
        else:
            break
    return found


def _varint(stream: BinaryIO) -> int | None:
    value = 0
    for shift in range(0, 64, 7):
        byte = stream.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return None
