"""By what the candidates are judged: the shipped one's metric and output, and what each other one has of them."""

from __future__ import annotations

from typing import Any

from squeeze.goal import DROP_RESOLUTION

Json = dict[str, Any]  # Any: JSON
CALIBRATE = "calibrate"
TEACHER = "teacher"  # its own file among the candidates


def measured(manifest: Json) -> dict[str, Json]:
    """What was measured of each finished candidate, by name; the teacher is one of them."""
    found: dict[str, Json] = (manifest.get("measurements") or {}).get("candidates") or {}
    return found


def picked(manifest: Json) -> str:
    """The name of the candidate that is shipped."""
    return str((manifest.get("verdict") or {}).get("picked", ""))


def metric_name(manifest: Json) -> str:
    """The metric of the shipped candidate."""
    told = manifest.get("measurements") or {}
    student: Json = told.get("student") or next(iter(measured(manifest).values()), {})
    return str(student.get("metric_name", ""))


def output(manifest: Json) -> str:
    """The output that is judged: the one that lost most."""
    names = (one.get("output", "") for one in manifest.get("outputs") or [] if one.get("judged"))
    return str(next(names, ""))


def value(manifest: Json, candidate: Json) -> float | None:
    """By the metric that the student is judged by, on its output: another model's worst output may be another one,
    with a metric that means something else. None where it was not judged by that."""
    found: float | None = _judged(manifest, candidate, "value", "metric")
    return found


def interval(manifest: Json, candidate: Json) -> list[float] | None:
    """The 95 % interval of `value`; None where none is known."""
    found: list[float] | None = _judged(manifest, candidate, "interval", "interval")
    return found


def chosen_on(manifest: Json) -> str:
    """The split that the choice was made on."""
    return str((manifest.get("verdict") or {}).get("chosen_on", CALIBRATE))


def lost(manifest: Json, name: str) -> float | None:
    """What a candidate loses on the split that the choice was made on; None where it is not known."""
    found = ((manifest.get("drops") or {}).get(name) or {}).get(chosen_on(manifest))
    return None if found is None else float(found)


def holds(manifest: Json, name: str, drop: float | None, split: str = CALIBRATE) -> bool | None:
    """Whether what a candidate loses on a split is inside the goal: its drop, and what its worst class loses; None when
    no goal or no drop is known."""
    goal = (manifest.get("verdict") or {}).get("goal") or {}
    limit, of_class = goal.get("max_drop"), goal.get("max_worst_class_drop")
    if limit is None or drop is None:
        return None
    class_drop = ((manifest.get("worst_class_drops") or {}).get(name) or {}).get(split)
    if of_class is not None and (class_drop is None or class_drop > of_class + DROP_RESOLUTION):
        return False
    return bool(drop <= limit + DROP_RESOLUTION)


def keeps_architecture(manifest: Json) -> bool:
    """Whether what is shipped has the teacher's own layers, in whatever bits: no architecture of ours, as much work."""
    told = manifest.get("measurements") or {}
    a, b = told.get("teacher") or {}, told.get("student") or {}
    same = all(a.get(key) is not None and a.get(key) == b.get(key) for key in ("params", "macs"))
    return same and not manifest.get("arch")


def _judged(manifest: Json, candidate: Json, of_output: str, of_all: str) -> Any:  # Any: JSON
    name, judged = metric_name(manifest), output(manifest)
    for one in candidate.get("outputs") or []:
        if one.get("output") == judged and one.get("metric") == name:
            return one.get(of_output)
    return candidate.get(of_all) if candidate.get("metric_name", "") == name else None
