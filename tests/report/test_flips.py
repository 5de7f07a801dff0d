"""The section of answers that changed."""

from __future__ import annotations

from squeeze.report import flips as section
from squeeze.report import render
from tests.report.page import Page
from tests.report.story_of_a_compile import Json, flips, manifest


def page_of(parts: Json) -> Page:
    story = manifest() | parts
    story["calib"]["class_names"] = ["bag", "-", "-", "<shirt>"]
    page = Page(render(story))
    assert page.unclosed == []
    return page


def test_flips_are_told_from_stage_to_stage_and_over_all() -> None:
    page = page_of(flips())
    assert page.row("student-floatfrom teacher")[1:] == ["20", "12", "5"]
    assert page.row("student-int8from student-float")[1:] == ["10", "2", "1"]
    assert page.row("all of itfrom teacher to student-int8")[1:] == ["28", "12", "6"]
    assert "Expected calibration error: teacher 2.31 %, squeezed 3.40 %." in page.text


def test_classes_are_in_the_order_of_what_they_lose_with_their_samples() -> None:
    page = page_of(flips())
    at = next(i for i, row in enumerate(page.rows) if row[0] == "class")
    # Wilson's interval of 85 of 101 by hand: 0.8416, z2 = 3.8415: 0.7583 to 0.8999.
    assert page.rows[at + 1] == [
        "<shirt> worst",
        "101",
        "90.10 %",
        "84.16 %",
        "75.8 % to 90.0 %",
        "−5.94",
    ]
    assert page.rows[at + 2][:2] == ["bag", "1,899"]


def test_worst_class_is_said_to_be_chance_where_it_may_be() -> None:
    counted = (
        "'shirt' loses most: 5.94 points of recall. Of its 101 samples 7 became wrong and 1 right"
    )
    assert f"{counted}: no more than chance does" in page_of(flips()).text
    assert f"{counted}: more than chance does (p = 0.01)." in page_of(flips(chance=0.01)).text


def test_long_tables_are_cut_and_models_without_classes_have_no_section() -> None:
    story = flips()
    count = 100
    story["flips"]["classes"] = {
        "number": list(range(count)),
        "samples": [10] * count,
        "right": {"teacher": [9] * count, "student-int8": [8] * count},
    }
    found = section.flips(story)
    assert found is not None
    assert (len(found.classes), found.left_out) == (30, 70)
    assert section.flips({}) is None
    assert "Answers that changed" not in Page(render(manifest())).text
