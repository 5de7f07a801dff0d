"""The candidates of the search: score against latency, the front, and the pick.

A filled circle was exported, quantised and timed; a hollow one is an estimate. They share a picture and never a mark.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from squeeze.report import axes, words

Json = dict[str, Any]  # Any: JSON
_MOST_POINTS = 400


@dataclass(frozen=True)
class Front:
    """The chart, and what is said beside it."""

    svg: Markup
    evaluated: int
    measured: int
    reason: str
    picked: str
    taus: str


def chart(search: Json | None) -> Front | None:
    """None without a search, or when nothing can be drawn."""
    every = (search or {}).get("candidates") or []
    drawn = [c for c in every if words.is_number(c.get("score")) and _ratio(c) > 0]
    if search is None or not drawn:
        return None
    # Drawn last is drawn on top: estimates, then what was measured, then the pick.
    drawn = sorted(drawn[:_MOST_POINTS], key=lambda c: (_measured(c), bool(c.get("picked"))))
    x = axes.across([100 * _ratio(c) for c in drawn], log=True)
    y = axes.upwards([float(c["score"]) for c in drawn])
    parts = [
        axes.frame(x, y, "latency, % of the teacher's (log scale)", "score", "{:g} %".format),
        _line(drawn, x, y),
    ]
    parts += [_point(c, x, y) for c in drawn]
    picked = next((c for c in every if c.get("picked")), None)
    label = f"{len(drawn)} candidates, score against latency"
    return Front(
        svg=axes.svg(label, Markup("\n").join(parts)),
        evaluated=int(search.get("evaluated") or len(every)),
        measured=sum(_measured(c) for c in every),
        reason=str(search.get("reason") or ""),
        picked=_architecture(picked) if picked else "",
        taus=_taus(search.get("taus") or {}),
    )


def _taus(found: Json) -> str:
    """How the score ranks against each simpler one; not how those rank among themselves, which says nothing of it."""
    score = next(iter(found), "").partition("~")[0]
    pairs = [(name.partition("~"), tau) for name, tau in found.items() if tau is not None]
    return ", ".join(
        f"{other or name} {words.signed(tau, 2)}"
        for (name, _, other), tau in pairs
        if not other or name == score
    )


def _point(c: Json, x: axes.Axis, y: axes.Axis) -> Markup:
    place = (x.at(100 * _ratio(c)), y.at(float(c["score"])))
    kinds = ["point", "measured" if _measured(c) else "estimate"]
    if c.get("on_front"):
        kinds.append("on-front")
    mark = Markup(
        '<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}</title></circle>'
    ).format(" ".join(kinds), *place, 4.5 if _measured(c) else 3, _title(c))
    if c.get("picked"):
        anchor = "end" if place[0] > axes.WIDTH / 2 else "start"
        mark += Markup(
            '<circle class="ring" cx="{:.1f}" cy="{:.1f}" r="9"/>'
            '<text class="pick" x="{:.1f}" y="{:.1f}" text-anchor="{}">pick</text>'
        ).format(*place, place[0] + (-13 if anchor == "end" else 13), place[1] + 4, anchor)
    return mark


def _line(drawn: list[Json], x: axes.Axis, y: axes.Axis) -> Markup:
    """Through what was measured and is not beaten in both; estimates are not joined with measurements."""
    best: list[Json] = []
    for c in sorted((c for c in drawn if _measured(c)), key=_ratio):
        if not best or float(c["score"]) > float(best[-1]["score"]):
            best.append(c)
    dots = " ".join(f"{x.at(100 * _ratio(c)):.1f},{y.at(float(c['score'])):.1f}" for c in best)
    return Markup('<polyline class="front" points="{}"/>').format(dots)


def _title(c: Json) -> str:
    kind = "measured" if _measured(c) else "estimate"
    ratio = _ratio(c)
    lines = [
        _architecture(c),
        f"score {c['score']:.4g}",
        f"latency {words.share(ratio)} of the teacher's ({kind})",
        f"{words.count(c.get('parameters'))} parameters, {words.count(c.get('macs'))} MACs",
    ]
    if c.get("estimate_bytes"):
        lines.append(f"file about {words.byte_size(c['estimate_bytes'])} (estimate)")
    if c.get("on_front"):
        lines.append("on the Pareto front")
    return "\n".join(lines)


def _architecture(c: Json) -> str:
    params = c.get("params")
    if not isinstance(params, dict):
        return str(c.get("family", ""))
    told = {
        k: v for k, v in params.items() if k not in {"input_shape", "outputs", "output_activation"}
    }
    return f"{c.get('family', '')} · " + " · ".join(f"{k} {_brief(v)}" for k, v in told.items())


def _brief(value: object) -> str:
    return "-".join(map(str, value)) if isinstance(value, list) else words.plain(value)


def _measured(c: Json) -> bool:
    return c.get("measured_ratio") is not None


def _ratio(c: Json) -> float:
    value = c["measured_ratio"] if _measured(c) else c.get("estimate_ratio")
    return value if words.is_number(value) else 0.0
