"""A package is whole or absent, and a changed byte is found by name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from squeeze import artifact, seal
from squeeze.errors import ConfigError
from squeeze.workdir import digest_json

Json = dict[str, Any]

FILES = {
    "model.onnx": b"model",
    "golden.npz": b"golden",
    "report.html": b"<html>",
    "bom.cdx.json": b"{}",
}
MANIFEST = {
    "schema": seal.SCHEMA,
    "arch": None,
    "verdict": {"met": True},
    "teacher": {"source": "t.onnx"},
}


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
    def outside(manifest: Json) -> None:
        manifest["files"]["../secret"] = {"digest": "0", "bytes": 1}

    refused(tmp_path, outside, "outside of the package")


def test_package_without_what_proves_something_is_refused_though_its_manifest_agrees(
    tmp_path: Path,
) -> None:
    def nothing(manifest: Json) -> None:
        manifest["files"] = {}

    for name in FILES:

        def one_less(manifest: Json, name: str = name) -> None:
            del manifest["files"][name]

        refused(tmp_path, one_less, f"does not list '{name}'")
    refused(tmp_path, nothing, "does not list")


def test_file_of_the_device_has_to_be_listed(tmp_path: Path) -> None:
    def device(manifest: Json) -> None:
        manifest["device"] = {"files": ["model.tflite"]}

    refused(tmp_path, device, r"does not list 'model\.tflite'")


def test_artifact_digest_that_is_not_that_of_the_files_is_refused(tmp_path: Path) -> None:
    def another(manifest: Json) -> None:
        manifest["artifact_digest"] = "0" * 64

    refused(tmp_path, another, "artifact_digest is not that of the model")


def test_file_that_the_manifest_does_not_list_is_refused(tmp_path: Path) -> None:
    artifact.write(tmp_path / "out", MANIFEST, FILES)
    (tmp_path / "out" / "libother.so").write_bytes(b"x")
    with pytest.raises(seal.Damaged, match=r"libother\.so: is not in the manifest"):
        artifact.open(tmp_path / "out")


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_link_is_refused_though_its_target_has_the_right_bytes(tmp_path: Path, name: str) -> None:
    artifact.write(tmp_path / "out", MANIFEST, FILES)
    file = tmp_path / "out" / name
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(seal.Damaged, match=rf"{name}: is a link"):
        artifact.open(tmp_path / "out")


def refused(folder: Path, change: Callable[[Json], None], why: str) -> None:
    """Writes a package, changes its manifest, seals that anew as an attacker would, and opens it."""
    place = folder / f"out-{len(list(folder.iterdir()))}"
    artifact.write(place, MANIFEST, FILES)
    manifest = json.loads((place / "manifest.json").read_text())
    del manifest["digest"]
    change(manifest)
    (place / "manifest.json").write_text(json.dumps({**manifest, "digest": digest_json(manifest)}))
    with pytest.raises(seal.Damaged, match=why):
        artifact.open(place)


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


def test_a_kill_at_any_moment_leaves_the_old_package_or_the_new_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    artifact.write(out, MANIFEST, FILES)
    source = (
        "import sys; from pathlib import Path; from squeeze import artifact\n"
        f"manifest, files = {MANIFEST!r}, {FILES!r}\n"
        "for i in range(10**6):\n"
        "    artifact.write(Path(sys.argv[1]), manifest, {**files, 'model.onnx': str(i).encode()})\n"
        "    print(flush=True)\n"
    )
    for moment in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", source, str(out)], stdout=subprocess.PIPE, bufsize=0
        )
        assert child.stdout is not None
        child.stdout.read(1)  # the first package is written; the next ones follow at once
        time.sleep(0.0007 * moment)
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
        assert artifact.open(out).model.read_bytes().isdigit()


def test_a_package_that_a_kill_left_beside_its_place_is_put_back(tmp_path: Path) -> None:
    out = tmp_path / "out [1]"
    artifact.write(out, MANIFEST, FILES)
    out.rename(tmp_path / ".out [1].4711.old")
    assert artifact.open(out).model.read_bytes() == b"model"
    assert [p.name for p in tmp_path.iterdir()] == ["out [1]"]


def test_a_package_of_another_version_is_said(tmp_path: Path) -> None:
    artifact.write(tmp_path / "out", {**MANIFEST, "schema": 1}, FILES)
    with pytest.raises(ConfigError, match=r"another version of squeeze wrote it \(schema 1"):
        artifact.open(tmp_path / "out")


def test_what_a_killed_write_left_does_not_stop_the_next_compile(tmp_path: Path) -> None:
    artifact.write(tmp_path / "out" / "a", MANIFEST, FILES)
    (tmp_path / "out" / ".b.4711.part").mkdir()
    assert artifact.places(tmp_path / "out", ["a", "b"]) == [
        tmp_path / "out" / "a",
        tmp_path / "out" / "b",
    ]


def test_folder_of_several_packages_names_those_to_give(tmp_path: Path) -> None:
    for name in ("arm", "host"):
        artifact.write(tmp_path / "out" / name, MANIFEST, FILES)
    (tmp_path / "out" / artifact.INDEX).write_text("{}")
    with pytest.raises(ConfigError) as e:
        artifact.open(tmp_path / "out")
    out = tmp_path / "out"
    assert str(e.value) == (
        f"{out}: holds several packages; give one of them: {out}/arm or {out}/host"
    )
