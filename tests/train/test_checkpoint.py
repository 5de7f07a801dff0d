"""Checkpoints: whole or not at all."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from squeeze.train.checkpoint import Checkpoint, read_last, remove_all, write


def saved(folder: Path, *steps: int, training: str = "a") -> None:
    for step in steps:
        state = {"model": {"w": torch.full((2, 3), float(step))}, "momentum": {"w": torch.ones(3)}}
        write(folder, Checkpoint(step, state, [{"step": step, "loss": 0.5}]), training)


def test_the_newest_is_read_back_and_two_are_kept(tmp_path: Path) -> None:
    saved(tmp_path, 10, 20, 30)
    found = read_last(tmp_path, "a")
    assert found is not None
    assert found.step == 30
    assert found.history == [{"step": 30, "loss": 0.5}]
    assert torch.equal(found.state["model"]["w"], torch.full((2, 3), 30.0))
    assert len(list(tmp_path.iterdir())) == 4


def test_channels_last_weights_come_back_equal(tmp_path: Path) -> None:
    weight = torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last)
    write(tmp_path, Checkpoint(1, {"model": {"w": weight}}, []), "a")
    found = read_last(tmp_path, "a")
    assert found is not None
    assert torch.equal(found.state["model"]["w"], weight)


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    tmp_path: Path, suffix: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    saved(tmp_path, 10, 20)
    path = tmp_path / f"checkpoint_00000020{suffix}"
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        found = read_last(tmp_path, "a")
    assert found is not None
    assert found.step == 10
    # A record that is gone is a write that was cut short, nothing to warn of.
    assert ("damaged checkpoint" in caplog.text) == (suffix != ".json" or damage != "gone")


def test_nothing_is_read_when_all_are_damaged_or_of_another_training(tmp_path: Path) -> None:
    assert read_last(tmp_path, "a") is None
    saved(tmp_path, 10)
    assert read_last(tmp_path, "b") is None
    assert list(tmp_path.iterdir()) == []


def test_removal_takes_torn_files_too(tmp_path: Path) -> None:
    saved(tmp_path, 10)
    (tmp_path / "checkpoint_00000020.safetensors").write_bytes(b"half")
    remove_all(tmp_path)
    assert list(tmp_path.iterdir()) == []
