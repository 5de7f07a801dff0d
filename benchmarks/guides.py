"""One small student by each way of `[distill]` to choose views, samples, labels and who teaches, by equal steps.

    python -m benchmarks.guides --seeds 2 --steps 100 --images 1000

The student, its teacher and its data are the pair `fashion-resnet-s2` of `benchmarks.losses`. A seed decides weights,
order and views. All of it is steps of a compile, kept in build/bench/guides: an interrupted benchmark goes on. Writes
benchmarks/results/guides.json (rows: setting, distill, seed, steps, images, metric, agreement, teacher_metric,
label_weight, answers, seconds; points of top-1 on the evaluate split, which no training sees) and prints the means.
answers: how many views the teacher, or an assistant, was asked; seconds: of all steps, answers included.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from benchmarks import results_file
from benchmarks.cases import ROOT, cache_dir
from benchmarks.losses import PAIRS, opened
from squeeze import steps, students
from squeeze.case import Case
from squeeze.guides.views import Views
from squeeze.metrics import Reading
from squeeze.net import FloatNet
from squeeze.progress import Progress
from squeeze.run import Run
from squeeze.seal import WEIGHTS
from squeeze.spec import ArchSpec, Recipe
from squeeze.steps.assisting import assisted
from squeeze.steps.float_student import distilled
from squeeze.train.compute import Compute
from squeeze.workdir import Workdir, digest_file

logger = logging.getLogger(__name__)

Json = dict[str, Any]  # Any: JSON
RESULTS = ROOT / "benchmarks/results/guides.json"
PAIR = "fashion-resnet-s2"
USUAL = "usual"

SORTED = {"drop_unsure": 0.05, "label_unsure": 0.1, "thin_sure": 0.2}
ONCE = {"keep": 0.25, "keep_chosen": "once"}
SETTINGS: dict[str, Json] = {
    USUAL: {},
    "regions, 4 crops": {"augment": "region", "crops": 4},
    "sorted": SORTED,
    "a quarter, once": ONCE,
    "a quarter, once, by the rule": {**ONCE, "label_weight": "auto"},
    "labels auto": {"label_weight": "auto"},
    "one assistant": {"assistants": 1},
}


def row(setting: str, seed: int, case: Case, arch: ArchSpec, given: argparse.Namespace) -> Json:
    """Trains, or takes what is in the work folder."""
    wanted = SETTINGS[setting]
    part = {
        "steps": given.steps,
        "batch_size": given.batch_size,
        "lr": given.lr,
        "views": given.views,
        **wanted,
    }
    search = {"evaluations": 1}  # what trains nothing is given no weight
    recipe = Recipe.model_validate(
        {"schema": 1, "name": "guides", "seed": seed, "search": search, "distill": part}
    )
    work = Workdir(cache_dir() / "guides")
    run = Run(work, seed, given.threads, Compute.choose("cpu"), Progress())
    fewer = steps.fewer(run, case, recipe.distill)
    recipe = steps.weighed(run, fewer, recipe)
    taught_run, taught = assisted(run, fewer, recipe, arch)
    trained = distilled(taught_run, taught, recipe.distill, arch)
    chosen = _chosen(arch, trained.path / WEIGHTS, case)
    data, truth = case.data, case.data.evaluate.y
    assert truth is not None
    said = case.teacher.outputs(data.inputs(data.evaluate), threads=given.threads).logits.argmax(1)
    views = Views(fewer.data, recipe.distill, seed).count * len(fewer.data.fit)
    return {
        "setting": setting,
        "distill": wanted,
        "seed": seed,
        "steps": given.steps,
        "batch_size": given.batch_size,
        "lr": given.lr,
        "images": len(data.fit),
        "metric": _points(chosen == truth),
        "agreement": _points(chosen == said),
        "teacher_metric": _points(said == truth),
        "label_weight": recipe.distill.label_weight,
        "answers": views * sum(step["name"] == "labels" for step in run.log),
        "seconds": round(sum(run.took.values()), 1),
    }


def means(rows: Sequence[Json]) -> list[tuple[str, float, list[float]]]:
    """For each setting the mean of `metric`, and by seed its difference to the usual one."""
    usual = {one["seed"]: one["metric"] for one in rows if one["setting"] == USUAL}
    found = []
    for setting in dict.fromkeys(one["setting"] for one in rows):
        own = {one["seed"]: one["metric"] for one in rows if one["setting"] == setting}
        gains = [round(own[seed] - usual[seed], 2) for seed in own if seed in usual]
        found.append((setting, float(np.mean(list(own.values()))), gains))
    return found


def _chosen(arch: ArchSpec, weights: Path, case: Case) -> np.ndarray:
    module = students.build(arch)
    module.load_state_dict(load_file(weights))
    x = torch.from_numpy(np.asarray(case.data.inputs(case.data.evaluate)))
    with torch.no_grad():
        return np.concatenate([module.eval()(some).argmax(1).numpy() for some in x.split(500)])


def _points(right: np.ndarray) -> float:
    return round(100 * float(right.mean()), 4)


def main() -> None:
    """Trains what is missing, writes the rows, prints the means."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.2)
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--images", type=int, default=1000, help="to fit on; 0 for all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    command = f"python -m benchmarks.guides {' '.join(sys.argv[1:])}".strip()
    folder = cache_dir() / "guides" / "teacher"
    teacher, data, arch = opened(PAIRS[PAIR], given.images, folder)
    net = FloatNet("kept", teacher.model, digest_file(teacher.model), teacher.interface)
    case = Case(teacher, net, data, (Reading(teacher.output.name, "top1"),), folder)
    rows: list[Json] = []
    for seed in range(given.seeds):
        for setting in given.settings:
            rows.append(row(setting, seed, case, arch, given))
            logger.warning("%s, seed %d: %.2f", setting, seed, rows[-1]["metric"])
            results_file.write(given.out, command, rows)
    for setting, metric, gains in means(rows):
        print(f"{setting:30} {metric:6.2f}  {'  '.join(f'{gain:+.2f}' for gain in gains)}")


if __name__ == "__main__":
    main()
