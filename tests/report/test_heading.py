"""The page says what it is about, and leaves out what says nothing."""

from __future__ import annotations

import pytest

from squeeze.report import heading, render
from tests.report.page import Page
from tests.report.story_of_a_compile import Json, manifest


def kept() -> Json:
    """What is shipped has the teacher's own layers."""
    found = manifest() | {"arch": None}
    student = {"params": 1_084_010, "macs": 125_000_000}
    measured = found["measurements"]
    return found | {
        "measurements": measured | {"student": measured["student"] | student},
    }


def test_title_names_teacher_target_and_date() -> None:
    html = render(manifest())
    assert "<title>my model.pt2 for host, 2026-11-29: squeeze report</title>" in html
    assert "<h1>my model.pt2 for host</h1>" in html
    assert '<time datetime="2026-11-29">2026-11-29</time>' in html
    assert "squeeze report · fashion · " in html


@pytest.mark.parametrize(
    ("teacher", "target", "text"),
    [
        ({"source": "a/b/net.onnx", "kind": "onnx"}, {"name": "rpi4"}, "net.onnx for rpi4"),
        (
            {"source": "nets.small:make", "kind": "factory"},
            {"name": "host"},
            "nets.small:make for host",
        ),
        ({"source": "net.pt2"}, None, "net.pt2"),
        (None, None, "fashion"),
    ],
)
def test_headline_has_what_is_known(teacher: Json | None, target: Json | None, text: str) -> None:
    told = {"name": "fashion", "teacher": teacher, "target": target}
    assert heading.heading(told).title == text


def test_kept_architecture_is_called_so() -> None:
    page = Page(render(kept()))
    assert page.row("parameters") == ["parameters", "1.08 M", "1.08 M", "kept"]
    assert page.row("multiply-accumulates")[-1] == "kept"
    assert "kept: the teacher's" in page.text


def test_searched_or_pruned_architecture_is_not_called_kept() -> None:
    assert Page(render(manifest())).row("parameters")[-1] == "8.65× fewer"
    found = manifest() | {"arch": None}  # as of a pruned teacher
    page = Page(render(found))
    assert page.row("parameters")[-1] == "8.65× fewer"
    assert "kept: the teacher's" not in page.text


def test_rows_and_columns_of_which_nothing_is_known_are_left_out() -> None:
    found = manifest()
    assert Page(render(found)).row("candidate")[-1] == "peak memory"
    unknown = {"peak_ram_bytes": None, "latency_p99_ms": None}
    measured = found["measurements"]
    page = Page(
        render(
            found
            | {
                "measurements": {
                    "teacher": measured["teacher"] | unknown,
                    "student": measured["student"] | unknown,
                    "candidates": {n: m | unknown for n, m in measured["candidates"].items()},
                }
            }
        )
    )
    assert page.row("candidate")[-1] == "file"
    assert not [row for row in page.rows if row[:1] in (["peak memory"], ["latency p99"])]


def test_unset_settings_entries_without_a_change_and_empty_parts_are_left_out() -> None:
    found = manifest()
    found["recipe"]["goal"] = {"max_bytes": None, "max_drop": 1.5}
    found["size"]["codebook_bytes"] = 0
    found["steps"][0]["tried"] += [{"name": "passes", "kept": True, "why": "nothing to change"}]
    found["steps"][0]["tried"] += [{"name": "once more", "kept": True, "why": "19 fused ops"}]
    found["steps"][1] |= {"seconds": 0.004}
    page = Page(render(found))
    assert "max_drop 1.5" in page.text
    for noise in (
        "max_bytes",
        "codebooks",
        "nothing to change",
        "once more",
        " 0.0 s",
        "ratio 3.2",
    ):
        assert noise not in page.text
    assert "3.2x faster" in page.text  # why it was kept, with its number


def test_reason_that_another_is_better_is_said_once_and_a_missed_goal_of_each() -> None:
    found = manifest()
    found["why_not"] = {
        "teacher": "'student-int8' is the fastest",
        "student-4bit": "beyond the goal: 1.61 points lost (goal 1.50 points lost)",
    }
    text = Page(render(found)).text
    assert "is the fastest" not in text
    assert "Shipped: fastest of 2 candidates inside the goal." in text
    assert "beyond the goal: 1.61 points lost" in text


def test_score_is_ranked_against_others_and_not_others_among_themselves() -> None:
    found = manifest()
    found["search"]["taus"] = {"diswot~depth": -0.5, "diswot~macs": 0.071, "depth~macs": 0.9}
    text = Page(render(found)).text
    assert "depth −0.50, macs +0.07." in text
    assert "+0.90" not in text


def test_tables_can_be_scrolled_with_the_keyboard_and_have_names() -> None:
    boxes = [a for t, a in Page(render(manifest())).tags if a.get("class") == "scroll"]
    assert len(boxes) >= 6
    for box in boxes:
        assert (box["tabindex"], box["role"]) == ("0", "region")
        assert box["aria-label"].startswith("table: ")
    assert len({box["aria-label"] for box in boxes}) == len(boxes)


def test_layers_without_names_of_their_own_have_one_column_for_operator_and_number() -> None:
    found = manifest()
    assert Page(render(found)).row("QConv")[:2] == ["QConv", "stem"]
    found["layers"] = [{"name": f"QConv_{i}", "op": "QConv", "bits": 8} for i in range(2)]
    row = Page(render(found)).row("QConv_1")
    assert [cell.strip() for cell in row] == ["QConv_1", "–", "–", "–", "8", "–"]
