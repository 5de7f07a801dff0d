"""The last screen of a compile, line by line, for manifests with and without what newer versions write."""

from __future__ import annotations

from pathlib import Path

import pytest

from squeeze.artifact import Artifact
from squeeze.console.accuracy import Accuracy, Row, accuracy_rows
from squeeze.console.package import show_packages
from tests.console.shown import shown
from tests.report.story_of_a_compile import Json, flips, manifest

PATHS = [
    "out/model.onnx · report: out/report.html",
    "next: squeeze verify out · squeeze profile out",
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def screen(story: Json, width: int = 120) -> list[str]:
    package = Artifact(Path.cwd() / "out", story)
    return shown(lambda console: show_packages(console, [package], index=None), width)


def intervals(teacher: list[float] | None, student: list[float] | None) -> Json:
    """The story, with 95 % intervals of teacher 94.20 and student 93.41."""
    story = manifest()
    for who, interval in (("teacher", teacher), ("student", student)):
        story["measurements"][who] = story["measurements"][who] | {"interval": interval}
    return story


def line(lines: list[str], start: str) -> str:
    found = [text for text in lines if text.startswith(start)]
    assert len(found) == 1, lines
    return " ".join(found[0].split())


def test_whole_screen_of_a_goal_that_is_met() -> None:
    assert screen(manifest()) == [
        "",
        "                teacher  squeezed  change",
        "top-1, n=2,000  94.20 %   93.41 %   -0.79  goal <= 1.5 points  ok",
        "latency p50     1.61 ms  0.062 ms   25.7x  1 thread, 400 runs",
        "file            4.34 MB    141 KB   30.8x  goal <= 200 KB  ok",
        "peak memory     11.2 MB    1.9 MB    5.9x",
        "",
        "goal met: student-int8, fastest of 2 candidates inside the goal",
        *PATHS,
    ]


def test_worst_class_calibration_and_flips_are_told() -> None:
    lines = screen(manifest() | flips(), width=160)
    worst = line(lines, "recall of 'shirt'")
    assert worst == "recall of 'shirt', n=101 90.10 % 84.16 % -5.94 worst class · within chance"
    assert line(lines, "calibration error") == "calibration error 2.31 % 3.40 % +1.09"
    assert line(lines, "answers") == (
        "answers: of 2,000 samples 28 became wrong, 12 right, 6 wrong in another way "
        "(wrong and right at student-float 20 and 12, then student-int8 10 and 2)"
    )


def test_worst_class_beyond_its_goal_is_told() -> None:
    story = manifest() | flips(chance=0.01)
    missed = {"what": "class_drop", "goal": 3.0, "got": 5.94, "ok": False}
    story["verdict"]["checks"].append(missed)
    worst = line(screen(story, width=160), "recall of 'shirt'")
    assert worst.endswith("-5.94 worst class · goal <= 3 points MISSED")


def test_ratio_has_the_spread_of_its_rounds() -> None:
    story = manifest() | {"latency_ratio_spread": {"student-int8": [24.08, 27.24]}}
    latency = line(screen(story), "latency p50")
    assert latency == "latency p50 1.61 ms 0.062 ms 25.7x 24.1x to 27.2x · 1 thread, 400 runs"


@pytest.mark.parametrize(
    ("teacher", "student", "noise"),
    [
        ([93.1, 95.1], [92.2, 94.41], True),
        ([93.1, 95.1], [92.2, 94.20], True),
        ([93.1, 95.1], [92.8, 94.02], True),
        ([93.5, 95.1], [92.8, 94.02], False),
        (None, [92.2, 94.41], True),
        ([93.1, 95.1], None, True),
        ([93.9, 94.5], None, False),
    ],
)
def test_change_inside_the_interval_is_within_noise(
    teacher: list[float] | None, student: list[float] | None, noise: bool
) -> None:
    lines = screen(intervals(teacher, student))
    assert ("within noise" in line(lines, "top-1")) == noise
    shows = [f"{low:.2f} to {high:.2f}" for low, high in filter(None, (teacher, student))]
    interval = line(lines, "  95 % interval")
    assert [text for text in shows if text in interval] == shows


def test_the_teacher_is_exact_where_it_is_compared_with_itself() -> None:
    """11 of 12 answers agree: the interval of 12 of 12 reaches down to 75.75 and says nothing of the loss."""
    story = manifest()
    for who, value, interval in (
        ("teacher", 100.0, [75.75, 100.0]),
        ("student", 91.67, [64.6, 98.5]),
    ):
        found = {"metric": value, "metric_name": "agreement", "interval": interval, "n": 12}
        story["measurements"][who] = story["measurements"][who] | found
    lines = screen(story)
    assert "within noise" not in line(lines, "teacher agreement")
    assert line(lines, "  95 % interval") == "95 % interval - 64.60 to 98.50"


def test_each_output_has_a_row_and_the_judged_one_has_the_goal() -> None:
    rows = [
        ("box", "cosine", 100.0, 99.871, [99.5, 99.9], False),
        ("logits", "top1", 94.2, 93.41, [92.2, 94.41], True),
        ("depth", "mse", 0.0125, 0.0131, [0.0120, 0.0142], False),
        ("own", "mine:f1", 0.91, 0.905, None, True),
    ]
    keys = ("output", "metric", "teacher", "student", "interval", "judged")
    outputs = [dict(zip(keys, row, strict=True)) for row in rows]
    story = intervals([93.1, 95.1], [92.2, 94.41]) | {"outputs": outputs}
    lines = screen(story)
    assert [" ".join(text.split()) for text in lines[2:7]] == [
        "box, cosine similarity 100.00 points 99.87 points -0.13",
        "logits, top-1, n=2,000 94.20 % 93.41 % -0.79 judged · goal <= 1.5 points ok · within noise",
        "95 % interval 93.10 to 95.10 92.20 to 94.41",
        "depth, mean squared error 0.0125 0.0131 +0.0006 within noise",
        "own, f1 0.91 0.905 -0.005",
    ]


def test_only_output_needs_no_row_of_its_own() -> None:
    only = {"output": "y", "metric": "top1", "teacher": 94.2, "student": 93.41, "judged": True}
    assert screen(manifest() | {"outputs": [only]}) == screen(manifest())


def test_equal_accuracy_has_no_minus_sign() -> None:
    story = manifest()
    student = story["measurements"]["student"]
    story["measurements"]["student"] = student | {"metric": 94.1999}
    assert line(screen(story), "top-1").split()[6] == "+0.00"


def test_notes_stand_above_the_paths() -> None:
    note = "the student lost 17.9 points before quantisation; 800 steps are too few"
    lines = screen(manifest() | {"notes_for_people": [note, "second [note]"]})
    assert lines[-4:] == [note, "second [note]", *PATHS]


def test_missed_goal_is_said_beside_the_number_and_in_the_verdict() -> None:
    story = manifest()
    story["verdict"] |= {
        "met": False,
        "checks": [{"what": "latency_ms", "goal": 0.05, "got": 0.062, "ok": False}],
    }
    lines = screen(story)
    assert line(lines, "latency p50").endswith("25.7x goal <= 0.05 ms MISSED")
    assert line(lines, "goal missed").startswith("goal missed: student-int8")


@pytest.mark.parametrize(
    "story", [{}, {"measurements": {}, "verdict": {}}], ids=["empty", "no numbers"]
)
def test_manifest_of_another_version_is_shown_as_far_as_it_goes(story: Json) -> None:
    lines = screen(story)
    assert line(lines, "accuracy") == "accuracy - - -"
    assert line(lines, "latency p50") == "latency p50 - - -"
    assert lines[-2:] == PATHS


def test_several_packages_have_their_targets_names_and_an_index() -> None:
    where = Path.cwd() / "out"
    packages = [
        Artifact(where / "host", manifest()),
        Artifact(where / "plain", manifest() | {"target": {"name": "plain"}}),
    ]
    lines = shown(
        lambda console: show_packages(console, packages, index=where / "index.html"), width=120
    )
    assert [text for text in lines if text in ("host", "plain")] == ["host", "plain"]
    assert sum(text.startswith("top-1") for text in lines) == 2
    assert line(lines, "out/plain/model.onnx").endswith("report: out/plain/report.html")
    assert lines[-2:] == ["", "all targets: out/index.html"]


@pytest.mark.parametrize("width", [30, 50, 80])
def test_narrow_terminal_loses_no_number(width: int) -> None:
    text = " ".join(screen(intervals([93.1, 95.1], [92.2, 94.41]), width))
    for number in ("94.20 %", "93.41 %", "-0.79", "25.7x", "141 KB", "30.8x", "93.10 to 95.10"):
        assert number in text


def test_points_are_shown_where_the_change_is_another_number() -> None:
    def rows(metric: str, unit: str, student: float, drop: float) -> list[Row]:
        output = {"output": "y", "metric": metric, "unit": unit, "drop": drop, "judged": True}
        return accuracy_rows(
            metric, 20, Accuracy(0.0), Accuracy(student), outputs=[output], goal="goal <= 1 points"
        )

    # Of an error, two percent are one point.
    (row,) = rows("channel_error", "%", 3.22, 1.61)
    assert row[3:] == ("+3.22", "1.61 points lost · goal <= 1 points")
    (row,) = rows("f1_boxes", "%", -1.5, 1.5)
    assert row[3:] == ("-1.50", "goal <= 1 points")


@pytest.mark.parametrize(
    ("name", "said"), [("ethos-u55-128", "ethos-u55-128"), ("my-board", "my-board.toml")]
)
def test_a_package_for_a_device_is_profiled_on_that_device(name: str, said: str) -> None:
    device = {"files": ["model.tflite"], "runtime": "r", "notes": [], "source": "cycles"}
    cost = {"accelerator_share": None, "left_over": [], "traffic_bytes": {}}
    story = manifest() | {"target": {"name": name}, "device": {**device, "cost": cost}}
    assert screen(story)[-1] == (f"next: squeeze verify out · squeeze profile out --target {said}")
