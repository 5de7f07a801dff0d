"""The teacher against what is shipped: the table of the two, and the bars. All numbers are measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from squeeze.report import judged, words
from squeeze.report.provenance import latency_name, memory, timed

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
    """The lines for what both were measured on; none for what is not known of either."""
    a, b = _pair(manifest)
    if not a or not b:
        return []
    name = str(b.get("metric_name", ""))
    agreed = (manifest.get("agreement") or {}).get(judged.picked(manifest))
    before = judged.value(manifest, a)
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
                "same answer as the teacher, near ties aside",
                words.MISSING,
                words.metric("agreement", agreed),
                "",
            )
        )
    made += _latencies(manifest, a, b)
    kept = judged.keeps_architecture(manifest)
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
            "kept" if kept else words.factor(a.get(key), b.get(key), "fewer", "more"),
        )
        for label, key in (("parameters", "params"), ("multiply-accumulates", "macs"))
    ]
    return [row for row in made if (row.teacher, row.student) != (words.MISSING, words.MISSING)]


def outputs(manifest: Json) -> list[Json]:
    """A line for each output with a metric, where there are several; the worst loss is the judged one."""
    found = manifest.get("outputs") or []
    return [
        {
            "output": one.get("output", ""),
            "metric": words.metric_name(str(one.get("metric", ""))),
            "teacher": words.metric(str(one.get("metric", "")), one.get("teacher")),
            "student": words.metric(str(one.get("metric", "")), one.get("student")),
            "interval": words.interval(str(one.get("metric", "")), one.get("interval")),
            "lost": words.lost(str(one.get("metric", "")), one.get("drop")),
            "judged": bool(one.get("judged")),
        }
        for one in (found if len(found) > 1 else [])
    ]


def bars(manifest: Json) -> list[Bar]:
    """Before and after, each pair on its own scale."""
    a, b = _pair(manifest)
    kinds = (
        (latency_name(manifest), "latency_p50_ms", words.latency, _faster(manifest, a, b)),
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


def _latencies(manifest: Json, a: Json, b: Json) -> list[Row]:
    shown = ["p50", "p90", "p99"] if timed(manifest) else ["p50"]
    made = []
    for p in shown:
        key = f"latency_{p}_ms"
        before, after = a.get(key), b.get(key)
        name, note, change = f"latency {p}", "", words.factor(before, after, "faster", "slower")
        if p == "p50":
            name, note, change = latency_name(manifest), "one sample", _faster(manifest, a, b)
        if p == "p50" and b.get("source") == "cycles":
            note = "one sample; cycles of the compiler / clock"
        made.append(Row(name, words.latency(before), words.latency(after), change, note))
    return made


def _sampled(name: str, measured: Json) -> str:
    """On how many samples, and the interval that so many allow."""
    interval = words.interval(name, measured.get("interval"))
    said = f"evaluation split, {measured.get('n', 0):,} samples"
    return f"{said}; 95 % interval {interval}" if interval else said


def _pair(manifest: Json) -> tuple[Json, Json]:
    measured = manifest.get("measurements") or {}
    return measured.get("teacher") or {}, measured.get("student") or {}


def _faster(manifest: Json, a: Json, b: Json) -> str:
    if a.get("latency_p50_ms") is None or b.get("latency_p50_ms") is None:
        return words.MISSING  # the ratio is then of what a compiler counts
    # Timed in turns, the ratio is surer than the quotient of the two latencies.
    ratio = (manifest.get("latency_ratio") or {}).get(judged.picked(manifest))
    if isinstance(ratio, (int, float)) and ratio > 0:
        spread = (manifest.get("latency_ratio_spread") or {}).get(judged.picked(manifest))
        told = words.factor(ratio, 1, "faster", "slower")
        if spread and all(spread) and not words.is_one(spread):
            return f"{told} ({words.times(spread[0])} to {words.times(spread[1])})"
        return told
    return words.factor(a.get("latency_p50_ms"), b.get("latency_p50_ms"), "faster", "slower")
