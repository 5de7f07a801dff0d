"""What the goal allows, in a chart of the candidates: down to which metric, and up to which cost."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from squeeze.metrics import METRICS
from squeeze.metrics.metric import Metric
from squeeze.report import axes, judged, labels, words
from squeeze.report.costs import CostAxis

Json = dict[str, Any]  # Any: JSON


def floor(manifest: Json) -> float | None:
    """The worst value that the goal allows, found by halving: each metric counts its points in its own way."""
    metric = METRICS.get(judged.metric_name(manifest))
    limit = ((manifest.get("verdict") or {}).get("goal") or {}).get("max_drop")
    teacher = (manifest.get("measurements") or {}).get("teacher") or {}
    before = judged.value(manifest, teacher)
    if metric is None or not words.is_number(limit) or not words.is_number(before):
        return None
    worse = -1.0 if metric.higher_is_better else 1.0
    good, bad = 0.0, max(1.0, abs(before))
    while metric.drop(before, before + worse * bad) < limit:
        good, bad = bad, 2 * bad
        if bad > 1e12:
            return None
    for _ in range(60):
        middle = (good + bad) / 2
        if metric.drop(before, before + worse * middle) <= limit:
            good = middle
        else:
            bad = middle
    return before + worse * good


def drawn(
    cost: CostAxis,
    x: axes.Axis,
    y: axes.Axis,
    worst: float,
    metric: Metric,
    taken: list[labels.Box],
) -> tuple[Markup, labels.Box]:
    """The area inside the goal, and the line where it ends."""
    best = y.end if metric.higher_is_better else y.start
    right = x.at(cost.limit) if cost.limit else x.end
    top, bottom = sorted((y.at(worst), best))
    said = f"goal: {'at least' if metric.higher_is_better else 'at most'} {words.metric(metric.key, worst)}"
    if cost.limit:
        said += f", at most {cost.show(cost.limit)}"
    area = Markup(
        '<rect class="goal" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
        '<polyline class="limit" points="{:.1f},{:.1f} {:.1f},{:.1f} {:.1f},{:.1f}"/>'
    ).format(
        *(x.start, top, right - x.start, bottom - top),
        *(x.start, y.at(worst), right, y.at(worst), right, best if cost.limit else y.at(worst)),
    )
    # Along the line, outside of the area, where the fewest whiskers cross it; else inside.
    below, above = y.at(worst) + 14, y.at(worst) - 5
    bases = (below, above) if metric.higher_is_better else (above, below)
    spans = [
        (at, base, anchor, labels.text_box(at, base, [said], anchor))
        for base in bases
        if base < y.start
        for at, anchor in ((x.start + 4, "start"), (x.end - 4, "end"))
    ]

    def crossed(span: tuple[float, float, str, labels.Box]) -> int:
        return sum(span[-1].covers(box) for box in taken)

    at, base, anchor, place = min(spans, key=crossed)
    return area + labels.text(at, base, [said], anchor, "limit-name"), place
