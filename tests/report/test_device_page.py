"""The page of a package for a device without times: each number is the device's, or says whose it is."""

from __future__ import annotations

from typing import Any

import pytest

from squeeze.report import render
from tests.report.page import Page

HOST = "a machine, 2 cores"


def _measured(runtime: str, version: str, source: str, **more: Any) -> dict[str, Any]:
    return {
        "source": source,
        "metric": 26.0,
        "metric_name": "channel_error",
        "n": 6,
        "latency_p50_ms": None,
        "runs": 0,
        "threads": 1,
        "peak_ram_bytes": 5000,
        "file_bytes": 27_000,
        "host": HOST,
        "isa": ["x86_avx2"],
        "runtime": runtime,
        "runtime_version": version,
        **more,
    }


def _judged(logits: float, boxes: float) -> list[dict[str, Any]]:
    return [
        {"output": "logits", "metric": "agreement", "value": logits},
        {"output": "boxes", "metric": "channel_error", "value": boxes},
    ]


def _manifest(runtime: str, version: str, source: str, **more: Any) -> dict[str, Any]:
    student = _measured(runtime, version, source, outputs=_judged(100.0, 26.0), **more)
    # The float candidate's worst output is another one, judged by a metric of which more is better.
    kept = {**student, "metric": 99.5, "metric_name": "agreement", "outputs": _judged(99.5, 0.25)}
    return {
        "name": "net",
        "verdict": {
            "met": False,
            "picked": "int8",
            "sentence": "goal missed: the best reached is 13 points lost",
        },
        "target": {"name": "board"},
        "measurements": {
            "teacher": kept,
            "student": student,
            "candidates": {"kept-float": kept, "int8": student},
        },
        "outputs": [
            {"output": "logits", "metric": "agreement", "judged": False},
            {"output": "boxes", "metric": "channel_error", "judged": True},
        ],
        "device": {"files": ["model.tflite"]},
        "files": {"model.onnx": {"bytes": 29_600}, "model.tflite": {"bytes": 27_000}},
        "size": {"file_bytes": 29_600, "index_bytes": 20_000},
        "layers": [{"name": "conv", "op": "QLinearConv", "us": 37.25, "share": 1.0, "macs": 5}],
    }


def _said(manifest: dict[str, Any]) -> str:
    return Page(render(manifest)).text


MICRO = ("tflite-micro", "tflite-micro 0.7", "static")


def test_every_candidate_has_the_metric_of_the_shipped_ones_judged_output() -> None:
    said = _said(_manifest(*MICRO))
    assert "relative squared error of the worst channel of boxes" in said
    assert "0.25 %" in said
    assert "99.50 %" not in said


def test_layers_of_a_device_without_times_have_none_and_those_of_onnx_runtime_here_have_theirs() -> (
    None
):
    device = _said(_manifest(*MICRO))
    assert "37.2 µs" not in device
    assert "share of latency" not in device
    here = _said(_manifest("onnxruntime", "1.31", "measured"))
    assert "37.2 µs" in here
    assert "share of latency" in here


def test_the_bytes_are_of_the_onnx_and_the_files_that_the_device_loads_are_named() -> None:
    said = _said(_manifest(*MICRO))
    assert "in model.onnx" in said
    assert "model.tflite 27 KB" in said
    assert "in the shipped file" not in said


@pytest.mark.parametrize(
    ("runtime", "source", "memory"),
    [
        ("tflite-micro", "static", "the tensor arena"),
        ("ethos-u", "cycles", "the NPU's SRAM"),
        ("onnxruntime", "measured", "loading and running, own process"),
    ],
)
def test_peak_memory_says_what_it_is_of(runtime: str, source: str, memory: str) -> None:
    kinds = {"the tensor arena", "the NPU's SRAM", "loading and running, own process"}
    said = _said(_manifest(runtime, "1", source))
    assert {kind for kind in kinds if kind in said} == {memory}


@pytest.mark.parametrize(
    ("runtime", "version", "source", "sentence"),
    [
        (*MICRO, f"Counted by tflite-micro 0.7 for board, on {HOST}. Nothing was timed."),
        (
            *("ethos-u", "ethos-u-vela 5.2", "cycles"),
            f"Cycles, counted by ethos-u-vela 5.2 for board, on {HOST}. Nothing was timed.",
        ),
    ],
)
def test_what_was_not_timed_has_no_runs_and_names_its_source_once(
    runtime: str, version: str, source: str, sentence: str
) -> None:
    said = _said(_manifest(runtime, version, source))
    assert sentence in said
    assert "0 runs" not in said
    assert "latency p9" not in said


def test_a_missed_goal_is_said_once() -> None:
    assert _said(_manifest(*MICRO)).lower().count("goal missed") == 1
