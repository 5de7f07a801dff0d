"""Run as a process by the tests, which kill it: `python -m tests.train.train_once ANSWERS FOLDER THREADS OUT`.

The loss has all that one can have: parameters, buffers, a past, and a weight that changes on the way.

Prints a line for each step done and waits for a line back; writes the weights to OUT at the end.
"""

from __future__ import annotations

import sys
from pathlib import Path

from safetensors.torch import save_file

from squeeze.progress import Progress
from squeeze.train.compute import Compute
from squeeze.train.student import train_student
from tests.train import samples

STEPS = 12
SEED = 5
LOSS = {
    "taid": 1.0,
    "pskd": {"weight": 0.2, "end_weight": 0.5},
    "lelp": {"weight": 0.5, "kinds": 2},
    "meal": 0.5,
    "mgd": 1e-3,
    "tgeo": 0.3,
}


class InStep(Progress):
    """So that the process cannot run ahead of the one that wants to kill it."""

    def update(self, done: int, total: int, note: str = "") -> None:
        sys.stdout.write(f"{done}\n")
        sys.stdout.flush()
        sys.stdin.readline()


def train(answers: Path, folder: Path, threads: int, out: Path, progress: Progress) -> None:
    result = train_student(
        samples.arch(),
        samples.calib(),
        samples.part(steps=STEPS, checkpoint_s=0, loss=LOSS),
        answers=answers,
        seed=SEED,
        threads=threads,
        compute=Compute.choose("cpu"),
        folder=folder,
        progress=progress,
    )
    save_file(result.module.state_dict(), out)


if __name__ == "__main__":
    train(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), InStep())
