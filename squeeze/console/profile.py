"""The screen of `squeeze profile`: latency, size, and where the time goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze.console.accuracy import likeness_rows
from squeeze.console.macs import macs_in_words
from squeeze.console.ratio import shown_ratio, shown_spread
from squeeze.console.table import show_table
from squeeze.console.text import shown
from squeeze.quantities import show_bytes, show_ms

if TYPE_CHECKING:
    from rich.console import Console

_NAMED = 3  # values that are alive at the peak


def show_profile(console: Console, found: dict[str, Any]) -> None:  # Any: JSON
    """What was measured, then the operators, the slowest first."""
    latency = found["latency"]
    rows = [
        (
            "latency p50 / p90 / p99",
            " / ".join(show_ms(latency[p]) for p in ("p50_ms", "p90_ms", "p99_ms")),
        ),
        ("runs, threads", f"{latency['runs']}, {found['threads']}"),
        ("peak memory", show_bytes(found["peak_ram_bytes"]) if found["peak_ram_bytes"] else "-"),
        (
            "file / weights",
            f"{show_bytes(found['file_bytes'])} / {show_bytes(found['weight_bytes'])}",
        ),
        (
            "params, MACs",
            f"{found['params']:,}, {shown(macs_in_words(found['macs'], found['macs_unknown']))}",
        ),
        ("speed", f"{found['gmacs_per_s']:.0f} GMAC/s" if found["macs"] else "-"),
        ("host", f"{found['host']} · {', '.join(found['isa'])}"),
    ]
    if against := found.get("against"):
        ratio = against["speedup"]
        spread = shown_spread((ratio["p10"], ratio["p90"]))
        p50 = show_ms(against["latency"]["p50_ms"])
        said = f"{shown_ratio(ratio['median'])} its speed ({spread}), interleaved; it has p50 {p50}"
        rows.append((f"against {against['model']}", said))
        rows += likeness_rows(against.get("accuracy"))
    show_table(console, ("measured", ""), rows)
    for text in found["assumed"]:
        console.print(shown(f"assumed: {text}"))
    console.print(shown(_working(found["working_memory"])), soft_wrap=True)
    console.print()
    ops = [
        (op["op"], str(op["count"]), f"{op['us']:.1f} us", f"{100 * op['share']:.1f} %")
        for op in found["ops"]
    ]
    show_table(console, ("op", "nodes", "time", "share"), ops)


def _working(memory: dict[str, Any]) -> str:  # Any: JSON
    """The peak of what is alive, and where; inputs are in it, weights are not."""
    if not memory["at"]:
        return "estimate: no operator, no working memory"
    alive = memory["alive"]
    names = ", ".join(f"{one['name']} {show_bytes(one['bytes'])}" for one in alive[:_NAMED])
    more = f" and {len(alive) - _NAMED} more" if len(alive) > _NAMED else ""
    said = f"values take {show_bytes(memory['peak_bytes'])} at most, at {memory['at']} ({memory['op']}): {names}{more}"
    left = f"; not counted: {memory['unknown'][0]}" if memory["unknown"] else ""
    return f"estimate: {said}{left}"
