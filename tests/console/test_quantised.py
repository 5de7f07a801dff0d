"""The screen of `squeeze quantize`."""

from __future__ import annotations

from typing import Any

import pytest

from squeeze.console.quantised import show_quantised
from tests.console.shown import shown

Json = dict[str, Any]  # Any: JSON


def found(**changes: object) -> Json:
    return {
        "model": "m.onnx",
        "out": "m_int8.onnx",
        "metric": {"name": "top1", "before": 94.3, "after": 94.15, "n": 2000},
        "drop": 0.15,
        "latency_ms": {"before": 1.61, "after": 0.42},
        "speed": 3.83,
        "bytes": {"before": 4_341_934, "after": 1_100_000},
        "size": None,
        "cpus": {
            "cpus": [
                {
                    "cpu": "x86 without VNNI",
                    "source": "emulated",
                    "output": "a",
                    "metric": 94.1,
                    "metric_name": "top1",
                }
            ]
        },
        "assumed": ["images are in the order n, c, h, w"],
        **changes,
    }


def test_whole_screen() -> None:
    assert shown(lambda console: show_quantised(console, found())) == [
        "                 before    after  change",
        "top-1, n=2,000  94.30 %  94.15 %   -0.15",
        "latency p50     1.61 ms  0.42 ms    3.8x",
        "file            4.34 MB   1.1 MB    3.9x",
        "",
        "x86 without VNNI: emulated, top-1 94.10 %",
        "assumed: images are in the order n, c, h, w",
        "m_int8.onnx · next: squeeze profile m_int8.onnx --against m.onnx",
    ]


def test_interval_and_spread_are_shown_where_they_are_known() -> None:
    metric = found()["metric"] | {"interval": [93.05, 95.1]}
    spread = found(metric=metric, speed_spread=[3.61, 4.02])
    lines = shown(lambda console: show_quantised(console, spread))
    assert [" ".join(line.split()) for line in lines[1:4]] == [
        "top-1, n=2,000 94.30 % 94.15 % -0.15 within noise",
        "95 % interval - 93.05 to 95.10",
        "latency p50 1.61 ms 0.42 ms 3.8x 3.6x to 4.0x",
    ]


def test_each_change_of_the_interface_is_a_line_and_the_interface_another() -> None:
    image = {"name": "image", "dtype": "float32", "shape": [3, 32, 32]}
    y = {"name": "y", "dtype": "float32", "shape": [10]}
    changes = ["input 'image': float16 -> float32", "output 'y': batch 1 -> any"]
    interface = {"inputs": [image], "outputs": [y], "changes": changes}
    lines = shown(lambda console: show_quantised(console, found(interface=interface)))
    assert lines[-4:-1] == [
        *changes,
        "takes image float32 [n, 3, 32, 32] · gives y float32 [n, 10]",
    ]


def test_what_is_not_gained_is_the_line_in_front_of_the_last() -> None:
    said = "not faster: 0.93x the speed of the model on this machine, 2.0 % smaller"
    lines = shown(lambda console: show_quantised(console, found(not_faster=said)))
    assert lines[-2] == said
    assert "next:" in lines[-1]


def test_each_output_has_a_row() -> None:
    outputs = [
        {"output": "a", "metric": "top1", "teacher": 94.3, "student": 94.15, "judged": True},
        {"output": "b", "metric": "agreement", "teacher": 100.0, "student": 99.5, "judged": False},
    ]
    lines = shown(lambda console: show_quantised(console, found(outputs=outputs)))
    assert [" ".join(line.split()) for line in lines[1:3]] == [
        "a, top-1, n=2,000 94.30 % 94.15 % -0.15 judged",
        "b, teacher agreement 100.00 % 99.50 % -0.50",
    ]


def test_other_cpus_are_told_with_the_name_of_the_output_whose_number_it_is() -> None:
    # The judged output is the second one; `metric` of the file is that of another.
    outputs = [
        {"output": "a", "metric": "top1", "teacher": 94.3, "student": 94.3, "judged": False},
        {"output": "b", "metric": "agreement", "teacher": 100.0, "student": 99.5, "judged": True},
    ]
    row = {"cpu": "arm64", "source": "measured", "output": "b", "metric_name": "agreement"}
    cpus = {"cpus": [{**row, "metric": 99.5}]}
    lines = shown(lambda console: show_quantised(console, found(outputs=outputs, cpus=cpus)))
    assert "arm64: measured, b teacher agreement 99.50 %" in lines


def test_next_line_says_sizes_that_are_free() -> None:
    image = {
        "name": "image",
        "dtype": "float32",
        "shape": [3, 32, 40],
        "batch_axis": 0,
        "free": [[1, "h"], [2, "w"]],
    }
    y = {"name": "y", "dtype": "float32", "shape": [10]}
    interface = {"inputs": [image], "outputs": [y], "changes": []}
    lines = shown(lambda console: show_quantised(console, found(interface=interface)))
    assert lines[-1].endswith("--against m.onnx --shape 1x3x32x40")


@pytest.mark.parametrize(
    ("codebook_bytes", "wanted"),
    [
        (0, "weights: 5,472 in 5.47 KB, scales 192 B"),
        (
            64,
            "weights: 5,472 in 5.47 KB, codebooks 64 B, scales 192 B; Huffman would take 3.10 bits a weight",
        ),
    ],
)
def test_codebooks_are_told_of_where_there_are_any(codebook_bytes: int, wanted: str) -> None:
    size = {
        "quantised": 5472,
        "index_bytes": 5472,
        "codebook_bytes": codebook_bytes,
        "scale_bytes": 192,
        "mean_bits": 3.1,
    }
    assert wanted in shown(lambda console: show_quantised(console, found(size=size)))


def test_a_model_that_the_runtime_cannot_run_is_not_to_be_profiled() -> None:
    lines = shown(lambda console: show_quantised(console, found(model_runs=False)))
    assert lines[-1] == "m_int8.onnx · next: squeeze profile m_int8.onnx"


def test_of_many_float_nodes_the_dearest_are_named() -> None:
    nodes = [{"name": f"Conv.{i}", "why": f"in int8 it costs {9 - i} %"} for i in range(9)]

    def said(some: list[Json]) -> str:
        lines = shown(lambda console: show_quantised(console, found(float=some)))
        (line,) = (one for one in lines if one.startswith("float: "))
        return line

    assert said(nodes[:2]) == "float: Conv.0 (in int8 it costs 9 %); Conv.1 (in int8 it costs 8 %)"
    assert said(nodes).endswith("Conv.5 (in int8 it costs 4 %); 3 more nodes (--json names them)")
