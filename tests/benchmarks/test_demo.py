"""The demo that is measured is the one that `make demo` runs."""

from __future__ import annotations

from benchmarks.cases import ROOT
from benchmarks.demo import DEMO, row_of


def test_the_demo_is_that_of_the_makefile() -> None:
    assert f"squeeze compile {DEMO} -o" in (ROOT / "Makefile").read_text()


def test_a_row_tells_of_the_file_that_was_picked() -> None:
    said = {
        "verdict": {"picked": "b", "met": True, "drop": 0.5499},
        "measurements": {
            "teacher": {"metric": 94.3, "file_bytes": 4000},
            "student": {"metric": 93.75, "file_bytes": 200},
        },
        "steps": [
            {"name": "shrink", "seconds": 9.0, "summary": "26 MMACs"},
            {"name": "distill-shrunk", "seconds": 84.5, "summary": "833 steps"},
        ],
        "drops": {"a": {"calibrate": 0.1}, "b": {"calibrate": 1.9}},
        "latency_ratio": {"a": 8.0, "b": 17.484},
        "latency_ratio_spread": {"a": [7.0, 9.0], "b": [12.449, 18.5]},
    }
    row = row_of(said)
    assert (row["picked"], row["met"], row["drop"], row["calibrate_drop"]) == ("b", True, 0.55, 1.9)
    assert (row["speedup"], row["speedup_spread"]) == (17.48, [12.45, 18.5])
    assert (row["pick"], row["training_s"]) == ("26 MMACs", [84.5])
    assert (row["bytes"], row["teacher_bytes"]) == (200, 4000)
