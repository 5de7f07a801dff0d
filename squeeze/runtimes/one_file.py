"""A model as a single file, for devices that load one."""

from __future__ import annotations

import shutil
from pathlib import Path

from onnx.external_data_helper import uses_external_data

from squeeze.runtimes.plain_onnx import read, with_tensors, write


def as_one_file(model: Path, path: Path) -> Path:
    """Copies `model` to `path`; weights that lie beside it are put inside. Raises as `read` and `write` do."""
    proto = read(model)
    if any(map(uses_external_data, proto.graph.initializer)):
        return write(with_tensors(proto, model), path)
    shutil.copyfile(model, path)
    return path
