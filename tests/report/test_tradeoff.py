"""The charts of the finished candidates: where marks, whiskers and the goal lie, and what is said instead of them."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest

from squeeze.report import axes, goal_area, labels, render, tradeoff
from tests.report.story_of_a_compile import Json, manifest


def told() -> Json:
    """Four candidates with intervals; the goal ends at 92.70 % and 200 KB."""
    found: Json = json.loads(json.dumps(manifest()))  # nothing in it is shared
    found["verdict"]["goal"] |= {"max_bytes": 200_000}
    for m in (
        *found["measurements"]["candidates"].values(),
        found["measurements"]["teacher"],
        found["measurements"]["student"],
    ):
        m["interval"] = [m["metric"] - 1.0, m["metric"] + 0.5]
    return found


def marks(svg: str) -> dict[str, tuple[float, float]]:
    """The middle of each candidate's mark by its name."""
    circles = re.findall(
        r'<circle class="candidate [a-z]+" cx="(.+?)" cy="(.+?)".*?<title>(.+?)\n', svg
    )
    squares = re.findall(r'class="candidate of-teacher" x="(.+?)" y="(.+?)".*?<title>(.+?)\n', svg)
    found = {name: (float(x), float(y)) for x, y, name in circles}
    return found | {name: (float(x) + 4.5, float(y) + 4.5) for x, y, name in squares}


def drawn(found: Json) -> list[str]:
    charts = tradeoff.charts(found)
    assert charts is not None
    return [str(svg) for _, svg in charts.charts]


def test_candidates_lie_by_their_metric_latency_and_bytes() -> None:
    latency, size = map(marks, drawn(told()))
    assert set(latency) == {"teacher", "keep-int8", "student-4bit", "student-int8 (shipped)"}
    # 1.61, 0.42 and 0.062 ms; the logarithms of the quotients are as the distances.
    x = {name: at[0] for name, at in latency.items()}
    far = (x["teacher"] - x["keep-int8"]) / (x["keep-int8"] - x["student-int8 (shipped)"])
    assert far == pytest.approx(1.3437 / 1.9132, abs=0.002)
    assert size["student-4bit"][0] < size["student-int8 (shipped)"][0] < size["teacher"][0]
    for at in (latency, size):
        heights = [
            at[n][1] for n in ("teacher", "keep-int8", "student-int8 (shipped)", "student-4bit")
        ]
        assert heights == sorted(heights)
        assert len(set(heights)) == 4


def test_whiskers_reach_over_the_interval() -> None:
    svg = drawn(told())[0]
    at = marks(svg)["student-int8 (shipped)"]
    whisker = re.search(r'whisker of-pick" d="M(.+?) (.+?)V(.+?)M', svg)
    assert whisker is not None
    x, low, high = map(float, whisker.groups())
    assert x == at[0]
    # One point down and half a point up.
    assert low - at[1] == pytest.approx(2 * (at[1] - high), abs=0.2)


def test_goal_is_an_area_that_ends_at_its_limits() -> None:
    latency, size = drawn(told())
    for svg in (latency, size):
        area = re.search(r'class="goal" x="(.+?)" y="(.+?)" width="(.+?)" height="(.+?)"', svg)
        assert area is not None
        x, top, width, height = map(float, area.groups())
        at = marks(svg)
        # 94.20 - 1.50 = 92.70 %: the worst candidate, at 93.07 %, lies inside.
        per_point = (at["student-4bit"][1] - at["teacher"][1]) / (94.2 - 93.07)
        assert top + height == pytest.approx(at["teacher"][1] + 1.5 * per_point, abs=0.3)
        assert (x + width > at["teacher"][0]) == (svg is latency)
        assert "goal: at least 92.70 %" in svg
    assert "goal: at least 92.70 %, at most 200 KB" in size
    assert ", at most" not in latency


def test_what_was_beyond_the_goal_when_the_choice_was_made_is_hollow() -> None:
    svg = drawn(told())[0]
    assert svg.count("candidate beyond") == 1  # student-4bit lost 1.61 points of 1.50 there
    assert "student-4bit" in svg[svg.index("candidate beyond") :][:120]
    assert "beyond the goal on the calibrate split" in svg


def test_chart_is_said_in_words_and_the_shipped_one_is_named() -> None:
    svg = drawn(told())[1]
    label = unescape(re.findall('aria-label="(.+?)"', svg)[0])
    assert label.startswith("top-1 accuracy against file: student-int8 (shipped) 93.41 % at 141 KB")
    assert "teacher 94.20 % at 4.34 MB" in label
    assert label.endswith("the goal ends at 92.70 % and 200 KB")
    assert ">student-int8 (shipped)</tspan>" in svg


@pytest.mark.parametrize(
    ("name", "before", "limit", "worst"),
    [
        ("top1", 94.2, 1.5, 92.7),
        ("mse", 0.5, 20.0, 0.6),  # 20 % more of an error
        ("mse", 0.0, 20.0, 0.0),  # any error is more than 20 % of none
        ("channel_error", 0.0, 1.0, None),
        ("mine:error", 4.0, 1.0, None),  # another's metric: which way is worse is not known here
    ],
)
def test_floor_is_the_worst_value_that_the_goal_allows(
    name: str, before: float, limit: float, worst: float | None
) -> None:
    measured = {"metric": before, "metric_name": name}
    found = goal_area.floor(
        {
            "verdict": {"goal": {"max_drop": limit}},
            "measurements": {"teacher": measured, "student": measured},
        }
    )
    if name == "channel_error":
        # Points are of the share of the error there: as many points are lost at the floor as the goal allows.
        assert found is not None
        assert goal_area.METRICS[name].drop(before, found) == pytest.approx(limit)
    else:
        assert found == (None if worst is None else pytest.approx(worst, abs=1e-9))


def test_less_is_better_of_an_error() -> None:
    found = told()
    for m in (*found["measurements"]["candidates"].values(), found["measurements"]["teacher"]):
        m |= {"metric_name": "mse", "metric": 100 - m["metric"]}
    found["measurements"]["student"] |= {"metric_name": "mse"}
    found["verdict"]["goal"]["max_drop"] = 30.0
    svg = drawn(found)[0]
    assert "goal: at most 7.54" in svg  # 5.8 and 30 % of it
    assert marks(svg)["student-4bit"][1] < marks(svg)["teacher"][1]
    assert "better: down and to the left" in render(found)


def test_names_of_marks_on_each_other_are_together_and_none_lies_on_another() -> None:
    found = told()
    candidates = found["measurements"]["candidates"]
    candidates["keep-float"] = candidates["teacher"]
    svg = drawn(found)[0]
    assert re.search("teacher</tspan><tspan [^>]+>keep-float</tspan>", svg)
    lines = re.findall(r'<tspan x="(.+?)" y="(.+?)">', svg)
    assert len(set(lines)) == len(lines) == 6  # five names and the goal


def test_names_that_do_not_fit_in_lines_are_in_one_and_else_the_first_is_alone() -> None:
    low = axes.HEIGHT - axes.BOTTOM - 8  # a second line would lie on the axis
    above = labels.Box(0, 0, axes.WIDTH, low - 10)
    one = labels.beside(200, low, ["teacher", "keep-float"], [above], [], "label")
    assert ">teacher, keep-float<" in one
    left = labels.Box(0, 0, 187 - 60, axes.HEIGHT)
    right = labels.Box(230, 0, axes.WIDTH, axes.HEIGHT)
    alone = labels.beside(200, low, ["teacher", "keep-float"], [left, right, above], [], "label")
    assert ">teacher<" in alone
    assert "keep-float" not in alone
    everywhere = labels.Box(0, 0, axes.WIDTH, axes.HEIGHT)
    assert labels.beside(200, low, ["teacher"], [everywhere], [], "label") == ""


def test_nothing_is_drawn_where_candidates_do_not_differ() -> None:
    found = told()
    for m in found["measurements"]["candidates"].values():
        m |= {"latency_p50_ms": 1.0, "file_bytes": 1000}
    assert tradeoff.charts(found) is None
    assert tradeoff.charts({}) is None


def test_memory_is_drawn_where_the_goal_limits_it_and_where_no_latency_is_known() -> None:
    found = told()
    found["measurements"]["candidates"]["keep-int8"]["peak_ram_bytes"] = 5_000_000
    assert len(drawn(found)) == 2
    found["verdict"]["goal"]["max_ram_bytes"] = 4_000_000
    assert "against peak memory" in drawn(found)[2]
    del found["verdict"]["goal"]["max_ram_bytes"]
    for m in found["measurements"]["candidates"].values():
        m["latency_p50_ms"] = None
    assert ["against file" in drawn(found)[0], "against peak memory" in drawn(found)[1]] == [
        True,
        True,
    ]


def test_chart_has_a_caption_with_the_metrics_unit() -> None:
    html = render(told())
    assert "<figcaption>top-1 accuracy (%) over latency p50</figcaption>" in html
    assert "<figcaption>top-1 accuracy (%) over file</figcaption>" in html


def test_area_says_that_it_knows_nothing_of_the_worst_class_where_that_is_a_goal() -> None:
    found = told()
    assert "the worst class aside" not in render(found)
    found["verdict"]["goal"]["max_worst_class_drop"] = 3.0
    assert "what the goal allows, the worst class aside" in render(found)
