"""Teacher against student: the table of the two, the bars, and the finished candidates. All numbers are measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from squeeze.report import words
from squeeze.report.provenance import memory, timed

Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class Row:
    """One line of the table; `note` is small print under the name."""

    name: str
    teacher: str
    student: str
    change: str
    note: str = ""


@dataclass(frozen=True)
class Bar:
    """Two bars: the teacher's is the full width when `student_share` is below 1."""

    name: str
    teacher: str
    student: str
    teacher_share: float
    student_share: float
    change: str


def rows(manifest: Json) -> list[Row]:
    """The lines for what both were measured on."""
    a, b = _pair(manifest)
    if not a or not b:
        return []
    name = str(b.get("metric_name", ""))
    agreed = (manifest.get("agreement") or {}).get(_picked(manifest))
    before = _judged(manifest, a)
    made: list[Row] = [
        Row(
            words.metric_name(name),
            words.metric(name, before),
            words.metric(name, b.get("metric")),
            words.metric_change(name, before, b.get("metric")),
            _sampled(name, b),
        )
    ]
    if agreed is not None and name != "agreement":
        made.append(
            Row(
                "same answer as the teacher",
                words.MISSING,
                words.metric("agreement", agreed),
                "",
            )
        )
    made += _latencies(manifest, a, b)
    sizes = (
        ("file", "file_bytes", ""),
        ("weights in it", "weight_bytes", ""),
        ("peak memory", "peak_ram_bytes", memory(b)),
    )
    made += [
        Row(
            label,
            words.byte_size(a.get(key)),
            words.byte_size(b.get(key)),
            words.factor(a.get(key), b.get(key), "smaller", "larger"),
            note,
        )
        for label, key, note in sizes
    ]
    made += [
        Row(
            label,
            words.count(a.get(key)),
            words.count(b.get(key)),
            words.factor(a.get(key), b.get(key), "fewer", "more"),
        )
        for label, key in (("parameters", "params"), ("multiply-accumulates", "macs"))
    ]
    return made


def outputs(manifest: Json) -> list[Json]:
    """A line for each output with a metric, where there are several; the worst loss is the judged one."""
    found = manifest.get("outputs") or []
    return [
        {
            "output": one.get("output", ""),
            "metric": words.metric_name(str(one.get("metric", ""))),
            "teacher": words.metric(str(one.get("metric", "")), one.get("teacher")),
            "student": words.metric(str(one.get("metric", "")), one.get("student")),
            "interval": _interval(str(one.get("metric", "")), one.get("interval")),
            "lost": words.lost(str(one.get("metric", "")), one.get("drop")),
            "judged": bool(one.get("judged")),
        }
        for one in (found if len(found) > 1 else [])
    ]


def bars(manifest: Json) -> list[Bar]:
    """Before and after, each pair on its own scale."""
    a, b = _pair(manifest)
    kinds = (
        (_latency_name(manifest), "latency_p50_ms", words.latency, _faster(manifest, a, b)),
        ("file", "file_bytes", words.byte_size, None),
        ("peak memory", "peak_ram_bytes", words.byte_size, None),
    )
    made = []
    for name, key, show, change in kinds:
        before, after = a.get(key), b.get(key)
        if before and after:
            change = change or words.factor(before, after, "smaller", "larger")
            top = max(before, after)
            made.append(Bar(name, show(before), show(after), before / top, after / top, change))
    return made


def candidates(manifest: Json) -> list[Json]:
    """The finished candidates, each exported and measured; the shipped one is marked."""
    measured = (manifest.get("measurements") or {}).get("candidates") or {}
    return [
        {
            "name": name,
            "picked": name == _picked(manifest),
            "metric": words.metric(_metric_name(manifest), _judged(manifest, m)),
            "latency": words.latency(m.get("latency_p50_ms")),
            "file": words.byte_size(m.get("file_bytes")),
            "memory": words.byte_size(m.get("peak_ram_bytes")),
            "why": (manifest.get("why_not") or {}).get(name, ""),
        }
        for name, m in measured.items()
    ]


def columns(manifest: Json) -> Json:
    """What the candidates' columns hold: the shipped one's metric, of which output, and a latency if known."""
    measured = ((manifest.get("measurements") or {}).get("candidates") or {}).values()
    several = len(manifest.get("outputs") or []) > 1
    output = _judged_output(manifest)
    name = words.metric_name(_metric_name(manifest)) or "metric"
    known = any(m.get("latency_p50_ms") is not None for m in measured)
    return {
        "metric": name,
        "output": output if several else "",
        "latency": _latency_name(manifest) if known else "",
    }


def _judged(manifest: Json, measured: Json) -> float | None:
    """By the metric that the student is judged by, on its output: another model's worst output may be another one,
    with a metric that means something else. None where it was not judged by that."""
    name, output = _metric_name(manifest), _judged_output(manifest)
    for one in measured.get("outputs") or []:
        if one.get("output") == output and one.get("metric") == name:
            value: float | None = one.get("value")
            return value
    return measured.get("metric") if measured.get("metric_name", "") == name else None


def _metric_name(manifest: Json) -> str:
    measured = manifest.get("measurements") or {}
    candidates: Json = measured.get("candidates") or {}
    judged: Json = measured.get("student") or next(iter(candidates.values()), {})
    return str(judged.get("metric_name", ""))


def _judged_output(manifest: Json) -> str:
    names = (one.get("output", "") for one in manifest.get("outputs") or [] if one.get("judged"))
    return str(next(names, ""))


def _latency_name(manifest: Json) -> str:
    # A compiler says one latency; a percentile is of many runs.
    return "latency p50" if timed(manifest) else "latency"


def _latencies(manifest: Json, a: Json, b: Json) -> list[Row]:
    shown = ["p50", "p90", "p99"] if timed(manifest) else ["p50"]
    made = []
    for p in shown:
        key = f"latency_{p}_ms"
        before, after = a.get(key), b.get(key)
        if not timed(manifest) and before is None and after is None:
            continue  # no such number for this device
        name, note, change = f"latency {p}", "", words.factor(before, after, "faster", "slower")
        if p == "p50":
            name, note, change = _latency_name(manifest), "one sample", _faster(manifest, a, b)
        if p == "p50" and b.get("source") == "cycles":
            note = "one sample; cycles of the compiler / clock"
        made.append(Row(name, words.latency(before), words.latency(after), change, note))
    return made


def _sampled(name: str, measured: Json) -> str:
    """On how many samples, and the interval that so many allow."""
    interval = _interval(name, measured.get("interval"))
    said = f"evaluation split, {measured.get('n', 0):,} samples"
    return f"{said}; 95 % interval {interval}" if interval else said


def _interval(name: str, interval: list[float] | None) -> str:
    if not interval:
        return ""
    return " to ".join(words.metric(name, value) for value in interval)


def _pair(manifest: Json) -> tuple[Json, Json]:
    measured = manifest.get("measurements") or {}
    return measured.get("teacher") or {}, measured.get("student") or {}


def _picked(manifest: Json) -> str:
    return str((manifest.get("verdict") or {}).get("picked", ""))


def _faster(manifest: Json, a: Json, b: Json) -> str:
    if a.get("latency_p50_ms") is None or b.get("latency_p50_ms") is None:
        return words.MISSING  # the ratio is then of what a compiler counts
    # Timed in turns, the ratio is surer than the quotient of the two latencies.
    ratio = (manifest.get("latency_ratio") or {}).get(_picked(manifest))
    if isinstance(ratio, (int, float)) and ratio > 0:
        spread = (manifest.get("latency_ratio_spread") or {}).get(_picked(manifest))
        told = words.factor(ratio, 1, "faster", "slower")
        if spread and all(spread):
            return f"{told} ({words.times(spread[0])} to {words.times(spread[1])})"
        return told
    return words.factor(a.get("latency_p50_ms"), b.get("latency_p50_ms"), "faster", "slower")
