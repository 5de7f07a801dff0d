"""The screen of `squeeze fit` and of `profile` on several targets: a line a target, numbers with their class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze.console.accuracy import likeness_rows, value_of
from squeeze.console.ratio import shown_spread
from squeeze.console.table import show_table
from squeeze.console.text import shown
from squeeze.quantities import show_bytes, show_ms, show_times
from squeeze.runtimes.runtime import MEANINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

Json = dict[str, Any]  # Any: JSON

_HEAD = (
    "target",
    "fits",
    "runs there",
    "time or traffic",
    "memory",
    "file",
    "class",
    "what limits it",
)


def show_across(console: Console, found: Json) -> None:
    """A line a target, then what the classes mean, and the command that brings more."""
    head: tuple[str, ...] = _HEAD
    limits = _limits(found["targets"])
    rows = [(*_cells(row), limit) for row, limit in zip(found["targets"], limits, strict=True)]
    if any(row.get("accuracy") for row in found["targets"]):
        head = (*head[:3], "accuracy", *head[3:])
        cells = [accuracy_cell(row.get("accuracy")) for row in found["targets"]]
        rows = [(*row[:3], cell, *row[3:]) for row, cell in zip(rows, cells, strict=True)]
    show_table(console, head, rows)
    console.print()
    used = dict.fromkeys(row["source"] for row in found["targets"] if row.get("source"))
    for source in used:
        console.print(shown(f"{source}: {MEANINGS[source]}"))
    forms = dict.fromkeys(row["form"] for row in found["targets"] if row.get("form"))
    for form in forms:
        names = [row["target"] for row in found["targets"] if row.get("form") == form]
        console.print(shown(f"{', '.join(names)}: {form}"))
    for text, names in _left_out(found["targets"]).items():
        console.print(shown(f"{', '.join(names)}: {text}"))
    for text in found["assumed"]:
        console.print(shown(f"assumed: {text}"))
    for row in found["targets"]:
        if against := row.get("against"):
            console.print(shown(f"{row['target']}: {_compared(against, str(found['against']))}"))
    for name, held in _judged(found):
        for text in held_lines(held):
            console.print(shown(f"{name}: {text}"))
    for why, names in _missing(found["targets"]).items():
        console.print(shown(f"{', '.join(names)}: {why}"))


def accuracy_cell(held: Json | None) -> str:
    """The metric of the output that loses most, and what it loses; "-" where it is not known."""
    if not held or "outputs" not in held:
        return "-"
    one = max(held["outputs"], key=lambda output: float(output["drop"]))
    return f"{value_of(one['metric'], one['value'])} ({one['drop']:.2f} lost)"


def held_lines(held: Json) -> list[str]:
    """Each judged output with its interval, beside the float model's, and by what it was had; or why it was not."""
    if "outputs" not in held:
        return [f"accuracy not known here: {held['not_asked']}"]
    rows = likeness_rows(held, held["against"])
    return [f"{what} {said} (by {held['by']})" for what, said in rows]


def _judged(found: Json) -> Iterator[tuple[str, Json]]:
    for row in found["targets"]:
        if row.get("accuracy"):
            yield row["target"], row["accuracy"]
        if (row.get("against") or {}).get("accuracy"):
            yield f"{row['target']}, {found['against']}", row["against"]["accuracy"]


def _compared(against: Json, other: str) -> str:
    """How the model does beside the other one, in what the target is judged by."""
    ratio = against["ratio"]
    if against["what"] == "latency":
        said = show_times(
            ratio, f"faster than {other}", f"slower than {other}", f"as fast as {other}"
        )
        spread = shown_spread((against["p10"], against["p90"]))
        return f"{said} ({spread if against['steady'] else 'not steady: the machine is busy'})"
    what = against["what"]
    return show_times(
        ratio,
        f"less {what} than {other}",
        f"more {what} than {other}",
        f"as much {what} as {other}",
    )


def _cells(row: Json) -> tuple[str, ...]:
    fits = {True: "yes", False: "no", None: "?"}[row["fits"]]
    return (
        row["target"],
        fits,
        _placed(row),
        figure(row),
        memory(row),
        show_bytes(row["file_bytes"]) if row.get("file_bytes") else "-",
        row.get("source") or "-",
    )


def _placed(row: Json) -> str:
    share = row.get("accelerator_share")
    if share is None:
        return "all" if row["fits"] else "-"
    left = row["left_over"]
    return (
        "all"
        if not left
        else f"{100 * share:.0f} %, not {left[0]}"
        + (f" and {len(left) - 1} more" if len(left) > 1 else "")
    )


def figure(row: Json) -> str:
    """Time where there is one, cycles beside it; else the bytes that are moved."""
    parts = []
    if row.get("latency_ms") is not None:
        parts.append(show_ms(row["latency_ms"]))
    if row.get("cycles") is not None:
        parts.append(f"{row['cycles']:,} cycles")
    if not parts:
        parts = [
            f"{kind.replace('_', ' ')} {show_bytes(count)}"
            for kind, count in (row.get("traffic_bytes") or {}).items()
            if count
        ]
    return ", ".join(parts) or "-"


def memory(row: Json) -> str:
    """What it computes in, and what stays beside it."""
    ram, persistent = row.get("ram_bytes"), row.get("persistent_bytes")
    if ram is None:
        return "-"
    return show_bytes(ram) + (f" + {show_bytes(persistent)}" if persistent else "")


def _limits(rows: list[Json]) -> list[str]:
    """What limits each; what keeps several from running is told once, and of the others with which it is the same."""
    first: dict[str, str] = {}
    found = []
    for row in rows:
        if not row["why"] or row["missing"]:
            found.append(row.get("limited_by") or "")
            continue
        why = "; ".join(row["why"])
        told = first.setdefault(why, row["target"])
        found.append(why if told == row["target"] else f"the same as {told}")
    return found


def _left_out(rows: list[Json]) -> dict[str, list[str]]:
    """What the numbers have not in them, with the targets of which it is said."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for text in row.get("leaves_out", ()):
            found.setdefault(text, []).append(row["target"])
    return found


def _missing(rows: list[Json]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in rows:
        if row["missing"]:
            found.setdefault(row["missing"], []).append(row["target"])
    return found
