"""Squeeze against the best other tool for each shipped model: what the rows say, and as a table.

A peer counts when it made a file that runs. `accurate`: squeeze's agreement is no lower than the best peer's.
`faster`: with the library, its latency is below the fastest peer's; `stock_within`: without it, at most 5 % above.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]  # Any: JSON
OURS, STOCK, FLOAT = "squeeze", "squeeze-stock", "float"
NEAR = 1.05


def summary(rows: Sequence[Json]) -> Json:
    """Counts over the models of one machine, and a verdict for each."""
    verdicts = [_verdict(name, [r for r in rows if r["model"] == name]) for name in _names(rows)]
    return {
        "models": len(verdicts),
        "made": sum(v["made"] for v in verdicts),
        "accurate": sum(v["accurate"] for v in verdicts),
        "faster": sum(v["faster"] for v in verdicts),
        "stock_within": sum(v["stock_within"] for v in verdicts),
        "by_model": verdicts,
    }


def _names(rows: Sequence[Json]) -> list[str]:
    return list(dict.fromkeys(row["model"] for row in rows))


def _verdict(name: str, rows: Sequence[Json]) -> Json:
    """At 8 bits."""
    ran = [r for r in rows if "latency_p50_ms" in r and r["bits"] == 8]
    peers = [r for r in ran if r["run"] not in (OURS, STOCK)]
    ours = next((r for r in ran if r["run"] == OURS), None)
    stock = next((r for r in ran if r["run"] == STOCK), None)
    best = max((r["metric"] for r in peers), default=None)
    fastest = min((r["latency_p50_ms"] for r in peers), default=None)
    return {
        "model": name,
        "made": ours is not None,
        "accurate": ours is not None and (best is None or ours["metric"] >= best),
        "faster": ours is not None and (fastest is None or ours["latency_p50_ms"] < fastest),
        "stock_within": stock is not None
        and (fastest is None or stock["latency_p50_ms"] <= NEAR * fastest),
    }


def text(rows: Sequence[Json]) -> str:
    """Markdown: every row, then the counts for each machine."""
    lines = [
        "| model | run | bits | metric | | kB | ms | speed | tool s |",
        "| --- | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [_line(row) for row in rows]
    for host in dict.fromkeys(row["host"] for row in rows):
        found = summary([r for r in rows if r["host"] == host])
        lines += [
            "",
            f"{host}: {found['models']} models; squeeze made a file of {found['made']}, as accurate as the best "
            f"peer on {found['accurate']}, faster than the fastest on {found['faster']}, within 5 % of it without "
            f"the library on {found['stock_within']}.",
        ]
    return "\n".join(lines)


def _line(row: Json) -> str:
    head = f"| {row['model']} | {row['run']} | {row['bits']} | {row['metric_name']} |"
    seconds = row.get("tool_seconds", "")
    if "latency_p50_ms" not in row:
        return f"{head} {row.get('error', '')[:90]} | | | | {seconds} |"
    numbers = f"{row['metric']:.2f} | {row['bytes'] / 1e3:,.0f} | {row['latency_p50_ms']:.3f}"
    return f"{head} {numbers} | {row['speed']:.2f} | {seconds} |"
