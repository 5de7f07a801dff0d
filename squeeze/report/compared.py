"""Teacher against student: the table of the two, the bars, and the finished candidates. All numbers are measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from squeeze.report import words

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
    made: list[Row] = [
        Row(
            words.metric_name(name),
            words.metric(name, a.get("metric")),
            words.metric(name, b.get("metric")),
            words.metric_change(name, a.get("metric"), b.get("metric")),
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
    made.append(
        Row(
            "latency p50",
            words.latency(a.get("latency_p50_ms")),
            words.latency(b.get("latency_p50_ms")),
            _faster(manifest, a, b),
            "one sample",
        )
    )
    made += [
        Row(
            f"latency {p}",
            words.latency(a.get(f"latency_{p}_ms")),
            words.latency(b.get(f"latency_{p}_ms")),
            words.factor(a.get(f"latency_{p}_ms"), b.get(f"latency_{p}_ms"), "faster", "slower"),
        )
        for p in ("p90", "p99")
    ]
    sizes = (
        ("file", "file_bytes", ""),
        ("weights in it", "weight_bytes", ""),
        ("peak memory", "peak_ram_bytes", "loading and running, own process"),
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


def source(manifest: Json) -> str:
    """Where the numbers of the table come from, in one sentence."""
    _, b = _pair(manifest)
    if not b:
        return ""
    threads = b.get("threads", 1)
    isa = ", ".join(str(i).removeprefix("x86_").removeprefix("arm64_") for i in b.get("isa") or [])
    return (
        f"{str(b.get('source', 'measured')).capitalize()} on {b.get('host', 'an unknown machine')}"
        f"{f' ({isa})' if isa else ''}, {b.get('runtime', '')} {b.get('runtime_version', '')}, "
        f"{threads} thread{'s' if threads != 1 else ''}, {b.get('runs', 0):,} runs of each, interleaved."
    )


def bars(manifest: Json) -> list[Bar]:
    """Before and after, each pair on its own scale."""
    a, b = _pair(manifest)
    kinds = (
        ("latency p50", "latency_p50_ms", words.latency, _faster(manifest, a, b)),
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
            "metric": words.metric(m.get("metric_name", ""), m.get("metric")),
            "latency": words.latency(m.get("latency_p50_ms")),
            "file": words.byte_size(m.get("file_bytes")),
            "memory": words.byte_size(m.get("peak_ram_bytes")),
            "why": (manifest.get("why_not") or {}).get(name, ""),
        }
        for name, m in measured.items()
    ]


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
