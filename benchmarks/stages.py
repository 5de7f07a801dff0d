"""A part of a text encoder that is trained in stages, beside one that learns everything at once for as many steps.

python -m benchmarks.stages [--steps N] [--questions Q] [--sentences S] [--folder DIR]
writes results/stages.json

The teacher is the case `trec` of `transformers`: all-MiniLM-L6-v2 as it is and a trained head, six classes of
questions. Task: Q questions of TREC (train) with their labels; general: S sentences of the STS benchmark (train). The
encoder was not fine-tuned, so the pretrained teacher of the first stage would be the teacher itself; that stage falls
away, as it does without --pretrained. Student: one part of the teacher, CHILD, as it is cut out of it. `stages`: N / 3
steps of each of the other three; `once`: N steps of the objective that parts learn by default, on all texts, without
labels; `once-task`: the same on the questions alone; `labels`: N steps of the last stage. metric: top-1 of the float
file on TREC (test).

With --folder a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import results_file, transformer_cases
from benchmarks.sentence_encoder import padded, sentences

if TYPE_CHECKING:
    from collections.abc import Callable

    from squeeze.case import Case
    from squeeze.run import Run
    from squeeze.spec import Recipe
    from squeeze.steps.inheriting_work import Kept
    from squeeze.students.encoder import Params

RESULTS = Path(__file__).parent / "results" / "stages.json"
SEED, LENGTH, HELD, OPSET = 0, 32, 300, 20
BATCH, LR = 16, 7e-4
CHILD = {"layers": 2, "heads": 6, "ffn": 384}
logger = logging.getLogger(__name__)

Json = dict[str, Any]  # Any: JSON


def main() -> None:
    """Trains the same part in each way, judges the files and writes the rows."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=240, help="of each student")
    parser.add_argument("--questions", type=int, default=2000, help="of the task, with labels")
    parser.add_argument("--sentences", type=int, default=1500, help="general texts")
    parser.add_argument("--folder", type=Path, help="where finished steps stay")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        rows = _rows(folder, given.steps, given.questions, given.sentences)
    command = (
        f"python -m benchmarks.stages --steps {given.steps} --questions {given.questions} "
        f"--sentences {given.sentences}"
    )
    facts = {"threads": 1, "seed": SEED, "batch_size": BATCH, "lr": LR}
    results_file.write(RESULTS, command, rows, case="trec", run=facts)


def _rows(folder: Path, steps: int, questions: int, count: int) -> list[Json]:
    from squeeze.calib.extra import own_samples
    from squeeze.spec import Recipe
    from squeeze.steps import begin, load
    from squeeze.steps.sharing import further_trained, inherited_from
    from squeeze.steps.staging import trained_in_stages
    from squeeze.students.encoder import Params

    judge = transformer_cases.trec(folder)
    task, general = folder / f"task-{questions}.npz", folder / f"general-{count}.npz"
    _write(task, general, questions, count)

    def recipe(names: tuple[str, ...]) -> Recipe:
        each = steps // max(1, len(names))
        supernet = {"further": steps, "batch_size": BATCH, "lr": LR}
        stages = [{**STAGES[name], "steps": each} for name in names]
        keys = {"schema": 1, "name": "stages", "seed": SEED, "supernet": supernet, "stages": stages}
        return Recipe.model_validate(keys)

    run = begin(recipe(()), folder / "cache", 1, "cpu", None)
    case = load(run, str(judge.model), None, str(task), None, extra=[str(general)])
    alone = replace(case, data=own_samples(case.data))
    inherited = inherited_from(run, case)
    child = Params.model_validate(inherited.result["params"]).model_copy(update=CHILD)

    def once(of: Case) -> Kept:
        return further_trained(run, of, inherited, inherited, child, recipe(()).supernet)

    def through(*names: str) -> Kept:
        return trained_in_stages(run, case, recipe(names), inherited, inherited, child).trained

    ways: dict[str, Callable[[], Kept]] = {
        "once": lambda: once(case),
        "once-task": lambda: once(alone),
        "labels": lambda: through("tsd"),
        "stages": lambda: through("ged", "tad", "tsd"),
    }
    return [_row(name, way, run, case, judge, child, steps) for name, way in ways.items()]


STAGES = {
    "ged": {"data": "general", "teacher": "fine-tuned", "loss": "latent"},
    "tad": {"data": "task", "teacher": "fine-tuned", "loss": "latent"},
    "tsd": {"data": "task", "teacher": "fine-tuned", "loss": "answers"},
}


def _row(
    name: str,
    way: Callable[[], Kept],
    run: Run,
    case: Case,
    judge: transformer_cases.Case,
    child: Params,
    steps: int,
) -> Json:
    from squeeze import runtimes, students
    from squeeze.spec import ArchSpec
    from squeeze.steps.exporting import export_student

    begun = time.process_time()
    trained = way()
    logger.info("%s: %.0f s of a core, where nothing was found", name, time.process_time() - begun)
    arch = ArchSpec(family=students.ENCODER, params=child.model_dump(mode="json"))
    made = run.step("export", export_student, trained=trained, arch=arch, case=case, opset=OPSET)

    def score(file: Path) -> float:
        session = runtimes.session(file, threads=1)
        found = judge.outputs(lambda feed: session.run(None, dict(feed))[0])
        return round(judge.score(found, found), 2)

    costs = child.costs(LENGTH)
    row: Json = {"case": "trec", "run": name, "steps": steps, **CHILD}
    row |= {"params": costs.params, "macs": costs.macs}
    row |= {"metric": score(made.path / "student.onnx"), "teacher_metric": score(judge.model)}
    logger.info("%s", row)
    return row


def _write(task: Path, general: Path, questions: int, count: int) -> None:
    """Questions with their classes, in three parts, and sentences."""
    texts, classes = transformer_cases.questions("train")
    order = np.random.default_rng(SEED).permutation(len(texts))[: questions + 2 * HELD]
    parts = {"train": order[2 * HELD :], "val": order[:HELD], "test": order[HELD : 2 * HELD]}
    arrays = {}
    for name, places in parts.items():
        feed = padded([texts[i] for i in places], LENGTH)
        arrays |= {f"{key}_{name}": value for key, value in feed.items()}
        arrays[f"y_{name}"] = classes[places]
    np.savez(task, allow_pickle=False, **arrays)  # type: ignore[arg-type]
    others = sentences("train", "a")
    some = np.random.default_rng(SEED).permutation(len(others))[:count]
    np.savez(general, allow_pickle=False, **padded([others[i] for i in some], LENGTH))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
