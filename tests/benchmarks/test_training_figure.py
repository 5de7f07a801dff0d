from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.training_figure import figure, marks

SVG = "{http://www.w3.org/2000/svg}"


def _row(
    case: str, method: str, seed: int, minutes: float, metric: float
) -> dict[str, Any]:  # Any: as in the results
    return {
        "case": case,
        "method": method,
        "seed": seed,
        "minutes": minutes,
        "metric": metric,
        "teacher_metric": 94.0,
        "latency_p50_ms": 0.25,
        "teacher_latency_p50_ms": 2.0,
        "bytes": 100,
        "teacher_bytes": 1200,
    }


ROWS = [
    _row("a-b-8x", "inherited", 0, 15, 93.75),
    _row("a-b-8x", "inherited", 0, 5, 93.0),
    _row("a-b-8x", "inherited", 1, 5, 93.5),
    _row("a-b-8x", "anew", 0, 5, 92.0),
    _row("c-12x", "anew", 0, 5, 92.0),
]


def test_seeds_of_one_kind_are_a_mark_and_minutes_are_in_order() -> None:
    found = [(m.method, m.bound, m.minutes, m.faster, m.smaller, m.lost) for m in marks(ROWS[:4])]
    assert found == [
        ("anew", "8x", 5, 8.0, 12.0, (2.0,)),
        ("inherited", "8x", 5, 8.0, 12.0, (1.0, 0.5)),
        ("inherited", "8x", 15, 8.0, 12.0, (0.25,)),
    ]


def test_a_case_has_three_charts_with_a_mark_of_each_kind() -> None:
    drawn = ElementTree.fromstring(figure(ROWS))
    charts = drawn.findall(f"{SVG}g")
    titles = [t.text for t in drawn.iter(f"{SVG}text") if t.get("class") == "title"]
    assert titles == ["a-b, 2 seeds"] * 3 + ["c, 1 seed"] * 3
    assert [len(list(chart.iter(f"{SVG}circle"))) for chart in charts] == [3, 3, 3, 1, 1, 1]


def test_a_whisker_reaches_over_the_seeds() -> None:
    minutes, _, _ = ElementTree.fromstring(figure(ROWS[1:3])).findall(f"{SVG}g")
    (whisker,) = (p for p in minutes.iter(f"{SVG}path") if p.get("class") == "whisker")
    (circle,) = minutes.iter(f"{SVG}circle")
    low, high = (float(at) for at in whisker.attrib["d"].split(" ")[1].split("V"))
    assert float(circle.attrib["cy"]) == pytest.approx((low + high) / 2, abs=0.1)
    assert low > high
