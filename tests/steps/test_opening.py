"""What cannot be is said before anything is loaded or written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import squeeze
from squeeze import machine
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.goal import Reached
from squeeze.machine.facts import facts_of_this_machine
from squeeze.spec import Goal
from squeeze.steps.opening import begin
from squeeze.steps.refusals import refuse, refuse_unsaid
from squeeze.target import RuntimePart, Target
from tests.steps.conftest import a_recipe


def test_target_of_another_architecture_is_refused_before_anything_is_loaded_or_written(
    tmp_path: Path,
) -> None:
    other = "x86_64" if facts_of_this_machine().arch == "arm64" else "arm64"
    target = tmp_path / "other.toml"
    target.write_text(f'schema = 2\nname = "other"\nsummary = "s"\n[cpu]\narch = "{other}"\n')
    out, cache = tmp_path / "out", tmp_path / "cache"
    with pytest.raises(UnsupportedError, match=f"its processor is {other}") as e:
        # The teacher does not exist: it is not looked for.
        squeeze.compile("absent.onnx", None, str(target), out=out, cache=cache)
    assert e.value.exit_code == 3
    assert not out.exists()
    assert not cache.exists()


def test_worst_class_without_data_is_refused() -> None:
    recipe = a_recipe(goal={"max_worst_class_drop": 2.0})
    with pytest.raises(ConfigError, match=r"--worst-class-drop .*no data was given"):
        refuse(recipe, Target(name="t", summary="s"), data=False)


def test_pruning_without_data_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"prune\.ratio: pruning needs data"):
        refuse(a_recipe(prune={"ratio": 0.5}), Target(name="t", summary="s"), data=False)


def test_few_bits_are_refused_where_the_target_takes_no_op_of_ours() -> None:
    target = Target(name="t", summary="s", runtime=RuntimePart(custom_ops=False))
    with pytest.raises(UnsupportedError, match=r"quant\.bits = 4: target 't' takes no custom ops"):
        refuse(a_recipe(quant={"bits": 4}), target, data=True)


def test_few_bits_contradict_a_recipe_without_quantisation() -> None:
    with pytest.raises(ConfigError, match=r"quant\.enabled = false"):
        refuse(
            a_recipe(quant={"bits": 4, "enabled": False}),
            Target(name="t", summary="s"),
            data=True,
        )


def test_a_limit_of_memory_that_nothing_is_held_to_is_refused() -> None:
    said, unsaid = Reached(0.0, 1.0, 1, ram_bytes=10, flash_bytes=10), Reached(0.0, 1.0, 1)
    goal = Goal(max_ram_bytes=100, max_flash_bytes=100)
    refuse_unsaid(goal, "board", [said])
    refuse_unsaid(Goal(), "board", [unsaid])
    refuse_unsaid(goal, "board", [replace(unsaid, runs=False)])
    with pytest.raises(ConfigError, match="--ram: target 'board' does not say"):
        refuse_unsaid(goal, "board", [said, unsaid])
    with pytest.raises(ConfigError, match="--flash: target 'board' does not say"):
        refuse_unsaid(goal, "board", [replace(said, flash_bytes=None)])


def test_no_more_threads_than_there_are_cores(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cores = machine.usable_cores()
    run = begin(a_recipe(), tmp_path, cores + 5, "cpu", None)
    assert run.threads == cores
    assert f"--threads {cores + 5}: this machine has {cores} cores" in caplog.text
    assert begin(a_recipe(), tmp_path, None, "cpu", None).threads == cores
