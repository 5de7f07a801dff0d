"""Assistants: networks between a teacher and a student that is far smaller, each taught by the one before it.

They are float networks of the student's own family (`search.gap` says how many and how large), and are guides alone:
nothing of them is shipped. Whatever is trained later, at quantised weights or after pruning, learns from the teacher.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from squeeze import students
from squeeze import teacher as teachers
from squeeze.seal import WEIGHTS
from squeeze.search.gap import Gap, assistants
from squeeze.steps.exporting import student_graph
from squeeze.steps.float_student import distilled
from squeeze.steps.planning_students import student_plan

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.run import At, Run
    from squeeze.spec import ArchSpec, DistillPart, Recipe
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON

NAME = "distill-assistant"
_OPSET = 20  # of a file that never leaves this machine


def assisted(run: Run, case: Case, recipe: Recipe, arch: ArchSpec) -> tuple[Run, Case]:
    """Who teaches the student `arch`: run and case, with the last assistant in the place of teacher and panel where
    `distill.assistants` asks for some. An assistant that there is no time for is left away, which the log says."""
    between = _wanted(case, recipe, arch)
    chain = assistants(case.teacher, arch, between)
    if len(chain) < between:
        run.skip(NAME, f"{arch.family} has {len(chain)} of {between} sizes between the two")
    for place, one in enumerate(chain):
        part = _part(run, case, recipe, one, following=len(chain) - place)
        if part is None:
            continue
        trained = distilled(run, case, part, one, NAME)
        made = run.step("assistant", adopt, trained=trained, arch=one, case=case.blind())
        found = teachers.Teacher.from_json(made.path, made.result["teacher"])
        # It says alone what it has learned from all of them.
        run, case = replace(run, panel=None), replace(case, teacher=found)
    return run, case


def adopt(at: At, *, trained: Step, arch: ArchSpec, case: Case) -> Json:
    """Writes a trained assistant in the form of a teacher."""
    from squeeze import graph

    sample = case.data.feed(case.data.calibrate, 0, 4)
    file = at.folder / "assistant.onnx"
    made = student_graph(arch, trained.path / WEIGHTS, case.teacher, sample, _OPSET)
    graph.save(made, file)
    found = teachers.load(
        str(file),
        weights=None,
        example=sample[case.teacher.input.name],
        folder=at.folder,
        called="the assistant",
    )
    told = replace(found, source="the assistant")
    return {
        "summary": f"{arch.family} with {found.params / 1e3:,.0f} k parameters teaches the next one",
        "teacher": told.to_json(),
    }


def _wanted(case: Case, recipe: Recipe, arch: ArchSpec) -> int:
    wanted = recipe.distill.assistants
    return Gap.between(case.teacher, students.cost(arch)).assistants if wanted == "auto" else wanted


def _part(
    run: Run, case: Case, recipe: Recipe, arch: ArchSpec, *, following: int
) -> DistillPart | None:
    """How an assistant is trained; None where `--time` leaves no time for it and the trainings that follow."""
    part = recipe.distill
    if run.budget is None:
        return part
    plan = student_plan(run, case, recipe, arch, part, NAME, following=following)
    if not plan.steps:
        run.skip(NAME, plan.words())
        return None
    return part.model_copy(update={"steps": plan.steps})
