"""A package is whole or absent, and a changed byte is found by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from squeeze import artifact
from squeeze.errors import ConfigError

FILES = {"model.onnx": b"model", "golden.npz": b"golden", "report.html": b"<html>"}
MANIFEST = {"schema": 1, "arch": None, "verdict": {"met": True}, "teacher": {"source": "t.onnx"}}


def test_package_is_read_back_as_written(tmp_path: Path) -> None:
    written = artifact.write(tmp_path / "out", MANIFEST, FILES)
    opened = artifact.open(tmp_path / "out")
    assert opened.manifest == written.manifest
    assert opened.model.read_bytes() == b"model"
    assert opened.goal_met


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_changed_byte_is_found_with_the_name_of_the_file(tmp_path: Path, name: str) -> None:
    artifact.write(tmp_path / "out", MANIFEST, FILES)
    path = tmp_path / "out" / name
    if name == "manifest.json":
        path.write_text(path.read_text().replace("t.onnx", "u.onnx"))
    else:
        path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ConfigError, match=rf"{name}: the bytes changed"):
        artifact.open(tmp_path / "out")


def test_missing_member_and_garbage_manifest_are_said(tmp_path: Path) -> None:
    artifact.write(tmp_path / "out", MANIFEST, FILES)
    (tmp_path / "out" / "model.onnx").unlink()
    with pytest.raises(ConfigError, match=r"model\.onnx: missing"):
        artifact.open(tmp_path / "out")
    (tmp_path / "out" / "manifest.json").write_text("[]")
    with pytest.raises(ConfigError, match="not a readable manifest"):
        artifact.open(tmp_path / "out")
    with pytest.raises(ConfigError, match="not a squeeze package"):
        artifact.open(tmp_path)


def test_member_outside_of_the_package_is_refused(tmp_path: Path) -> None:
    from squeeze.workdir import digest_json

    (tmp_path / "out").mkdir()
    evil = {**MANIFEST, "files": {"../secret": {"digest": "0", "bytes": 1}}}
    evil["digest"] = digest_json(evil)
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(evil))
    with pytest.raises(ConfigError, match="outside of the package"):
        artifact.open(tmp_path / "out")


def test_artifact_digest_covers_what_was_compiled_and_not_what_was_measured(tmp_path: Path) -> None:
    one = artifact.write(tmp_path / "a", MANIFEST, FILES)
    two = artifact.write(tmp_path / "b", {**MANIFEST, "steps": [1]}, {**FILES, "report.html": b"x"})
    three = artifact.write(tmp_path / "c", MANIFEST, {**FILES, "model.onnx": b"other"})
    assert one.digest == two.digest != three.digest


def test_old_package_is_replaced_and_foreign_folder_is_not(tmp_path: Path) -> None:
    artifact.write(tmp_path / "out", MANIFEST, FILES)
    artifact.check_output(tmp_path / "out")
    artifact.write(tmp_path / "out", MANIFEST, {**FILES, "model.onnx": b"new"})
    assert artifact.open(tmp_path / "out").model.read_bytes() == b"new"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(ConfigError, match="holds other files"):
        artifact.check_output(tmp_path / "mine")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        artifact.check_output(tmp_path / "file")


def test_nothing_is_left_behind_when_writing_fails(tmp_path: Path) -> None:
    artifact.write(tmp_path / "out", MANIFEST, FILES)
    with pytest.raises(ConfigError, match="cannot be written"):
        artifact.write(tmp_path / "out", MANIFEST, {"no/such/folder": b""})
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert artifact.open(tmp_path / "out").model.read_bytes() == b"model"
