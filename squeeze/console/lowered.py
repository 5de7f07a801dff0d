"""The screen of `squeeze lower`: what was lowered and what was left, then speed, size and outputs before and after."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from squeeze.console.ratio import shown_ratio, shown_spread
from squeeze.console.table import show_table
from squeeze.console.text import shown
from squeeze.quantities import show_bytes, show_ms

if TYPE_CHECKING:
    from rich.console import Console

Json = dict[str, Any]  # Any: JSON


def show_lowered(console: Console, found: Json) -> None:
    """The notes, a table, how far outputs moved, and what to do next."""
    for note in found["notes"]:
        word = "" if note["kept"] else "left"
        what = note["name"].removeprefix("lower ")
        console.print(shown(f"{word:<6}{what:<20}{note['why']}"), soft_wrap=True)
    console.print()
    rows: list[tuple[str, ...]] = []
    if speed := found["speed"]:
        before, after = show_ms(speed["before_ms"]), show_ms(speed["after_ms"])
        # What was measured is the time after over the time before.
        faster = shown_ratio(1 / speed["ratio"])
        spread = shown_spread((1 / speed["ratio_p90"], 1 / speed["ratio_p10"]))
        where = f"{spread} · {_threads(speed['threads'])}, {speed['runs']} interleaved runs"
        rows.append(("latency p50", before, after, faster, where))
    if stock := found["stock_speed"]:
        before, after = show_ms(stock["before_ms"]), show_ms(stock["after_ms"])
        faster = shown_ratio(1 / stock["ratio"])
        rows.append(("stock runtime", before, after, faster, "where our library is absent"))
    size = found["bytes"]
    before, after = show_bytes(size["before"]), show_bytes(size["after"])
    rows.append(("file", before, after, shown_ratio(size["before"] / size["after"]), ""))
    show_table(console, ("", "before", "after", "", ""), rows)
    console.print()
    lines = [*found["interface_changes"], _outputs(found["difference"])]
    if found["not_measured"]:
        lines.append(f"speed not measured: {found['not_measured']}")
    out, model = (shlex.quote(str(found[key])) for key in ("out", "model"))
    lines.append(f"{found['out']} · next: squeeze profile {out} --against {model}")
    for line in lines:
        console.print(shown(line), soft_wrap=True)


def _outputs(moved: Json | None) -> str:
    if moved is None:
        return "outputs: not compared"
    return (
        f"outputs: {moved['max_steps']:.2g} steps apart at most, {100 * moved['share_moved']:.1f} % by more "
        f"than half a step (a step of {moved['step_of']}; {moved['random_inputs']} random inputs). "
        f"The runtime's own optimiser: {moved['optimiser_max_steps']:.2g} steps"
    )


def _threads(count: int) -> str:
    return f"{count} thread" + ("s" if count > 1 else "")
