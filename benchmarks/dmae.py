"""A vision transformer that looks at parts of images before it is distilled, beside one that is distilled for as long.

python -m benchmarks.dmae [--seconds S] [--share M] [--images N] [--seeds K] [--folder DIR]
writes results/dmae.json

Teacher: the vision transformer in examples/vit, on the bundled Fashion-MNIST. Student: one of ARCH, with the teacher's
patches. `distilled`: S seconds of one core of distillation. `masked`: M of these S seconds with three quarters of each
image masked (masked.steps), the rest of distillation. `shorter`: that rest alone. Steps follow from the processor's
time of one; what the teacher says to distil from is asked before and counted for none. metric: top-1 of the float file
on the test images.

With --folder a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import results_file
from benchmarks.inherited import with_images
from benchmarks.vit_students import DATA, TEACHER

if TYPE_CHECKING:
    from collections.abc import Callable

    from squeeze.case import Case
    from squeeze.run import Run
    from squeeze.spec import ArchSpec, DistillPart, MaskedPart, Recipe
    from squeeze.train import loop
    from squeeze.train.batches import Batch
    from squeeze.workdir import Step

RESULTS = Path(__file__).parent / "results" / "dmae.json"
ARCH = {"patch": 4, "convolutions": 0, "width": 48, "depth": 4, "heads": 3, "ratio": 2}
OPSET, WARMING, TIMED = 20, 2, 6  # steps
logger = logging.getLogger(__name__)

Json = dict[str, Any]  # Any: JSON


def main() -> None:
    """Times a step of each, trains, judges and writes the rows."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="of one core, for each student")
    parser.add_argument("--share", type=float, default=0.25, help="of them, masked")
    parser.add_argument("--images", type=int, default=4000, help="of the fit split")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where finished steps stay")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        rows = [
            row
            for seed in range(given.seeds)
            for row in _rows(folder, given.seconds, given.share, given.images, seed)
        ]
    command = (
        f"python -m benchmarks.dmae --seconds {given.seconds:g} --share {given.share:g} "
        f"--images {given.images} --seeds {given.seeds}"
    )
    results_file.write(RESULTS, command, rows, case="fashion", run={"threads": 1})


def _rows(folder: Path, seconds: float, share: float, images: int, seed: int) -> list[Json]:
    from squeeze import students
    from squeeze.spec import load_recipe
    from squeeze.steps import begin, load
    from squeeze.students.student_spec import StudentSpec

    recipe = load_recipe("balanced", {"seed": seed})
    run = begin(recipe, folder / "cache", 1, "cpu", None)
    case = with_images(load(run, str(TEACHER), None, DATA, None), images)
    size = case.interface.inputs[0].shape
    spec = StudentSpec(input_shape=size, outputs=10, layout="channels-first")
    arch = students.arch_of("vit", spec, {**ARCH, "class_tokens": 1})
    costs = _costs(folder / f"costs-{images}.json", run, case, recipe, arch)
    rows = []
    parts = share * seconds, (1 - share) * seconds
    for name, masked_s, rest_s in (
        ("distilled", 0.0, seconds),
        ("masked", *parts),
        ("shorter", 0.0, parts[1]),
    ):
        before, steps = int(masked_s / costs["masked"]), int(rest_s / costs["distill"])
        wanted = recipe.model_copy(
            update={
                "masked": recipe.masked.model_copy(update={"steps": before}),
                "distill": recipe.distill.model_copy(update={"steps": steps}),
            }
        )
        row: Json = {"case": "fashion", "run": name, "seed": seed, "images": images}
        row |= {"core_s": masked_s + rest_s, "masked_steps": before, "distill_steps": steps}
        rows.append({**row, **_judged(run, case, wanted, arch)})
        logger.info("%s", rows[-1])
    return rows


def _costs(kept: Path, run: Run, case: Case, recipe: Recipe, arch: ArchSpec) -> Json:
    """Seconds of the processor for a step of each training. Remembered, for times differ from run to run."""
    if not kept.exists():
        made = {
            "masked": _step_s(*_masked(run, case, recipe.masked, recipe.distill, arch)),
            "distill": _step_s(*_distilled(run, case, recipe.distill, arch)),
        }
        kept.write_text(json.dumps(made))
    found: Json = json.loads(kept.read_text())
    logger.info("seconds of a step: %s", found)
    return found


def _step_s(learner: loop.Learner, batch_at: Callable[[int], Batch], part: Any) -> float:
    """part: DistillPart or MaskedPart, which have the same names for what a course asks."""
    from squeeze.train import loop

    course = loop.Course(part.steps, part.batch_size, 0, 1e9, part.lr, "")
    learned = loop.steps(learner, batch_at, course)
    taken = []
    for _ in range(WARMING + TIMED):
        begun = time.process_time()
        next(learned)
        taken.append(time.process_time() - begun)
    return float(np.median(taken[WARMING:]))


def _masked(
    run: Run, case: Case, part: MaskedPart, distill: DistillPart, arch: ArchSpec
) -> tuple[Any, Any, Any]:
    from squeeze.guides.views import Views
    from squeeze.train.masked.grid import shared_grid
    from squeeze.train.masked.train import MaskedPupil
    from squeeze.train.supernet.inherited import inherited

    data = case.data
    feed = data.feed(data.calibrate, 0, 8)
    encoder = inherited(case.net.file, case.interface, feed, case.teacher.output_activation)
    patches = encoder.params.patches
    assert patches is not None
    grid = shared_grid(patches.size, (ARCH["patch"], ARCH["patch"]), patches.patch)
    assert grid is not None
    some = part.model_copy(update={"steps": 100})
    views = Views(data, distill, run.seed)
    pupil = MaskedPupil(arch, encoder, grid, views, some, run.compute, seed=run.seed)
    return pupil, pupil.batch_at, some


def _distilled(run: Run, case: Case, part: DistillPart, arch: ArchSpec) -> tuple[Any, Any, Any]:
    from squeeze.guides import open_answers
    from squeeze.guides.views import Views
    from squeeze.steps.answering import answered
    from squeeze.train.batches import Batches
    from squeeze.train.lesson import lesson_of
    from squeeze.train.pupil import Pupil

    views = Views(case.data, part, run.seed)
    guide = open_answers(views, folder=answered(run, case, part).path)
    lesson = lesson_of(part, case.data, guide, case.teacher.output_activation)
    batches = Batches(case.data, views, guide, lesson, part.batch_size, run.seed, "cpu")
    return Pupil(arch, part, batches, run.compute, seed=run.seed), batches.at, part


def _judged(run: Run, case: Case, recipe: Recipe, arch: ArchSpec) -> Json:
    """Trains, writes the file, and reads it on the test images."""
    from squeeze import runtimes
    from squeeze.steps.answering import answered
    from squeeze.steps.exporting import export_student
    from squeeze.steps.float_student import distilled
    from squeeze.steps.masking import masked_student

    answered(run, case, recipe.distill)
    begun = time.process_time()
    before: Step | None = masked_student(run, case, recipe, arch)
    trained = distilled(run, case, recipe.distill, arch, before=before)
    logger.info("%.0f s of a core, where nothing was found", time.process_time() - begun)
    blind = replace(case, data=case.data.blind())
    made = run.step("export", export_student, trained=trained, arch=arch, case=blind, opset=OPSET)
    split, taken = case.data.evaluate, case.interface.inputs[0].name
    x = np.asarray(case.data.feed(split, 0, len(split))[taken])

    def top1(file: Path) -> float:
        session = runtimes.session(file, threads=1)
        answers = [session.run(None, {taken: x[i : i + 100]})[0] for i in range(0, len(x), 100)]
        return round(100 * float((np.concatenate(answers).argmax(1) == split.y).mean()), 2)

    agreed = trained.result["history"][-1]["agreement"]
    row = {"metric": top1(made.path / "student.onnx"), "teacher_metric": top1(case.net.file)}
    return {**row, "agreement": round(agreed, 2), "n": len(x)}


if __name__ == "__main__":
    main()
