"""A part of a text encoder that is trained in stages, beside one that learns everything at once for as many steps.

python -m benchmarks.stages [--steps N] [--questions Q] [--sentences S] [--folder DIR]
replaces the rows of N steps in results/stages.json

Teacher: all-MiniLM-L6-v2 with the head of the case `trec` of `transformers`, fine-tuned here as a whole on Q questions
of TREC (train) with their labels, T steps; six classes of questions. Pretrained: the encoder as it was. Task: those
questions; general: S sentences of the STS benchmark (train). Student: one part of the teacher, CHILD, as it is cut out
of it. `stages`: N / 4 steps of each of the four; `stages-3`: N / 3 of each but the first, as without a pretrained
teacher; `once`: N steps of the objective that parts learn by default, on all texts, without labels; `once-task`: the
same on the questions alone; `labels`: N steps of the last stage. metric: top-1 of the float file on TREC (test).

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
BATCH, LR, TUNING_LR = 16, 7e-4, 1e-4
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
    parser.add_argument("--tuning", type=int, default=200, help="steps of the teacher")
    parser.add_argument("--folder", type=Path, help="where finished steps stay")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        rows = _rows(folder, given.steps, given.questions, given.sentences, given.tuning)
    command = (
        f"python -m benchmarks.stages --steps {given.steps} --questions {given.questions} "
        f"--sentences {given.sentences} --tuning {given.tuning}"
    )
    facts = {"threads": 1, "seed": SEED, "batch_size": BATCH, "lr": LR}
    results_file.write(RESULTS, command, rows, case=f"trec-{given.steps}", run=facts)


def _rows(folder: Path, steps: int, questions: int, count: int, tuning: int) -> list[Json]:
    from squeeze.calib.extra import own_samples
    from squeeze.spec import STAGES, Recipe
    from squeeze.steps import begin, load
    from squeeze.steps.sharing import further_trained, inherited_from
    from squeeze.steps.staged import refuse_unstaged
    from squeeze.steps.staging import trained_in_stages
    from squeeze.students.encoder import Params

    judge = transformer_cases.trec(folder)
    task, general = folder / f"task-{questions}.npz", folder / f"general-{count}.npz"
    _write(task, general, questions, count)
    tuned = folder / f"tuned-{questions}-{tuning}.onnx"
    if not tuned.exists():
        _tune(judge.model, task, tuned, tuning)

    def recipe(names: tuple[str, ...]) -> Recipe:
        each = steps // max(1, len(names))
        supernet = {"further": steps, "batch_size": BATCH, "lr": LR}
        sizes = ("data", "teacher", "loss")
        stages = [dict(zip(sizes, STAGES[name], strict=True), steps=each) for name in names]
        keys = {"schema": 1, "name": "stages", "seed": SEED, "supernet": supernet, "stages": stages}
        return Recipe.model_validate(keys)

    run = begin(recipe(()), folder / "cache", 1, "cpu", None)
    case = load(run, str(tuned), None, str(task), None, extra=[str(general)])
    refuse_unstaged(run, case, recipe(("gd", "ged")), str(folder / "encoder.onnx"))
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
        "stages-3": lambda: through("ged", "tad", "tsd"),
        "stages": lambda: through("gd", "ged", "tad", "tsd"),
    }
    return [_row(name, way, run, case, judge, tuned, child, steps) for name, way in ways.items()]


def _row(
    name: str,
    way: Callable[[], Kept],
    run: Run,
    case: Case,
    judge: transformer_cases.Case,
    teacher: Path,
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
    row: Json = {"case": f"trec-{steps}", "run": name, "steps": steps, **CHILD}
    row |= {"params": costs.params, "macs": costs.macs}
    row |= {"metric": score(made.path / "student.onnx"), "teacher_metric": score(teacher)}
    logger.info("%s", row)
    return row


def _tune(model: Path, task: Path, out: Path, steps: int) -> None:
    """Fine-tunes a classifier on the questions to fit with, but for its table of words."""
    import torch

    from squeeze import export, graph
    from squeeze.train.supernet.inherited import encoder_of

    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    with np.load(task) as stored:
        arrays = {key: stored[key] for key in stored.files}
    encoder = encoder_of(graph.load(model)).train()
    encoder.word.weight.requires_grad_(False)
    learned = [p for p in encoder.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=TUNING_LR, weight_decay=0.01)
    random, begun = np.random.default_rng(SEED), time.process_time()
    for _ in range(steps):
        chosen = random.integers(len(arrays["y_train"]), size=BATCH)
        longest = int(arrays["attention_mask_train"][chosen].sum(1).max())
        given = (
            torch.from_numpy(arrays[f"{name}_train"][chosen][:, :longest])
            for name in encoder.params.inputs
        )
        wanted = torch.from_numpy(arrays["y_train"][chosen])
        loss = torch.nn.functional.cross_entropy(encoder(*given), wanted)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no annotation there
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
    logger.info("teacher: %.0f s of a core", time.process_time() - begun)
    feed = {name: arrays[f"{name}_train"][:3] for name in encoder.params.inputs}
    free = {name: {1: "tokens"} for name in feed}
    made = export.feed_to_ir(encoder.eval(), feed, output_names=["classes"], free_axes=free)
    graph.save(made, out)


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
