"""The last screen of `squeeze compile`: what was won and lost, the verdict, and where things lie.

A manifest of an older version may lack a number; it is shown as '-', or its row is left out.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze.console.accuracy import Accuracy, accuracy_rows
from squeeze.console.flips import class_rows, flip_lines
from squeeze.console.ratio import shown_ratio, shown_spread
from squeeze.console.table import show_table
from squeeze.console.text import shown
from squeeze.quantities import show_bytes, show_ms
from squeeze.spec import names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from squeeze.artifact import Artifact
    from squeeze.console.accuracy import Row

Json = dict[str, Any]  # Any: JSON


def show_packages(console: Console, packages: Sequence[Artifact], *, index: Path | None) -> None:
    """The table of each package; with several targets under its target's name, and the index at the end."""
    for package in packages:
        console.print()
        if index is not None:
            name = package.manifest.get("target", {}).get("name", package.path.name)
            console.print(shown(str(name), style="bold"))
        _show_package(console, package)
    if index is not None:
        console.print()
        console.print(shown(f"all targets: {_relative(index)}"), soft_wrap=True)


def _show_package(console: Console, package: Artifact) -> None:
    verdict = package.manifest.get("verdict", {})
    show_table(console, ("", "teacher", "squeezed", "change", ""), _rows(package.manifest))
    console.print()
    met = bool(verdict.get("met"))
    word = shown(
        "goal met: " if met else "goal missed: ", style="bold green" if met else "bold red"
    )
    why = ", ".join(str(verdict[key]) for key in ("picked", "why") if key in verdict)
    console.print(word + shown(why, style="not bold"))
    for line in flip_lines(package.manifest):
        console.print(shown(line))
    for line in device_lines(package.manifest.get("device")):
        console.print(shown(line), soft_wrap=True)
    for note in package.manifest.get("notes_for_people") or ():
        console.print(shown(str(note)))
    path = package.path
    where = f"{_relative(path / 'model.onnx')} · report: {_relative(path / 'report.html')}"
    typed = shlex.quote(_relative(path))
    after = f"next: squeeze verify {typed} · squeeze profile {typed}{_where(package.manifest)}"
    for line in (where, after):
        console.print(shown(line), soft_wrap=True)


def _where(manifest: Json) -> str:
    """The option that asks the device which the package is for; "" where it is this machine, which is asked anyway."""
    if not manifest.get("device"):
        return ""
    name = str(manifest.get("target", {}).get("name", ""))
    return f" --target {name}" if name in names("targets") else f" --target {name}.toml"


def _rows(manifest: Json) -> list[Row]:
    measured = manifest.get("measurements", {})
    teacher, student = (measured.get(who, {}) for who in ("teacher", "student"))
    goals = {check["what"]: check for check in manifest.get("verdict", {}).get("checks", ())}
    rows = accuracy_rows(
        str(student.get("metric_name", "accuracy")),
        student.get("n"),
        Accuracy(teacher.get("metric"), teacher.get("interval")),
        Accuracy(student.get("metric"), student.get("interval")),
        outputs=manifest.get("outputs") or (),
        goal=_goal(goals.get("drop"), lambda points: f"{points:g} points"),
    )
    points = _goal(goals.get("class_drop"), lambda points: f"{points:g} points")
    rows += class_rows(manifest, points)
    rows.append(_latency(manifest, teacher, student, _goal(goals.get("latency_ms"), show_ms)))
    for what, key, goal in (("file", "file_bytes", "bytes"), ("peak memory", "peak_ram_bytes", "")):
        before, after = teacher.get(key), student.get(key)
        if before and after:
            ratio = shown_ratio(before / after)
            said = _goal(goals.get(goal), show_bytes)
            rows.append((what, show_bytes(before), show_bytes(after), ratio, said))
    return rows


def _latency(manifest: Json, teacher: Json, student: Json, goal: str) -> Row:
    """The two medians and their ratio, with its spread: all three of the same rounds."""
    picked = manifest.get("verdict", {}).get("picked", "")
    spread = manifest.get("latency_ratio_spread", {}).get(picked)
    remarks = [goal] if goal else []
    if "float32" not in manifest.get("target", {}).get("numerics", {}).get("dtypes", ["float32"]):
        remarks.append("the teacher as int8")
    elif spread:
        remarks.append(shown_spread(spread))
    if {"threads", "runs"} <= student.keys() and student["runs"] and not goal:
        threads = student["threads"]
        remarks.append(f"{threads} thread{'s' if threads > 1 else ''}, {student['runs']} runs")
    ratio = shown_ratio(manifest.get("latency_ratio", {}).get(picked))
    source = student.get("source", "measured")
    if manifest.get("device") and student.get("latency_p50_ms") is None:
        return _work(manifest, picked, goal)
    what = "latency p50" if source == "measured" else f"latency ({source})"
    return (what, _median(teacher), _median(student), ratio, " · ".join(remarks))


def _median(measured: Json) -> str:
    median = measured.get("latency_p50_ms")
    return "-" if median is None else show_ms(median)


def _work(manifest: Json, picked: str, goal: str) -> Row:
    """What stands for speed on a device that gives no time."""
    device = manifest.get("device") or {}
    traffic = sum((device.get("cost", {}).get("traffic_bytes") or {}).values())
    ratio = shown_ratio(manifest.get("latency_ratio", {}).get(picked))
    what = f"memory traffic ({device.get('source')})" if traffic else "latency"
    return (what, "-", show_bytes(traffic) if traffic else "-", ratio if traffic else "-", goal)


def device_lines(device: Json | None) -> list[str]:
    """What the device's own runtime says of the shipped file: where it runs, what it takes, what it answers."""
    if not device:
        return []
    cost, parts = device["cost"], []
    if cost.get("accelerator_share") is not None:
        left = cost["left_over"]
        on = f"{100 * cost['accelerator_share']:.0f} % of operators on the accelerator"
        parts.append(on + (f", not {', '.join(left[:3])}" if left else ""))
    if cost.get("cycles") is not None:
        parts.append(f"{cost['cycles']:,} cycles")
    for key, what in (
        ("ram_bytes", "RAM"),
        ("persistent_bytes", "RAM beside it"),
        ("flash_bytes", "flash"),
    ):
        if cost.get(key) is not None:
            parts.append(f"{show_bytes(cost[key])} {what}")
    if cost.get("latency_ms") is None:
        for kind, count in (cost.get("traffic_bytes") or {}).items():
            parts.append(f"{kind.replace('_', ' ')} {show_bytes(count)}")
    if device.get("not_asked"):
        parts.append(f"its answers are those of the ONNX file: {device['not_asked']}")
    lines = [f"{device['files'][-1]} by {device['runtime']}: {', '.join(parts) or 'runs'}"]
    if cost.get("limited_by"):
        lines.append(f"limited by {cost['limited_by']}")
    return lines + [
        str(note)
        for note in (*device["notes"], *cost.get("leaves_out", ()), *cost.get("notes", ()))
    ]


def _goal(check: Json | None, show: Callable[[float], str]) -> str:
    if check is None:
        return ""
    return f"goal <= {show(check['goal'])}  {'ok' if check['ok'] else 'MISSED'}"


def _relative(path: Path) -> str:
    """As people would type it: relative to where they are, when it is below."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
