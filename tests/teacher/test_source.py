"""What a source may be: told before anything is opened, refused in one or two lines that say what to do."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from squeeze import teacher
from squeeze.errors import ConfigError
from tests.teacher import models
from tests.teacher.conftest import load


class Touch:
    """Unpickled, it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def refused(path: Path, folder: Path, *words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(path, folder)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert text.count("\n") <= 1
    for word in words:
        assert word in text, text
    assert not (folder / "step").exists()


@pytest.mark.parametrize("name", ["a.pt2", "a.onnx", "a.pkl", "a"])
def test_missing_and_empty_files_are_refused(name: str, tmp_path: Path) -> None:
    refused(tmp_path / name, tmp_path, "no such file", ".pt2")
    (tmp_path / name).touch()
    refused(tmp_path / name, tmp_path, "empty")


def test_folder_and_pipe_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, tmp_path, "a folder", ".onnx")
    os.mkfifo(tmp_path / "pipe.onnx")
    refused(tmp_path / "pipe.onnx", tmp_path, "not a regular file")


@pytest.mark.parametrize(
    "name", ["evil.pkl", "evil.pt", "evil.pth", "evil.pt2", "evil.onnx", "evil"]
)
@pytest.mark.parametrize("protocol", [0, 1, 2, 5])
def test_pickle_under_any_name_is_refused_unopened(
    name: str, protocol: int, tmp_path: Path
) -> None:
    marker = tmp_path / "executed"
    (tmp_path / name).write_bytes(pickle.dumps(Touch(marker), protocol))
    refused(tmp_path / name, tmp_path, "pickle", "torch.export.save", "docs/teachers.md")
    assert not marker.exists()


@pytest.mark.parametrize("name", ["evil.pt", "evil.pt2"])
def test_pickled_model_in_a_torch_file_is_refused_unopened(name: str, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    torch.save(Touch(marker), tmp_path / name)
    refused(tmp_path / name, tmp_path, "torch.save", "torch.export.save", "--weights")
    assert not marker.exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", ["script.pt", "script.pt2"])
def test_torchscript_archive_is_refused(name: str, tmp_path: Path) -> None:
    module = torch.jit.trace(models.make(models.Vector), models.INPUTS["Vector"])
    torch.jit.save(module, tmp_path / name)
    refused(
        tmp_path / name, tmp_path, "TorchScript", f'torch.jit.load("{name}")', "torch.onnx.export("
    )


@pytest.mark.parametrize("name", ["net.pt", "net.pth", "net.pkl", "net.pt2"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_module_is_refused_by_its_class_with_the_line_that_saves_it(
    name: str, zipped: bool, tmp_path: Path
) -> None:
    torch.save(
        {"epoch": 3, "model": torch.nn.Sequential(torch.nn.Linear(6, 3))},
        tmp_path / name,
        _use_new_zipfile_serialization=zipped,
    )
    refused(
        tmp_path / name,
        tmp_path,
        "a pickled torch module (torch.nn.modules.container.Sequential)",
        'squeeze.save(model, example, "net.pt2")',
    )


def test_weights_given_as_the_model_say_that_they_are_weights(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2)}, tmp_path / "w.pt")
    refused(tmp_path / "w.pt", tmp_path, "weights without their model", "--weights w.pt")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("net.tflite", "tf2onnx"),
        ("net.h5", "tf2onnx"),
        ("net.safetensors", "--weights"),
        ("net.xyz", "not a known kind"),
    ],
)
def test_other_formats_say_the_way(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"something else")
    refused(tmp_path / name, tmp_path, words)


@pytest.mark.parametrize("content", [b"garbage" * 99, b"PK\x03\x04 no zip", b"\x80garbage"])
def test_garbage_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "net.pt2").write_bytes(content)
    refused(tmp_path / "net.pt2", tmp_path, "not a torch.export archive")


def test_weights_beside_a_whole_model_are_refused(vector_pt2: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"only for a teacher given as package.module:factory"):
        load(vector_pt2, tmp_path, weights=tmp_path / "w.safetensors")


def test_digest_of_a_file_is_its_sha256(vector_pt2: Path) -> None:
    expected = hashlib.sha256(vector_pt2.read_bytes()).hexdigest()
    assert teacher.source_digest(str(vector_pt2), None) == expected
