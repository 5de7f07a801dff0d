"""One model on several targets as a page: the table, what each operator takes, and where measured the roofline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from squeeze.metrics import METRICS
from squeeze.report import axes, words
from squeeze.runtimes.runtime import MEANINGS

Json = dict[str, Any]  # Any: JSON
_MOST_OPERATORS = 12


@dataclass(frozen=True)
class Line:
    """A target's row; `mark` says whether the model fits."""

    name: str
    what: str
    mark: str
    figure: str
    memory: str
    file: str
    source: str
    limit: str
    accuracy: tuple[str, ...]


@dataclass(frozen=True)
class Bar:
    """An operator; `width` in percent of the dearest one's."""

    name: str
    op: str
    share: str
    width: float
    value: str
    off: bool


@dataclass(frozen=True)
class Detail:
    """What is told of one target below the table."""

    name: str
    source: str
    bars: tuple[Bar, ...]
    more: int
    notes: tuple[str, ...]
    roofline: Markup | None


def lines(found: Json) -> list[Line]:
    """The table."""
    marks = {True: "✓ fits", False: "✗ no", None: "–"}
    return [
        Line(
            name=str(row["target"]),
            what=str(row.get("summary") or ""),
            mark=marks[row.get("fits")],
            figure=_figure(row),
            memory=words.byte_size(row.get("ram_bytes")),
            file=words.byte_size(row.get("file_bytes")),
            source=str(row.get("source") or ""),
            limit="; ".join(row.get("why") or ()) or str(row.get("limited_by") or ""),
            accuracy=_accuracy(row.get("accuracy")),
        )
        for row in found.get("targets") or ()
    ]


def classes(found: Json) -> list[tuple[str, str]]:
    """The classes of numbers in the table, and what each means."""
    used = dict.fromkeys(r.get("source") for r in found.get("targets") or () if r.get("source"))
    return [(name, MEANINGS[name]) for name in used if name in MEANINGS]


def details(found: Json) -> list[Detail]:
    """Of the targets that say what their operators take."""
    return [_detail(row) for row in found.get("targets") or () if row.get("operators")]


def _detail(row: Json) -> Detail:
    every = sorted(row["operators"], key=lambda one: -one["share"])
    shown, top = every[:_MOST_OPERATORS], every[0]["share"] or 1
    return Detail(
        name=str(row["target"]),
        source=str(row.get("source") or ""),
        bars=tuple(
            Bar(
                name=str(one["name"]),
                op=str(one["op"]),
                share=words.share(one["share"]),
                width=100 * one["share"] / top,
                value=_taken(one),
                off=one.get("on_accelerator") is False,
            )
            for one in shown
        ),
        more=len(every) - len(shown),
        notes=tuple(map(str, (*row.get("leaves_out", ()), *row.get("notes", ())))),
        roofline=roofline(row),
    )


def roofline(row: Json) -> Markup | None:
    """Speed over arithmetic intensity of each operator that multiplies; None where times or bytes are not measured."""
    points = [
        (one["macs"] / one["bytes"], one["macs"] / one["us"] / 1e3, str(one["name"]))
        for one in row["operators"]
        if one.get("macs") and one.get("bytes") and one.get("us")
    ]
    if row.get("source") != "measured" or not points:
        return None
    x = axes.across([p[0] for p in points], log=True)
    y = axes.upwards([0.0, *(p[1] for p in points)])
    parts = [
        axes.frame(x, y, "multiplications for each byte moved (log scale)", "GMAC/s", "{:g}".format)
    ]
    parts += [
        Markup(
            '<circle class="measured" cx="{:.1f}" cy="{:.1f}" r="4"><title>{}: {:.3g} GMAC/s</title></circle>'
        ).format(x.at(intensity), y.at(speed), name, speed)
        for intensity, speed, name in points
    ]
    label = f"{len(points)} operators, speed over arithmetic intensity"
    return axes.svg(label, Markup("\n").join(parts))


def judged(found: Json) -> list[str]:
    """Beside which float model, on how many samples and by what the accuracies of the table were had."""
    said = []
    for row in found.get("targets") or ():
        held = row.get("accuracy")
        if held and "outputs" in held:
            beside = f"of the file that runs there, beside {held['against']}"
            said.append(f"{row['target']}: {held['samples']:,} samples, {beside}, by {held['by']}")
        elif held:
            said.append(f"{row['target']}: accuracy not known here: {held['not_asked']}")
    return said


def _accuracy(held: Json | None) -> tuple[str, ...]:
    """A line for each judged output: its metric with its interval, and the float model's."""
    if not held or "outputs" not in held:
        return (words.MISSING,)
    several = len(held["outputs"]) > 1
    return tuple(
        (f"{one['output']}: " if several else "") + _beside(one) for one in held["outputs"]
    )


def _beside(one: Json) -> str:
    spread = ""
    if one.get("interval"):
        low, high = one["interval"]
        spread = f" ({low:.2f} to {high:.2f})"
    value, before = (f"{one[k]:.2f} {one['unit']}".strip() for k in ("value", "against"))
    metric = str(one["metric"])
    name = METRICS[metric].name if metric in METRICS else metric
    return f"{name} {value}{spread}, float {before}"


def _figure(row: Json) -> str:
    parts = []
    if row.get("latency_ms") is not None:
        parts.append(words.latency(row["latency_ms"]))
    if row.get("cycles") is not None:
        parts.append(f"{row['cycles']:,} cycles")
    if not parts:
        traffic = row.get("traffic_bytes") or {}
        parts = [f"{k.replace('_', ' ')} {words.byte_size(v)}" for k, v in traffic.items() if v]
    return ", ".join(parts) or words.MISSING


def _taken(one: Json) -> str:
    if one.get("us") is not None:
        return f"{one['us']:.3g} µs"
    return f"{one['cycles']:,} cycles" if one.get("cycles") is not None else words.MISSING
