"""Same seed and threads, same bytes, in another process and after a SIGKILL at any moment."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from squeeze import losses
from squeeze.guides import cache_answers
from squeeze.progress import Progress
from tests.train import samples
from tests.train.train_once import LOSS, SEED, STEPS, train

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("answers")
    cache_answers(
        samples.convolutional_teacher(folder / "model", (1, 8, 8)),
        samples.calib(),
        samples.part(),
        seed=SEED,
        threads=1,
        folder=folder / "answers",
        progress=Progress(),
        taps=losses.needs(samples.part(loss=LOSS).loss),
    )
    return folder / "answers"


def weights(answers: Path, folder: Path, threads: int) -> bytes:
    folder.mkdir(parents=True, exist_ok=True)
    train(answers, folder / "checkpoints", threads, folder / "out", Progress())
    return (folder / "out").read_bytes()


def killed_after(step: int, answers: Path, folder: Path, threads: int) -> None:
    """Leaves in `folder` what a training in a process of its own had, when it was killed after `step` steps."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "tests.train.train_once"]
    arguments = [str(answers), str(folder / "checkpoints"), str(threads), str(folder / "out")]
    # Waiting threads sleep instead of spinning: on a busy machine two that spin hardly get on.
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    with subprocess.Popen(
        [*command, *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            process.stdin.write("\n")
            process.stdin.flush()
            if int(line) == step:
                time.sleep(
                    random.uniform(0, 0.03)
                )  # somewhere within the next step, or its checkpoint
                process.kill()
                break
        process.wait()
    assert process.returncode == -9
    assert not (folder / "out").exists()


@pytest.mark.parametrize("threads", [1, 2])
def test_weights_are_bit_identical_when_killed_and_resumed(
    threads: int, answers: Path, tmp_path: Path
) -> None:
    whole = weights(answers, tmp_path / "whole", threads)
    step = random.randint(2, STEPS - 2)  # any moment must do
    killed_after(step, answers, tmp_path / "killed", threads)
    assert list((tmp_path / "killed" / "checkpoints").glob("*.json")) or step < 4
    assert weights(answers, tmp_path / "killed", threads) == whole, f"killed after step {step}"


def test_a_damaged_checkpoint_costs_time_and_not_the_result(
    answers: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = weights(answers, tmp_path / "whole", 1)
    killed_after(7, answers, tmp_path / "killed", 1)
    newest = max((tmp_path / "killed" / "checkpoints").glob("*.safetensors"))
    data = bytearray(newest.read_bytes())
    data[-5] ^= 1
    newest.write_bytes(data)
    assert weights(answers, tmp_path / "killed", 1) == whole
    assert "damaged checkpoint" in caplog.text
