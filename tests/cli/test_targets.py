"""`squeeze targets`: the class of each target's numbers here, one target, and a file of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from squeeze.commands.targets import describe_target, list_targets
from squeeze.spec import names
from squeeze.target import load_target
from tests.cli.run import only_object
from tests.measure.models import conv
from tests.started import run

BOARD = """\
schema = 2
name = "board"
summary = "a board far away"

[cpu]
arch = "{arch}"

[runtime]
name = "onnxruntime"
"""
PEAK = """
[peak]
float_macs_per_s = 1e6
memory_bytes_per_s = 1e5

[sources]
"peak.float_macs_per_s" = "by hand"
"peak.memory_bytes_per_s" = "the same hand"
"""


def board(folder: Path, arch: str, more: str = "") -> Path:
    path = folder / "board.toml"
    path.write_text(BOARD.format(arch=arch) + more)
    return path


def test_every_shipped_target_says_what_it_gives_or_what_is_missing() -> None:
    found = {one["name"]: one for one in list_targets()["targets"]}
    assert list(found) == names("targets")
    for one in found.values():
        assert one["gives"] in ("measured", "cycles", "static", "emulated", "estimate", None)
        assert one["gives"] is not None or one["missing"]
    assert (found["host"]["gives"], found["host"]["missing"]) == ("measured", None)
    assert found["host"]["runtime_version"].startswith("onnxruntime 1.")


def test_out_of_reach_it_is_estimated_where_the_file_says_what_it_reaches(tmp_path: Path) -> None:
    other = "hexagon"  # nowhere the machine that this runs on
    without = describe_target(board(tmp_path, other))["target"]
    assert without["gives"] is None
    assert "run squeeze on such a device" in without["missing"]
    found = describe_target(board(tmp_path, other, PEAK))["target"]
    assert found["gives"] == "estimate"
    assert found["missing"] == without["missing"]


def test_a_model_is_estimated_there_and_called_so(tmp_path: Path) -> None:
    model = conv(tmp_path / "m.onnx", channels=4, filters=8, kernel=3, size=10)
    target = board(tmp_path, "hexagon", PEAK)
    done = run("fit", model, "--target", target, "--json")
    (row,) = only_object(done.stdout)["targets"]
    assert (row["fits"], row["source"]) == (True, "estimate")
    # x 1600, y 3200 and weights of 1184 bytes at 1e5 bytes a second
    assert row["latency_ms"] == pytest.approx(59.84)
    assert "its processor is hexagon" in row["missing"]


def test_the_screens_name_classes_and_sources(tmp_path: Path) -> None:
    done = run("targets")
    assert done.returncode == 0, done.stderr
    for name in names("targets"):
        assert name in done.stdout
    assert "measured: measured here" in done.stdout
    done = run("targets", board(tmp_path, "hexagon", PEAK))
    assert done.returncode == 0, done.stderr
    assert "gives here estimate: our model of the device" in done.stdout
    (line,) = [t for t in done.stdout.splitlines() if t.startswith("peak.memory_bytes_per_s")]
    assert line.split() == ["peak.memory_bytes_per_s", "100,000", "the", "same", "hand"]


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    done = run("targets", "hoost", "--json")
    assert done.returncode == 2
    assert "Did you mean 'host'?" in only_object(done.stdout)["error"]
    done = run("targets", "ethos-u55")
    assert done.returncode == 2
    assert "Did you mean 'ethos-u55-128'?" in done.stderr


def test_a_file_of_this_machine_is_usable_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    done = run("targets", "new", "mine", "-o", path, "--json")
    assert done.returncode == 0, done.stderr
    found = only_object(done.stdout)
    assert found["path"] == str(path)
    target = load_target(path)
    assert target.name == "mine"
    assert target.peak.int8_macs_per_s
    assert target.sources["peak.float_macs_per_s"].startswith("measured on 20")
    assert found["target"]["gives"] == "measured"
    model = conv(tmp_path / "m.onnx", channels=4, filters=8, kernel=3, size=10)
    done = run("profile", model, "--target", path, "--runs", "10", "--json")
    (row,) = only_object(done.stdout)["targets"]
    assert (row["target"], row["fits"], row["source"]) == ("mine", True, "measured")


@pytest.mark.parametrize(
    ("name", "out", "why"),
    [
        ("host", "x.toml", "a target of this name is shipped"),
        ("Mine!", "x.toml", "small letters, digits and -"),
        ("mine", "x.txt", "target files end in .toml"),
        ("mine", "there.toml", "is there already"),
        ("mine", "no/x.toml", "there is no folder"),
    ],
    ids=["shipped", "letters", "suffix", "exists", "folder"],
)
def test_a_new_file_is_refused_before_anything_is_measured(
    name: str, out: str, why: str, tmp_path: Path
) -> None:
    (tmp_path / "there.toml").write_text("mine")
    before = sorted(tmp_path.iterdir())
    done = run("targets", "new", name, "-o", tmp_path / out)
    assert done.returncode == 2
    assert why in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "there.toml").read_text() == "mine"
