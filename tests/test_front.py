"""The pick and what is said of it are pure functions of numbers: worked by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from squeeze import goal as goals
from squeeze.front import Candidate, Front, Timed, Written
from squeeze.goal import Reached
from squeeze.interface import Interface, TensorSpec
from squeeze.net import FloatNet
from squeeze.spec import Goal, Objective, QuantPart, Recipe
from squeeze.steps.manifest import pick_reason

INTERFACE = Interface((TensorSpec("x", "float32", (3,)),), (TensorSpec("y", "float32", (2,)),))


def front_of(folder: Path, goal: Goal, **numbers: tuple[float, float, int]) -> Front:
    """A front of real files: name -> points lost, milliseconds, bytes."""
    latencies: dict[str, float] = {}

    def clock(candidates: tuple[Candidate, ...]) -> dict[str, Timed]:
        teacher = latencies["teacher"]
        return {
            c.name: Timed(latencies[c.name], 0, 0, 10, teacher / latencies[c.name], 1, 1, True)
            for c in candidates
        }

    made = Front(goal, clock)
    for name, (drop, latency_ms, size) in numbers.items():
        origin, _, form = name.partition("_")
        file = folder / f"{name}.onnx"
        file.write_bytes(bytes(size))
        net = FloatNet("kept" if origin == "teacher" else origin, file, name, INTERFACE)  # type: ignore[arg-type]
        candidate = Candidate(net, form or "teacher", file, name, drop)
        latencies[candidate.name] = latency_ms
        made.add(candidate)
    return made


def on_a_device_without_times(front: Front) -> Front:
    """The same candidates where memory is told alone."""
    told = {
        n: replace(timed, p50_ms=None, what="working memory", work=timed.p50_ms)
        for n, timed in front.timed().items()
    }
    found = Front(front.goal, lambda _: told)
    found.add(*front.candidates.values())
    return found


TEACHER, KEPT, STUDENT = (2.0, 4000), (1.0, 1000), (0.2, 200)


def three(folder: Path, goal: Goal, kept_drop: float, student_drop: float) -> Front:
    return front_of(
        folder,
        goal,
        teacher=(0.0, *TEACHER),
        kept_int8=(kept_drop, *KEPT),
        student_int8=(student_drop, *STUDENT),
    )


def test_student_is_picked_when_everything_is_inside(tmp_path: Path) -> None:
    front = three(tmp_path, Goal(max_drop=1.0), 0.1, 0.9)
    assert front.pick().name == "student-int8"
    assert front.met()
    assert front.why() == "best latency times bytes of 3 candidates inside the goal"
    assert front.why_not("kept-int8") == "'student-int8' is the best latency times bytes"
    assert front.why_not("student-int8") == ""
    assert on_a_device_without_times(front).why() == (
        "best working memory times bytes of 3 candidates inside the goal"
    )


@pytest.mark.parametrize("lost_there", [0.9, 1.1])
def test_pick_that_misses_where_it_is_judged_is_not_called_inside_the_goal(
    tmp_path: Path, lost_there: float
) -> None:
    front = three(tmp_path, Goal(max_drop=1.0), 0.1, 0.9)
    met = goals.holds_drop(front.goal, lost_there)
    said = pick_reason(front, met=met)
    assert ("beyond the goal by those that it is judged with" in said) is not met


@pytest.mark.parametrize("met", [False, True])
def test_pick_that_holds_only_where_it_is_judged_says_on_which_samples_it_did_not(
    tmp_path: Path, met: bool
) -> None:
    front = three(tmp_path, Goal(max_drop=1.0, max_bytes=900), 0.1, 1.2)
    assert not front.met()
    nearest = "the nearest, for no candidate is inside the goal"
    there = (
        " by the samples that it was chosen with; inside the goal by those that it is judged with"
    )
    assert pick_reason(front, met=met) == (nearest + there if met else nearest)


def test_kept_architecture_is_picked_when_the_student_loses_too_much(tmp_path: Path) -> None:
    front = three(tmp_path, Goal(max_drop=1.0), 0.1, 1.2)
    assert front.pick().name == "kept-int8"
    assert (
        front.why_not("student-int8") == "beyond the goal: 1.20 points lost (goal 1.00 points lost)"
    )


def test_kept_architecture_is_picked_when_a_class_of_the_student_loses_too_much(
    tmp_path: Path,
) -> None:
    for known in (4.0, None):  # what nobody knows is not inside
        front = three(tmp_path, Goal(max_drop=1.0, max_worst_class_drop=3.0), 0.1, 0.2)
        for name, class_drop in (("teacher", 0.0), ("kept-int8", 2.5), ("student-int8", known)):
            front.add(replace(front.candidates[name], class_drop=class_drop))
        assert front.pick().name == "kept-int8"
        assert front.met()
    front.add(replace(front.candidates["student-int8"], class_drop=4.0))
    assert front.why_not("student-int8") == (
        "beyond the goal: 4.00 points of recall lost by the worst class "
        "(goal 3.00 points of recall lost by the worst class)"
    )


def test_worst_class_counts_as_points_lost_and_only_where_it_is_asked_for() -> None:
    goal = Goal(max_drop=1.0, max_worst_class_drop=3.0)
    assert goals.excess(goal, Reached(0.5, 1.0, 1, class_drop=3.004)) == 0
    assert goals.excess(goal, Reached(0.5, 1.0, 1, class_drop=7.0)) == pytest.approx(2.0)
    assert goals.excess(Goal(max_drop=1.0), Reached(0.5, 1.0, 1, class_drop=50.0)) == 0
    assert not goals.holds(goal, goals.Lost(0.5, 3.1))
    assert not goals.holds(goal, goals.Lost(1.5, 0.0))
    assert goals.holds(goal, goals.Lost(0.5, 2.9))


def test_teacher_is_shipped_when_every_step_made_it_worse(tmp_path: Path) -> None:
    assert three(tmp_path, Goal(max_drop=1.0), 5.0, 9.0).pick().name == "teacher"


@pytest.mark.parametrize(
    ("objective", "picked"),
    # 1.0 ms x 100 B = 100 against 0.5 ms x 900 B = 450
    [("smallest", "kept-int8"), ("fastest", "student-int8"), ("balanced", "kept-int8")],
)
def test_objective_decides_among_those_inside(tmp_path: Path, objective: str, picked: str) -> None:
    front = front_of(
        tmp_path,
        Goal.model_validate({"objective": objective}),
        teacher=(0.0, 9.0, 9000),
        kept_int8=(0.0, 1.0, 100),
        student_int8=(0.0, 0.5, 900),
    )
    assert front.pick().name == picked


def test_nearest_is_picked_when_the_goal_is_impossible(tmp_path: Path) -> None:
    front = three(tmp_path, Goal(max_bytes=20), 0.0, 0.0)
    assert front.pick().name == "student-int8"
    assert not front.met()
    assert "nearest" in front.why()


def test_what_was_timed_is_timed_again_when_a_candidate_comes(tmp_path: Path) -> None:
    front = three(tmp_path, Goal(max_drop=1.0), 0.1, 0.9)
    assert set(front.timed()) == {"teacher", "kept-int8", "student-int8"}
    rest = front.without("student-int8")
    assert set(rest.timed()) == {"teacher", "kept-int8"}
    assert rest.pick().name == "kept-int8"


def test_missed_goal_says_the_best_reached_and_what_the_goal_was() -> None:
    everything = {
        "teacher": Reached(0.0, 2.0, 4_000_000),
        "student-int8": Reached(0.0, 1.0, 61_000),
    }
    text = goals.missed("student-int8", Goal(max_bytes=20_000), everything)
    assert text == "goal missed: the best reached is 61 KB (goal 20 KB) with 'student-int8'"


def test_missed_goal_says_what_it_costs_to_reach_it() -> None:
    everything = {"kept-int8": Reached(0.1, 1.0, 61_000), "kept-2bit": Reached(7.0, 1.0, 19_000)}
    text = goals.missed("kept-int8", Goal(max_bytes=20_000, max_drop=1.0), everything)
    assert text.endswith("'kept-2bit' reaches it with 7.00 points lost")


def test_bits_that_are_asked_for_are_a_part_of_the_goal(tmp_path: Path) -> None:
    recipe = Recipe.model_validate({"schema": 1, "name": "r", "quant": {"bits": 4}})
    goal = goals.of(recipe)
    assert goal.max_bits == 4
    assert goals.of(recipe.model_copy(update={"quant": QuantPart()})).max_bits is None
    everything = {
        "kept-float": Reached(0.0, 1.0, 100, 32),
        "kept-int8": Reached(0.0, 0.5, 30, 8),
        "kept-4bit": Reached(0.5, 0.9, 20, 4),
    }
    assert [name for name, r in everything.items() if goals.excess(goal, r) == 0] == ["kept-4bit"]
    text = goals.missed("kept-int8", goal, everything)
    assert "the best reached is weights of 8 bits (goal weights of 4 bits)" in text
    assert "'kept-4bit' reaches it" in text


def test_drop_is_asked_with_one_tolerance_everywhere() -> None:
    goal = Goal(max_drop=1.0)
    assert goals.holds_drop(goal, 1.004)
    assert not goals.holds_drop(goal, 1.006)
    assert goals.checks(goal, Reached(1.004, 1.0, 1))[0].ok
    assert goals.excess(goal, Reached(1.004, 1.0, 1)) == 0.0
    assert goals.excess(goal, Reached(3.0, 1.0, 1)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("objective", "max_bytes", "counts"),
    [
        ("balanced", None, True),  # latency times bytes
        ("smallest", None, True),
        ("fastest", None, False),
        ("fastest", 1000, True),
    ],
)
def test_smaller_file_that_is_not_faster_counts_unless_speed_alone_does(
    objective: Objective, max_bytes: int | None, *, counts: bool
) -> None:
    assert goals.about_bytes(Goal(objective=objective, max_bytes=max_bytes)) is counts


def test_contract_counts_for_a_limit_of_bytes(tmp_path: Path) -> None:
    """1,000 bytes and 250 of the contract are beyond 1,200; 200 and 250 are inside."""
    plain = front_of(
        tmp_path, Goal(max_bytes=1200, max_drop=1.0), teacher=(0, *TEACHER), kept_int8=(0.5, *KEPT)
    )
    assert plain.met()
    whole = Front(plain.goal, lambda _: plain.timed(), 250)
    whole.add(*plain.candidates.values())
    assert not whole.met()
    assert whole.judged()["kept-int8"].bytes == 1250
    assert whole.candidates["kept-int8"].bare_bytes == 1000
    assert whole.beside_bytes == 250


def test_file_that_is_written_is_the_one_that_counts(tmp_path: Path) -> None:
    """With preprocessing inside, files are larger, and the teacher, which has none, is not shipped."""
    plain = front_of(
        tmp_path, Goal(max_drop=1.0), teacher=(0, 1.0, 100), kept_int8=(0.5, 2.0, 1000)
    )
    assert plain.pick().name == "teacher"

    def finish(candidates: tuple[Candidate, ...]) -> list[Candidate]:
        file = tmp_path / "written.onnx"
        file.write_bytes(bytes(1300))
        return [
            c if c.form == "teacher" else replace(c, written=Written(file, "w")) for c in candidates
        ]

    whole = Front(plain.goal, lambda _: plain.timed(), 50, finish)
    whole.add(*plain.candidates.values())
    assert whole.pick().name == "kept-int8"
    assert whole.why().endswith("of 1 candidate inside the goal")
    picked = whole.pick()
    assert (picked.shipped.name, picked.measured.name) == ("written.onnx", "written.onnx")
    assert (picked.bytes, whole.beside_bytes) == (1350, 350)
    assert whole.without("kept-int8").candidates.keys() == {"teacher"}
