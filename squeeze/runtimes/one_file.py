"""A model as a single file, for devices that load one."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx.external_data_helper import uses_external_data

from squeeze.errors import UnsupportedError


def as_one_file(model: Path, path: Path) -> Path:
    """Copies `model` to `path`; weights that lie beside it are put inside.

    Raises UnsupportedError when it cannot be read, or would be larger than the 2 GB that one file holds.
    """
    try:
        proto = onnx.load(model, load_external_data=False)
        if not any(map(uses_external_data, proto.graph.initializer)):
            shutil.copyfile(model, path)
            return path
        onnx.load_external_data_for_model(proto, str(model.parent))
        onnx.save(proto, path)
    except (OSError, DecodeError, ValueError, onnx.checker.ValidationError) as e:
        said = str(e).split("\n")[0]
        raise UnsupportedError(f"{model}: cannot be made one file with its weights: {said}") from e
    return path
