"""Small students by each loss of `squeeze.losses`, all else the same, against the usual one.

    python -m benchmarks.losses --pairs fashion-resnet --losses kd dist at --seeds 3 --steps 2500

Every loss is trained by the same steps on the same views of the same images; a seed decides weights, order and views,
so that losses are compared seed by seed. Finished runs stay in build/bench/losses: an interrupted benchmark goes on.
Writes benchmarks/results/losses.json (rows: pair, loss, seed, steps, images, metric, teacher_metric, seconds; points of
top-1 on the evaluate split, which no training sees) and prints the table of differences to `kd`.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import nn

from benchmarks import results_file
from benchmarks.cases import CASES, ROOT, cache_dir
from squeeze import calib as calibration
from squeeze import guides, losses, students, teacher
from squeeze.calib import Calib
from squeeze.losses import LOSSES
from squeeze.progress import Progress
from squeeze.spec import ArchSpec, DistillPart
from squeeze.teacher import Teacher
from squeeze.train.compute import Compute
from squeeze.train.student import train_student
from squeeze.workdir import digest_json

logger = logging.getLogger(__name__)

RESULTS = ROOT / "benchmarks/results/losses.json"
Json = dict[str, Any]  # Any: JSON
USUAL = "kd"
TAPS = students.TAPS
CONFIDENCE = 0.95


@dataclass(frozen=True)
class PairOfNets:
    """A case of `benchmarks.cases` for the teacher, and a student: its family, and how much wider than the smallest."""

    case: str
    family: str
    width: int


PAIRS = {
    "fashion-resnet": PairOfNets("fashion", "resnet", 2),
    "fashion-mbconv": PairOfNets("fashion", "mbconv", 2),
    "cifar-resnet": PairOfNets("cifar-resnet56", "resnet", 2),
    "cifar-mbconv": PairOfNets("cifar-resnet56", "mbconv", 2),
}


def fitting() -> list[str]:
    """The losses that classes can be learned by."""
    return [name for name, kind in LOSSES.items() if kind.space in ("classes", "features")]


def opened(pair: PairOfNets, images: int, folder: Path) -> tuple[Teacher, Calib, ArchSpec]:
    """Teacher, data with the first `images` to fit on (0 for all), and the untrained student."""
    case = CASES[pair.case]
    raw = calibration.load(case.calib(), seed=0)
    example = raw.feed(raw.fit, 0, 4)
    found = teacher.load(str(case.teacher_path()), weights=None, example=example, folder=folder)
    data = raw.fitted(found.interface)
    if images:
        chosen = np.sort(data.sample(data.fit, images))
        arrays = {name: np.asarray(rows[chosen]) for name, rows in data.fit.arrays.items()}
        y = None if data.fit.y is None else data.fit.y[chosen]
        digest = f"{data.fit.digest}-{len(chosen)}"
        data = replace(data, fit=replace(data.fit, arrays=arrays, y=y, digest=digest))
    spec = students.spec_of(found, data)
    genome = students.FAMILIES[pair.family].smallest(spec, False)
    wider = {
        key: tuple(pair.width * w for w in value) if key == "widths" else pair.width * value
        for key, value in genome.items()
        if key in ("stem", "widths")
    }
    return found, data, students.arch_of(pair.family, spec, {**genome, **wider})


def run_pair(name: str, given: argparse.Namespace) -> list[Json]:
    """One row for each loss and seed."""
    folder = cache_dir() / "losses" / name
    taught, data, arch = opened(PAIRS[name], given.images, folder / "teacher")
    compute = Compute.choose("cpu")
    truth = data.evaluate.y
    assert truth is not None
    x = data.inputs(data.evaluate)
    best = _top1(taught.outputs(x, threads=given.threads).logits, truth)
    rows = []
    for seed in range(given.seeds):
        plain = DistillPart(steps=given.steps, batch_size=given.batch_size, lr=given.lr)
        answers = folder / f"answers-{len(data.fit)}-{seed}"
        guides.cache_answers(
            taught,
            data,
            plain,
            seed=seed,
            threads=given.threads,
            folder=answers,
            progress=Progress(),
            taps=TAPS,
        )
        for loss in given.losses:
            part = plain.model_copy(update={"loss": loss})
            what = {"part": part.key(), "arch": arch.key(), "fit": data.fit.digest, "seed": seed}
            kept = folder / f"{loss}-{seed}-{digest_json(what)[:12]}.json"
            if not kept.is_file():
                began = time.monotonic()
                trained = train_student(
                    arch,
                    data,
                    part,
                    answers=answers,
                    seed=seed,
                    threads=given.threads,
                    compute=compute,
                    folder=folder / "checkpoints",
                    progress=Progress(),
                )
                row = {
                    "case": name,
                    "pair": name,
                    "loss": loss,
                    "seed": seed,
                    "steps": given.steps,
                    "batch_size": given.batch_size,
                    "images": len(data.fit),
                    "metric": _top1(_logits(trained.module, x), truth),
                    "teacher_metric": best,
                    "student_params": students.cost(arch).params,
                    "seconds": round(time.monotonic() - began, 1),
                }
                kept.write_text(json.dumps(row), encoding="utf-8")
            rows.append(json.loads(kept.read_text(encoding="utf-8")))
            logger.warning("%s %s seed %d: %.2f", name, loss, seed, rows[-1]["metric"])
    return rows


def compared(rows: Sequence[Json]) -> list[Json]:
    """For each pair and loss: the mean of `metric`, and of its difference to `kd` of the same seed with the half-width
    of its 95 % interval (Student's t; None for one seed), the best first."""
    found = []
    for pair in dict.fromkeys(row["pair"] for row in rows):
        here = [row for row in rows if row["pair"] == pair]
        usual = {row["seed"]: row["metric"] for row in here if row["loss"] == USUAL}
        table = []
        for loss in dict.fromkeys(row["loss"] for row in here):
            own = {row["seed"]: row["metric"] for row in here if row["loss"] == loss}
            gains = [own[seed] - usual[seed] for seed in own if seed in usual]
            table.append(
                {
                    "pair": pair,
                    "loss": loss,
                    "seeds": len(own),
                    "metric": float(np.mean(list(own.values()))),
                    "gain": float(np.mean(gains)) if gains else None,
                    "half": _half(gains),
                }
            )
        found += sorted(table, key=lambda row: -float(str(row["metric"])))
    return found


def _half(gains: list[float]) -> float | None:
    if len(gains) < 2:
        return None
    error = float(np.std(gains, ddof=1)) / len(gains) ** 0.5
    return float(stats.t.ppf(0.5 + CONFIDENCE / 2, len(gains) - 1)) * error


def _logits(module: nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        parts = [module(part).numpy() for part in torch.from_numpy(np.asarray(x)).split(500)]
    return np.concatenate(parts)


def _top1(logits: np.ndarray, truth: np.ndarray) -> float:
    return 100 * float((logits.argmax(1) == truth).mean())


def main() -> None:
    """Trains what is missing, writes the rows, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=["fashion-resnet"])
    parser.add_argument("--losses", nargs="+", choices=fitting(), default=fitting())
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=DistillPart().lr)
    parser.add_argument("--images", type=int, default=0, help="to fit on; 0 for all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    for name in given.losses:
        losses.refuse(name)
    rows = []
    for pair in given.pairs:
        made = run_pair(pair, given)
        results_file.write(given.out, "python -m benchmarks.losses", made, case=pair)
        rows += made
    for row in compared(rows):
        gain = "" if row["gain"] is None else f"{row['gain']:+.2f}"
        half = "" if row["half"] is None else f" ± {row['half']:.2f}"
        print(f"{row['pair']:16} {row['loss']:9} {row['metric']:6.2f}  {gain}{half}")


if __name__ == "__main__":
    main()
