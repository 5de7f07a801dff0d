"""Baselines of profiles: counts are exact, times are held to the spread of rounds, machines are not mixed."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from squeeze.commands.baseline import save_baseline, unlike, worse_than
from squeeze.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

FOUND: dict[str, Any] = {
    "model": "net.onnx",
    "host": "a machine",
    "targets": [
        {
            "target": "host",
            "fits": True,
            "source": "measured",
            "file_bytes": 1000,
            "yardstick": {"median": 2.0, "p10": 1.9, "p90": 2.2},
        },
        {
            "target": "npu",
            "fits": True,
            "source": "cycles",
            "cycles": 500,
            "ram_bytes": 64,
            "traffic_bytes": {"dram_read": 10, "dram_write": 5},
        },
    ],
}


def changed(target: int, **values: object) -> dict[str, Any]:
    found = copy.deepcopy(FOUND)
    found["targets"][target] |= values
    return found


def test_the_same_profile_is_not_worse(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    save_baseline(path, FOUND)
    assert worse_than(path, FOUND) == []


@pytest.mark.parametrize(
    ("target", "values", "said"),
    [
        (1, {"cycles": 501}, "npu: cycles 500 -> 501"),
        (1, {"ram_bytes": 65}, "npu: ram bytes 64 -> 65"),
        (1, {"traffic_bytes": {"dram_read": 10, "dram_write": 6}}, "npu: traffic bytes 15 -> 16"),
        (1, {"fits": False}, "npu: it does not run there any more"),
        (0, {"file_bytes": 1001}, "host: file bytes 1,000 -> 1,001"),
    ],
)
def test_one_more_of_a_count_is_worse(
    tmp_path: Path, target: int, values: dict[str, Any], said: str
) -> None:
    path = tmp_path / "baseline.json"
    save_baseline(path, FOUND)
    assert worse_than(path, changed(target, **values)) == [said]
    assert worse_than(path, changed(1, cycles=400, ram_bytes=10)) == []


def test_time_is_worse_only_beyond_the_spread_of_both(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    save_baseline(path, FOUND)
    noisy = changed(0, yardstick={"median": 2.5, "p10": 2.1, "p90": 2.9})
    assert worse_than(path, noisy) == []
    slower = changed(0, yardstick={"median": 2.5, "p10": 2.4, "p90": 2.6})
    assert worse_than(path, slower) == [
        "host: +25 % time against the yardstick (2.00 -> 2.50, rounds then up to 2.20, now from 2.40)"
    ]


def test_what_another_machine_measured_is_refused_and_counts_are_not(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    save_baseline(path, FOUND)
    elsewhere = {**FOUND, "host": "another machine"}
    with pytest.raises(ConfigError, match="measured on a machine, this is another machine"):
        worse_than(path, elsewhere)
    counts_alone = {**elsewhere, "targets": FOUND["targets"][1:]}
    assert worse_than(path, counts_alone) == []


def test_another_model_and_targets_that_were_not_asked_are_said(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    save_baseline(path, FOUND)
    assert unlike(path, {**FOUND, "model": "elsewhere/net.onnx"}) == []
    other = {**FOUND, "model": "other.onnx", "targets": FOUND["targets"][1:]}
    assert worse_than(path, other) == []
    assert unlike(path, other) == [
        f"{path} is of net.onnx, and was held against other.onnx",
        f"{path} has more targets, which were not checked: host",
    ]


def test_a_file_that_is_no_baseline_says_how_to_make_one(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    for text in ("{}", "[1]", "no JSON", json.dumps({"schema": 99, "targets": {}, "host": ""})):
        path.write_text(text)
        with pytest.raises(ConfigError, match="--save-baseline"):
            worse_than(path, FOUND)
    with pytest.raises(ConfigError, match="cannot be read"):
        worse_than(tmp_path / "absent.json", FOUND)
