"""The verdict is a pure function: worked by hand."""

from __future__ import annotations

from squeeze import verdict
from squeeze.spec import Goal, Measurement


def measured(latency_ms: float, size: int) -> Measurement:
    return Measurement(
        metric=90.0,
        metric_name="top1",
        n=100,
        latency_p50_ms=latency_ms,
        latency_p90_ms=latency_ms,
        latency_p99_ms=latency_ms,
        runs=10,
        threads=1,
        file_bytes=size,
        weight_bytes=size,
        params=1,
        macs=1,
        host="cpu",
        isa=(),
        runtime="onnxruntime",
        runtime_version="1",
    )


TEACHER, KEPT, STUDENT = measured(2.0, 4000), measured(1.0, 1000), measured(0.2, 200)
ALL = {"teacher": TEACHER, "kept-int8": KEPT, "student-int8": STUDENT}


def test_student_is_picked_when_everything_is_inside() -> None:
    drops = {"teacher": 0.0, "kept-int8": 0.1, "student-int8": 0.9}
    assert verdict.pick(Goal(max_drop=1.0), ALL, drops)[0] == "student-int8"


def test_kept_architecture_is_picked_when_the_student_loses_too_much() -> None:
    drops = {"teacher": 0.0, "kept-int8": 0.1, "student-int8": 1.2}
    assert verdict.pick(Goal(max_drop=1.0), ALL, drops)[0] == "kept-int8"


def test_teacher_is_shipped_when_every_step_made_it_worse() -> None:
    drops = {"teacher": 0.0, "kept-int8": 5.0, "student-int8": 9.0}
    assert verdict.pick(Goal(max_drop=1.0), ALL, drops)[0] == "teacher"


def test_objective_decides_among_those_inside() -> None:
    small_slow, fast_big = measured(1.0, 100), measured(0.5, 900)
    both = {"small": small_slow, "fast": fast_big}
    drops = {"small": 0.0, "fast": 0.0}
    assert verdict.pick(Goal(objective="smallest"), both, drops)[0] == "small"
    assert verdict.pick(Goal(objective="fastest"), both, drops)[0] == "fast"
    # 1.0 ms x 100 B = 100 against 0.5 ms x 900 B = 450
    assert verdict.pick(Goal(objective="balanced"), both, drops)[0] == "small"


def test_nearest_is_picked_when_the_goal_is_impossible() -> None:
    drops = {"teacher": 0.0, "kept-int8": 0.0, "student-int8": 0.0}
    goal = Goal(max_bytes=20)
    name, why = verdict.pick(goal, ALL, drops)
    assert name == "student-int8"
    assert "nearest" in why


def test_missed_goal_says_the_best_reached_and_what_the_goal_was() -> None:
    checks = {n: verdict.checks(Goal(max_bytes=20_000), m, 0.0) for n, m in ALL.items()}
    small = verdict.checks(Goal(max_bytes=20_000), measured(1.0, 61_000), 0.0)
    text = verdict.missed("student-int8", [c for c in small if not c["ok"]], checks)
    assert "61 KB (goal 20 KB)" in text


def test_drop_is_checked_at_the_precision_it_is_printed_with() -> None:
    assert verdict.checks(Goal(max_drop=1.0), STUDENT, 1.004)[0]["ok"]
    assert not verdict.checks(Goal(max_drop=1.0), STUDENT, 1.006)[0]["ok"]
