"""External data of ONNX files is read from the file's own folder, and from nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from squeeze import teacher
from squeeze.errors import ConfigError
from tests.teacher.conftest import load
from tests.teacher.test_onnx import B, W, X, linear


def external(folder: Path, **changed: str) -> Path:
    """The linear model with its weights in `weights.bin`; `changed` entries say something else."""
    made = linear()
    (folder / "weights.bin").write_bytes(b"head" + W.tobytes())
    tensor = next(t for t in made.graph.initializer if t.name == "w")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entries = {"location": "weights.bin", "offset": "4", "length": str(W.nbytes), **changed}
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    path = folder / "net.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def test_data_beside_the_file_is_read_and_taken_in(tmp_path: Path) -> None:
    found = load(external(tmp_path), tmp_path, X)
    (tmp_path / "weights.bin").unlink()
    np.testing.assert_allclose(found.outputs(X).logits, X @ W + B, atol=1e-5)


def test_digest_covers_the_data(tmp_path: Path) -> None:
    path = external(tmp_path)
    before = teacher.source_digest(str(path), None)
    (tmp_path / "weights.bin").write_bytes(b"HEAD" + W.tobytes())
    assert teacher.source_digest(str(path), None) != before


@pytest.mark.parametrize(
    "location", ["/etc/passwd", "../secret", "a/../../secret", "..\\secret", "C:x", ""]
)
def test_location_outside_of_the_folder_is_refused(location: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(W.nbytes + 4))
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(ConfigError, match=r"tensor 'w' .*outside of the model's folder"):
        load(external(folder, location=location), tmp_path, X)


def test_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = external(folder)
    (folder / "weights.bin").rename(tmp_path / "secret")
    (folder / "weights.bin").symlink_to(tmp_path / "secret")
    with pytest.raises(ConfigError, match="a link out of the model's folder"):
        load(path, tmp_path, X)
    (folder / "weights.bin").unlink()
    (folder / "sub").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="a link out of the model's folder"):
        load(external(folder, location="sub/secret"), tmp_path, X)


def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = external(tmp_path, location="pipe")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="not a regular file"):
        load(path, tmp_path, X)


@pytest.mark.parametrize(
    "changed",
    [
        {"offset": "-4"},
        {"offset": "5"},
        {"offset": "99999999999"},
        {"length": "4"},
        {"length": "-1"},
        {"offset": "x"},
        {"location": "missing.bin"},
    ],
    ids=str,
)
def test_place_that_is_not_there_is_refused(changed: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tensor 'w'"):
        load(external(tmp_path, **changed), tmp_path, X)


def test_any_onnx_file_is_made_self_contained_as_it_is(tmp_path: Path) -> None:
    path = external(tmp_path)
    found = teacher.self_contained(path, tmp_path)
    (tmp_path / "weights.bin").unlink()
    (y,) = ort.InferenceSession(found).run(None, {"x": X})
    np.testing.assert_allclose(y, X @ W + B, atol=1e-5)
    assert (
        onnx.load(found).graph.output[0].name
        == onnx.load(path, load_external_data=False).graph.output[0].name
    )
    with pytest.raises(ConfigError, match="outside of the model's folder"):
        teacher.self_contained(external(tmp_path, location="../x"), tmp_path)
