from __future__ import annotations

import re

import pytest

from squeeze.report import render
from tests.report.page import Page
from tests.report.story_of_a_compile import candidate, manifest

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=y>&amp;"


@pytest.mark.parametrize(
    "shown",
    [
        "26.0x faster and 30.8x smaller than the teacher, 0.79 points lost",
        "0.79 points",
        "1.50 points",
        "200 KB",
        "94.20 %",
        "93.41 %",
        "−0.79 points",
        "95.65 %",
        "1.61 ms",
        "0.062 ms",
        "25.7× faster",  # of the interleaved rounds, not 1.61 / 0.062
        "26.1× faster",  # p90: 1.72 / 0.066
        "4.34 MB",
        "141 KB",
        "30.8× smaller",
        "11.2 MB",
        "1.9 MB",
        "5.89× smaller",
        "1.08 M",
        "125 k",
        "125 M",
        "9.31 M",
        "Measured on Xeon, 2 cores (avx2, amx), onnxruntime 1.31.1, 1 thread, 400 runs",
        "fastest of 2 candidates inside the goal",
        "94.15 %",
        "160 architectures",
        "2 of them were exported",
        "widths 8-24-48 · depths 1-2-2",
        "best score inside the bound",
        "params +0.52",
        "0.3125",
        "95.75 %",
        "int8 in 19 fused ops",
        "4:04 min",
        "undone, not faster",
        "12.5 µs",
        "75.0 %",
        "12.8 KB",
        "1×8×28×28",
        "56.4 k",
        "float32 batch×1×28×28",
        "NHW->NCHW",
        "a tenth of the samples is held out",
        "squeeze compile 'my model.pt2' \\\n  --calib fashion \\\n  -o out",
        "2.13.0",
        "all 7",
        "steps 5,000",
        *(letter * 64 for letter in "abcd"),
    ],
)
def test_page_shows_every_number_with_its_unit(shown: str) -> None:
    assert shown in Page(render(manifest())).text


def test_page_is_well_formed_and_loads_nothing_from_elsewhere() -> None:
    html = render(manifest())
    page = Page(html)
    assert page.unclosed == []
    assert html.startswith("<!DOCTYPE html>")
    assert page.count("script") == page.count("link") == page.count("img") == 0
    assert not re.search(r"https?:|url\(|@import", html)
    assert not [a for _, a in page.tags if "src" in a or "href" in a]


def test_page_stays_small_with_many_candidates() -> None:
    found = manifest()
    found["search"]["candidates"] *= 1000
    found["training"] = [{"step": i, "loss": 1 / (i + 1)} for i in range(100)]
    assert len(render(found)) < 400_000


def test_page_is_the_same_for_the_same_manifest() -> None:
    assert render(manifest()) == render(manifest())


def test_search_marks_measured_and_estimated_apart_and_the_pick() -> None:
    page = Page(render(manifest() | {"measurements": None}))
    assert page.count("circle", "measured") == 2
    assert page.count("circle", "estimate") == 2
    assert page.count("circle", "ring") == 1
    assert page.count("circle", "on-front") == 2
    assert "latency 9.0 % of the teacher's (measured)" in page.text
    assert "latency 30.0 % of the teacher's (estimate)" in page.text


def test_search_puts_a_faster_candidate_to_the_left_and_a_better_one_higher() -> None:
    found = manifest()
    found["search"]["candidates"] = [candidate([1], 0.0, 0.01), candidate([2], 1.0, 0.1)]
    circles = [a for t, a in Page(render(found)).tags if t == "circle" and "point" in a["class"]]
    worse, better = circles
    assert float(worse["cx"]) < float(better["cx"])
    assert float(worse["cy"]) > float(better["cy"])


def test_bars_are_in_the_ratio_of_the_numbers() -> None:
    widths = [a["style"] for t, a in Page(render(manifest())).tags if "fill" in a.get("class", "")]
    # 0.062 of 1.61 ms, 141,000 of 4,341,934 bytes, 1.9 of 11.2 MB; then the two layers, 25 % against 75 %.
    assert [float(w[len("width:") : -1]) for w in widths] == pytest.approx(
        [100, 3.85, 100, 3.25, 100, 16.96, 33.3, 100.0], abs=0.01
    )


def test_missed_goal_is_said_in_words_and_not_by_colour_alone() -> None:
    found = manifest()
    found["verdict"] |= {"met": False, "sentence": "the best reached is 141 KB (goal 20 KB)"}
    found["verdict"]["checks"][1] |= {"goal": 20_000, "ok": False}
    text = Page(render(found)).text
    assert "✗ Goal missed" in text
    assert "the best reached is 141 KB (goal 20 KB)" in text
    assert "✗ file: 141 KB" in text


def test_page_says_on_which_samples_the_choice_was_made() -> None:
    found = manifest()
    assert "evaluation split, which nothing was chosen by" in render(found)
    found["verdict"] |= {"chosen_on": "evaluate"}
    found["drops"] = {"student-4bit": {"calibrate": 2.4, "evaluate": 0.9}}
    page = render(found)
    assert "which nothing was chosen by" not in page
    assert "on which the choice was made as well" in page
    assert "beyond it, on the" not in page  # inside the goal there
    found["drops"]["student-4bit"]["evaluate"] = 1.6
    assert "beyond it, on the evaluate split" in render(found)


def test_slower_and_larger_are_called_so() -> None:
    found = manifest()
    student = found["measurements"]["student"]
    found["measurements"]["student"] = student | {"latency_p90_ms": 3.44, "file_bytes": 8_683_868}
    text = Page(render(found)).text
    assert "2.00× slower" in text
    assert "2.00× larger" in text


@pytest.mark.parametrize(
    ("name", "teacher", "student", "shown", "change"),
    [
        ("agreement", 100.0, 95.25, "agreement with the teacher", "−4.75 points"),
        ("auc", 97.125, 98.125, "area under the ROC curve", "+1.00 points"),
        ("cosine", 99.5, 98.25, "98.25", "−1.25 points"),
        ("mse", 0.25, 0.3, "mean squared error", "+20.0 %"),
        ("mine:error", 4.0, 5.0, "mine:error", "+25.0 %"),
    ],
)
def test_metric_is_named_and_its_change_has_the_right_unit(
    name: str, teacher: float, student: float, shown: str, change: str
) -> None:
    found = manifest()
    measured = found["measurements"]
    measured["teacher"] = measured["teacher"] | {"metric_name": name, "metric": teacher}
    measured["student"] = measured["student"] | {"metric_name": name, "metric": student}
    text = Page(render(found)).text
    assert shown in text
    assert change in text


def test_hostile_names_are_shown_and_never_become_elements() -> None:
    found = manifest()
    found["name"] = found["command"][2] = found["teacher"]["source"] = HOSTILE
    found["verdict"]["sentence"] = found["layers"][0]["name"] = HOSTILE
    found["steps"][0]["tried"][0] |= {"name": HOSTILE, "why": HOSTILE, "numbers": {HOSTILE: 1}}
    found["measurements"]["candidates"][HOSTILE] = found["measurements"]["student"]
    found["measurements"]["student"] = found["measurements"]["student"] | {"metric_name": HOSTILE}
    found["search"]["candidates"][0] |= {"family": HOSTILE, "params": {HOSTILE: HOSTILE}}
    found["training"] = [{"step": i, "loss": 1.0, HOSTILE: float(i)} for i in range(3)]
    found["versions"][HOSTILE] = HOSTILE
    found["files"][HOSTILE] = {"digest": HOSTILE, "bytes": 1}
    page = Page(render(found))
    assert page.unclosed == []
    assert page.count("script") == page.count("img") == 0
    assert not [a for _, a in page.tags if "onerror" in a]
    assert page.text.count(HOSTILE) > 10


@pytest.mark.parametrize("part", sorted(manifest()))
def test_page_is_made_without_a_part(part: str) -> None:
    found = manifest()
    del found[part]
    assert Page(render(found)).unclosed == []
    assert Page(render(manifest() | {part: None})).unclosed == []


def test_page_is_made_of_an_empty_manifest() -> None:
    page = Page(render({}))
    assert page.unclosed == []
    assert page.count("svg") == 0


def test_page_without_search_and_training_has_no_empty_sections() -> None:
    found = manifest() | {"search": None, "training": [], "arch": None, "measurements": None}
    page = Page(render(found))
    assert page.count("svg") == 0
    assert "architectures were scored" not in page.text


def test_page_has_no_latency_ratio_when_only_one_was_timed() -> None:
    found = manifest() | {"latency_ratio": {}}
    assert "26.0× faster" in Page(render(found)).text  # 1.61 / 0.062


def test_page_is_made_when_values_within_the_parts_are_missing() -> None:
    found = manifest()
    for key in ("peak_ram_bytes", "metric", "latency_p99_ms"):
        found["measurements"]["student"] = found["measurements"]["student"] | {key: None}
    found["layers"] = [{"name": "stem"}]
    found["search"]["candidates"] = [{"score": None}, {"family": "mlp"}]
    found["steps"] = [{}]
    found["verdict"]["checks"] = [{"what": "novel"}]
    assert Page(render(found)).unclosed == []
