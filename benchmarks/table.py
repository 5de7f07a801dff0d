"""Turns a benchmark's JSON results into Markdown tables: python -m benchmarks.table [results/end_to_end.json]."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

Row = dict[str, Any]  # Any: a row mixes text, numbers and nothing

BASELINE = "teacher-fp32-ort"


def table(results: dict[str, Any]) -> str:  # Any: parsed JSON
    """One Markdown table per case, in the order of the file; factors are against the teacher of the same case."""
    cases: dict[str, list[Row]] = {}
    for row in results["rows"]:
        cases.setdefault(row["case"], []).append(row)
    parts = [_case(name, rows) for name, rows in cases.items()]
    host, versions = _facts(results["host"]), _facts(results["versions"])
    made = f"Host: {host}. Versions: {versions}. Made by `{results['command']}`.\n"
    return "\n".join([*parts, made])


def write(path: Path) -> Path:
    """Writes the tables of a results file beside it, as .md; returns that path."""
    beside = path.with_suffix(".md")
    beside.write_text(table(json.loads(path.read_text(encoding="utf-8"))), encoding="utf-8")
    return beside


def _facts(found: dict[str, Any]) -> str:  # Any: text, numbers, lists of text
    shown = {k: " ".join(map(str, v)) if isinstance(v, list) else v for k, v in found.items()}
    return ", ".join(f"{k} {v}" for k, v in shown.items())


def _case(name: str, rows: list[Row]) -> str:
    teacher = next((row for row in rows if row["run"] == BASELINE), None)
    first = rows[0]
    lines = [
        f"**{name}**: {first['metric_name']} on {first['n']:,} samples",
        "",
        "| run | metric | latency p50, 1 thread | file | parameters | MACs |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [_line(row, teacher) for row in rows]
    return "\n".join([*lines, ""])


def _line(row: Row, teacher: Row | None) -> str:
    metric = f"{row['metric']:.2f}"
    latency = f"{row['latency_p50_ms']:.3f} ms"
    size = f"{row['bytes'] / 1e3:,.0f} kB"
    if teacher is not None and row is not teacher:
        metric += f" ({row['metric'] - teacher['metric']:+.2f})"
        latency += f" ({_factor(teacher['latency_p50_ms'], row['latency_p50_ms'])})"
        size += f" ({_factor(teacher['bytes'], row['bytes'])})"
    cells = [row["run"], metric, latency, size, _count(row.get("params")), _count(row.get("macs"))]
    return "| " + " | ".join(cells) + " |"


def _factor(before: float, after: float) -> str:
    return f"{before / after:.1f}x"


def _count(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value / 1e6:,.2f} M" if value >= 1e5 else f"{value:,.0f}"


def main() -> None:
    """Prints the table of the file named on the command line, by default the committed end-to-end results."""
    default = Path(__file__).parent / "results" / "end_to_end.json"
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    print(table(json.loads(path.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
