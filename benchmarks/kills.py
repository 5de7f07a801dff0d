"""Whether a compile that is killed at any moment goes on to the bytes of one that nobody killed: SIGKILL, 100 times.

A small network is compiled with a search, a training and all that follows. Each compile is killed at a random moment
and begun again with the same command until it ends, which is a row: how often, in which steps, and whether the
artifact is that of the compile that nobody killed. A package that lies there after a kill must be whole.

python -m benchmarks.kills [--kills 100] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from benchmarks import results_file
from squeeze import artifact, save

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = Path(__file__).parent / "results" / "kills.json"
CASE = "rings"
# Of the time of a whole compile; later ones have less left to do.
LATEST = 0.7
RECIPE = """
schema = 1
name = "killed"
[goal]
max_drop = 50.0
max_bytes = 40_000
[search]
evaluations = 2
population = 2
measured = 1
speedup = 1.0
shrink = 6.0
batch_size = 16
[distill]
steps = 100
batch_size = 32
views = 1
checkpoint_s = 0.5
[quant]
samples = 64
method = "post-training"
"""
Json = dict[str, Any]  # Any: JSON


def main() -> None:
    """Kills until enough is killed, and puts this machine's rows into results/kills.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    command = f"python -m benchmarks.kills --kills {given.kills} --seed {given.seed}"
    rows: list[Json] = []
    for row in _rows(given.kills, Random(given.seed)):
        rows.append(row)
        kills = sum(row["kills"] for row in rows)
        same = sum(row["kills"] for row in rows if row["same_bytes"])
        told = {"seed": given.seed, "kills": kills, "resumed_to_the_same_bytes": same}
        results_file.write(RESULTS, command, rows, run=told)
        print(f"{same} of {kills} kills went on to the same bytes", flush=True)
    if any(not row["same_bytes"] for row in rows):
        sys.exit(1)


def _rows(kills: int, random: Random) -> Iterator[Json]:
    """A row for each compile, until there were that many kills."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _teacher(folder)
        (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
        began = time.monotonic()
        expected = _ended(_begun(folder, "whole"))
        whole_s = time.monotonic() - began
        done, turn = 0, 0
        while done < kills:
            row = _killed(folder, f"compile{turn}", kills - done, whole_s, random)
            row["same_bytes"] = row.pop("artifact_digest") == expected
            done, turn = done + row["kills"], turn + 1
            yield {"case": CASE, "compile": turn, "whole_s": round(whole_s, 1), **row}


def _killed(folder: Path, name: str, most: int, whole_s: float, random: Random) -> Json:
    """One compile: killed up to `most` times, then left alone."""
    killed_in: Counter[str] = Counter()
    while killed_in.total() < most:
        process = _begun(folder, name)
        try:
            process.wait(random.uniform(0, LATEST * whole_s))
            break  # it was done before
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        killed_in[_at(folder / name / "cache")] += 1
        if (out := folder / name / "out").exists():
            artifact.open(out)
    digest = _ended(_begun(folder, name))
    return {
        "kills": killed_in.total(),
        "killed_in": dict(killed_in.most_common()),
        "artifact_digest": digest,
    }


def _at(cache: Path) -> str:
    """The step whose folder was begun last and is not done; "between" where there is none."""
    begun = [path for path in (cache / "partial").glob("*") if path.is_dir()]
    latest = max(begun, key=lambda path: path.stat().st_mtime, default=None)
    return "between" if latest is None else latest.name.rpartition("-")[0]


def _begun(folder: Path, name: str) -> subprocess.Popen[str]:
    place = folder / name
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "squeeze", "compile", str(folder / "teacher.onnx")),
            *("--calib", str(folder / "data.npz"), "--recipe", str(folder / "recipe.toml")),
            *("--threads", "1", "--cache", str(place / "cache"), "-o", str(place / "out")),
            "--json",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _ended(process: subprocess.Popen[str]) -> str:
    """The digest of what the compile was to make."""
    said, _ = process.communicate()
    found = json.loads(said)
    if "artifact_digest" not in found:
        raise RuntimeError(f"the compile failed: {found.get('error')}")
    return str(found["artifact_digest"])


def _teacher(folder: Path) -> None:
    """A network that tells three rings apart, and data: the class is the distance from the origin in a plane."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    y, angle = rng.integers(0, 3, 900), rng.uniform(0, 2 * np.pi, 900)
    x = rng.normal(0, 0.2, (900, 16)).astype(np.float32)
    x[:, 0] += (y + 1) * np.cos(angle)
    x[:, 1] += (y + 1) * np.sin(angle)
    module = nn.Sequential(
        nn.Linear(16, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 3)
    )
    optimiser = torch.optim.Adam(module.parameters(), 3e-3)
    inputs, labels = torch.from_numpy(x[:600]), torch.from_numpy(y[:600])
    for _ in range(120):
        optimiser.zero_grad()
        nn.functional.cross_entropy(module(inputs), labels).backward()
        optimiser.step()
    save(module.eval(), inputs[:1], folder / "teacher.onnx")
    np.savez(folder / "data.npz", x_train=x[:600], y_train=y[:600], x_test=x[600:], y_test=y[600:])


if __name__ == "__main__":
    main()
