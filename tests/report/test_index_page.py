"""The page of a compile for several targets: each package in a line, whose number is whose, names escaped."""

from __future__ import annotations

from squeeze.report import render_index, row_of_index
from tests.report.page import Page
from tests.report.story_of_a_compile import Json, manifest


def packages() -> list[Json]:
    measured = manifest()["measurements"]
    npu = {"source": "cycles", "latency_p50_ms": 0.44, "peak_ram_bytes": None}
    other = manifest() | {
        "target": {"name": "npu & co"},
        "date": "2026-11-30",
        "measurements": measured | {"student": measured["student"] | npu},
    }
    other["verdict"] |= {"met": False, "sentence": "goal missed: the best is 141 KB (goal 20 KB)"}
    return [
        {"package": name, "artifact_digest": "e" * 64, "met": met, **row_of_index(m)}
        for name, met, m in (("host", True, manifest()), ("npu & co", False, other))
    ]


def test_index_has_teacher_targets_and_date_and_a_line_for_each_package() -> None:
    html = render_index(packages())
    page = Page(html)
    assert page.unclosed == []
    assert "<title>my model.pt2 for 2 targets, 2026-11-30: squeeze packages</title>" in html
    assert page.row("host")[1:] == [
        "✓ met",
        "93.41 %top-1 accuracy",
        "0.062 ms",
        "1.9 MB",
        "141 KB",
    ]
    assert page.row("npu & co")[1:] == [
        "✗ missed",
        "93.41 %top-1 accuracy",
        "0.44 ms (cycles)",
        "–",
        "141 KB",
    ]
    assert "✗ Goal missed the best is 141 KB (goal 20 KB)" in page.text
    assert {a["href"] for t, a in page.tags if t == "a"} >= {
        "host/report.html",
        "npu%20%26%20co/report.html",
    }


def test_index_of_what_an_older_version_wrote_is_a_page() -> None:
    old = [{"target": "<b>", "package": "p", "artifact_digest": "e", "met": True, "sentence": "s"}]
    html = render_index(old)
    assert Page(html).unclosed == []
    assert "<b>" not in html
    assert "One compile for 1 target" in html
