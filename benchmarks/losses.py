"""Small students by each loss of `squeeze.losses`, all else the same, against the usual one.

    python -m benchmarks.losses --pairs fashion-resnet --losses kd dist at --seeds 3 --steps 2500

A loss is named as in `distill.loss`, or is one of SETTINGS, where its authors say more than its name. Every loss is
trained by the same steps on the same views of the same images; a seed decides weights, order and views, so that losses
are compared seed by seed. Finished runs stay in build/bench/losses: an interrupted benchmark goes on. Writes
benchmarks/results/losses.json after each run (rows: pair, loss, setting, seed, steps, images, metric, agreement,
teacher_metric, seconds; points of top-1 on the evaluate split, which no training sees) and prints the table of
differences to `kd`, by pair and over all pairs.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import nn

from benchmarks import results_file
from benchmarks.cases import CASES, ROOT, cache_dir
from squeeze import calib as calibration
from squeeze import guides, students, teacher
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


# What `distill.loss` is where a name alone is not what its authors, or the table of situations, would take.
SETTINGS: dict[str, dict[str, Json]] = {
    "labels": {"kd": {"label_weight": 1.0}},  # no teacher: what any loss has to beat
    "kd-1": {"kd": {"temperature": 1.0}},
    "kd-unlabelled": {"kd": {"label_weight": 0.0}},
    "nkd": {"nkd": {"temperature": 1.0, "label_weight": 0.5}},
    "pld": {"pld": {"temperature": 1.0}},
    "taid": {"taid": {"temperature": 1.0}},
    "sinkd": {"kd": {}, "sinkd": {"weight": 0.8, "temperature": 2.0}},
    "tgeo": {"tgeo": {"temperature": 1.5}},
}


@dataclass(frozen=True)
class PairOfNets:
    """A case of `benchmarks.cases` for the teacher, and a student: its family, how much wider than the smallest, and
    the stride of its first convolution."""

    case: str
    family: str
    width: int
    stem_stride: int = 1


PAIRS = {
    "fashion-resnet": PairOfNets("fashion", "resnet", 2),
    "fashion-resnet-s2": PairOfNets("fashion", "resnet", 2, stem_stride=2),
    "fashion-mbconv": PairOfNets("fashion", "mbconv", 2),
    "cifar-resnet": PairOfNets("cifar-resnet56", "resnet", 2),
    "cifar-mbconv": PairOfNets("cifar-resnet56", "mbconv", 2),
    "cifar-mbconv-s2": PairOfNets("cifar-resnet56", "mbconv", 2, stem_stride=2),
}


def fitting() -> list[str]:
    """What classes can be learned by: losses, and settings of theirs."""
    known = [name for name, kind in LOSSES.items() if kind.space in ("classes", "features")]
    return [*known, *(name for name in SETTINGS if name not in known)]


def setting_of(loss: str) -> str | dict[str, Json]:
    """The value of `distill.loss` for a name of `fitting`."""
    return SETTINGS.get(loss, loss)


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
    whole = {**genome, **wider, "stem_stride": pair.stem_stride}
    return found, data, students.arch_of(pair.family, spec, whole)


class Runs:
    """The runs of one pair: its teacher and data are opened once, answers are made once a seed."""

    def __init__(self, name: str, given: argparse.Namespace) -> None:
        self.name, self.given = name, given
        # Trainings of other lengths do not go in place of one another.
        self.case = f"{name}, {given.steps} steps"
        self.folder = cache_dir() / "losses" / name
        self.taught, self.data, self.arch = opened(
            PAIRS[name], given.images, self.folder / "teacher"
        )
        truth = self.data.evaluate.y
        assert truth is not None
        self.truth, self.x = truth, self.data.inputs(self.data.evaluate)
        self.plain = DistillPart(
            steps=given.steps, batch_size=given.batch_size, lr=given.lr, views=given.views
        )

    @cached_property
    def taught_choice(self) -> np.ndarray:
        """The class [n] that the teacher chooses of each sample of the evaluate split."""
        return self.taught.outputs(self.x, threads=self.given.threads).logits.argmax(1)

    def row(self, loss: str, seed: int) -> Json:
        """Trains, or takes what an earlier benchmark has left."""
        part = DistillPart.model_validate({**self.plain.model_dump(), "loss": setting_of(loss)})
        what = {
            "part": part.key(),
            "arch": self.arch.key(),
            "fit": self.data.fit.digest,
            "seed": seed,
        }
        kept = self.folder / f"{loss}-{seed}-{digest_json(what)[:12]}.json"
        if not kept.is_file():
            row = self._trained(loss, part, seed)
            kept.write_text(json.dumps(row), encoding="utf-8")
        return {**json.loads(kept.read_text(encoding="utf-8")), "case": self.case}

    def _trained(self, loss: str, part: DistillPart, seed: int) -> Json:
        answers = self._answers(seed)
        began = time.monotonic()
        trained = train_student(
            self.arch,
            self.data,
            part,
            answers=answers,
            seed=seed,
            threads=self.given.threads,
            compute=Compute.choose("cpu"),
            folder=self.folder / "checkpoints",
            progress=Progress(),
        )
        seconds = time.monotonic() - began
        choice = _logits(trained.module, self.x).argmax(1)
        return {
            "pair": self.name,
            "loss": loss,
            "setting": setting_of(loss),
            "seed": seed,
            "steps": part.steps,
            "batch_size": part.batch_size,
            "lr": part.lr,
            "views": part.views,
            "images": len(self.data.fit),
            "metric": _points(choice == self.truth),
            "agreement": _points(choice == self.taught_choice),
            "teacher_metric": _points(self.taught_choice == self.truth),
            "student_params": students.cost(self.arch).params,
            "seconds": round(seconds, 1),
        }

    def _answers(self, seed: int) -> Path:
        folder = self.folder / f"answers-{len(self.data.fit)}-{seed}"
        guides.cache_answers(
            self.taught,
            self.data,
            self.plain,
            seed=seed,
            threads=self.given.threads,
            folder=folder,
            progress=Progress(),
            taps=TAPS,
        )
        return folder


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


def overall(rows: Sequence[Json]) -> list[Json]:
    """For each loss its differences to `kd` of the same pair and seed, over all pairs: `runs`, in how many it is better
    (`wins`), the mean `gain` with the half-width of its 95 % interval, and `p` of a t-test that it is 0, after Holm's
    correction for as many tests as there are losses (None for one run). The best first.

    A seed's runs share weights and order, so that pairs of nets, of which there are few, are what it does not speak of.
    """
    usual = {(r["pair"], r["seed"]): r["metric"] for r in rows if r["loss"] == USUAL}
    table = []
    for loss in dict.fromkeys(row["loss"] for row in rows if row["loss"] != USUAL):
        own = {(r["pair"], r["seed"]): r["metric"] for r in rows if r["loss"] == loss}
        gains = [own[at] - usual[at] for at in own if at in usual]
        if gains:
            table.append(
                {
                    "loss": loss,
                    "runs": len(gains),
                    "wins": sum(gain > 0 for gain in gains),
                    "gain": float(np.mean(gains)),
                    "half": _half(gains),
                    "p": float(stats.ttest_1samp(gains, 0.0).pvalue) if len(gains) > 1 else None,
                }
            )
    _correct([row for row in table if row["p"] is not None])
    return sorted(table, key=lambda row: -float(str(row["gain"])))


def page(rows: Sequence[Json]) -> list[str]:
    """The lines of docs/losses.md for trainings of one length: top-1 of each pair, and what `overall` says."""
    pairs = list(dict.fromkeys(row["pair"] for row in rows))
    metric = {(row["pair"], row["loss"]): row["metric"] for row in compared(rows)}
    lines = [
        f"| loss | {' | '.join(pairs)} | against `{USUAL}` | better in | p |",
        "|---" * (len(pairs) + 4) + "|",
    ]
    usual = {"loss": USUAL, "gain": None, "half": None, "p": None, "wins": "", "runs": ""}
    found = overall(rows)
    place = next((i for i, row in enumerate(found) if row["gain"] < 0), len(found))
    for row in (*found[:place], usual, *found[place:]):
        top1 = " | ".join(f"{metric[pair, row['loss']]:.1f}" for pair in pairs)
        gain = "" if row["half"] is None else f"{row['gain']:+.1f} ± {row['half']:.1f}"
        wins = f"{row['wins']} of {row['runs']}" if row["runs"] else ""
        p = "" if row["p"] is None else f"{row['p']:.2g}"
        lines.append(f"| `{row['loss']}` | {top1} | {gain} | {wins} | {p} |")
    return lines


def _correct(tested: list[Json]) -> None:
    """Holm: the smallest of m counts m times, the next m - 1 times, and none less than the one before."""
    least = 0.0
    for place, row in enumerate(sorted(tested, key=lambda row: float(row["p"]))):
        least = max(least, min(1.0, (len(tested) - place) * row["p"]))
        row["p"] = least


def _half(gains: list[float]) -> float | None:
    if len(gains) < 2:
        return None
    error = float(np.std(gains, ddof=1)) / len(gains) ** 0.5
    return float(stats.t.ppf(0.5 + CONFIDENCE / 2, len(gains) - 1)) * error


def _logits(module: nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        parts = [module(part).numpy() for part in torch.from_numpy(np.asarray(x)).split(500)]
    return np.concatenate(parts)


def _points(right: np.ndarray) -> float:
    return round(100 * float(right.mean()), 4)


def main() -> None:
    """Trains what is missing, writes the rows, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=["fashion-resnet"])
    parser.add_argument("--losses", nargs="+", choices=fitting(), default=fitting())
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=DistillPart().lr)
    parser.add_argument("--views", type=int, default=DistillPart().views)
    parser.add_argument("--images", type=int, default=0, help="to fit on; 0 for all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    command = f"python -m benchmarks.losses {' '.join(sys.argv[1:])}".strip()
    runs = {pair: Runs(pair, given) for pair in given.pairs}
    rows: list[Json] = []
    for seed in range(given.seeds):
        for pair in given.pairs:
            for loss in given.losses:
                rows.append(runs[pair].row(loss, seed))
                logger.warning("%s %s seed %d: %.2f", pair, loss, seed, rows[-1]["metric"])
                own = [row for row in rows if row["pair"] == pair]
                results_file.write(given.out, command, own, case=runs[pair].case)
    for row in compared(rows):
        gain = "" if row["gain"] is None else f"{row['gain']:+.2f}"
        half = "" if row["half"] is None else f" ± {row['half']:.2f}"
        print(f"{row['pair']:18} {row['loss']:9} {row['metric']:6.2f}  {gain}{half}")
    print(*page(rows), sep="\n")


if __name__ == "__main__":
    main()
