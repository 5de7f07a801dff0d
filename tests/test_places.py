"""Where results go: links are followed, and what cannot be written is refused before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from squeeze import artifact, seal
from squeeze.errors import ConfigError
from squeeze.workdir import check_target_file, write_target_file

FILES = {seal.MODEL: b"model", seal.GOLDEN: b"golden", seal.REPORT: b"report", seal.BOM: b"{}"}


@pytest.mark.parametrize("leads_to", ["nowhere", "link"])
def test_a_link_to_nothing_is_no_folder(leads_to: str, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(leads_to)
    with pytest.raises(ConfigError, match="is a link to nothing"):
        artifact.check_output(link)


def test_a_package_goes_where_a_link_leads_and_the_link_stays(tmp_path: Path) -> None:
    real, link = tmp_path / "disk" / "real", tmp_path / "link"
    real.mkdir(parents=True)
    link.symlink_to(real)
    for _ in range(2):  # the second time there is one already
        artifact.check_output(link)
        made = artifact.write(link, {"schema": seal.SCHEMA}, FILES)
        assert made.path == link
        assert link.is_symlink()
        assert artifact.open(link).digest == artifact.open(real).digest
        assert [path.name for path in real.parent.iterdir()] == ["real"]
        assert [path.name for path in tmp_path.iterdir() if path.name not in ("disk", "link")] == []


def test_a_package_with_a_file_of_somebody_else_in_its_folder_is_not_replaced(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    artifact.write(out, {"schema": seal.SCHEMA}, FILES)
    artifact.check_output(out)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(
        ConfigError, match=r"holds 'notes.txt' beside a squeeze package, which would be lost"
    ):
        artifact.check_output(out)
    assert (out / "notes.txt").read_text() == "mine"


def test_a_file_goes_where_a_link_leads(tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    model.write_bytes(b"m")
    for name in ("there.onnx", "new.onnx"):
        (tmp_path / "there.onnx").write_bytes(b"old")
        link = tmp_path / "link.onnx"
        link.unlink(missing_ok=True)
        link.symlink_to(name)
        check_target_file(link, model)
        write_target_file(link, b"written")
        assert link.is_symlink()
        assert (tmp_path / name).read_bytes() == b"written"


def test_a_link_to_the_model_and_one_into_no_folder_are_refused(tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    model.write_bytes(b"m")
    link = tmp_path / "link.onnx"
    for leads_to, wanted in (
        ("m.onnx", "is the model itself"),
        ("gone/x.onnx", "there is no folder"),
    ):
        link.unlink(missing_ok=True)
        link.symlink_to(leads_to)
        with pytest.raises(ConfigError, match=wanted):
            check_target_file(link, model)


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(ConfigError, match=r"in a circle|there is no folder"):
        check_target_file(tmp_path / "circle" / "x.onnx", tmp_path / "m.onnx")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc here")
def test_file_systems_that_take_nothing_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        check_target_file(Path("/proc/x.onnx"), tmp_path / "m.onnx")
    with pytest.raises(ConfigError, match="cannot be written"):
        artifact.check_output(Path("/proc/x"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_device_is_no_file(tmp_path: Path) -> None:
    link = tmp_path / "x.onnx"
    link.symlink_to("/dev/full")
    with pytest.raises(ConfigError, match="is no regular file"):
        check_target_file(link, tmp_path / "m.onnx")
