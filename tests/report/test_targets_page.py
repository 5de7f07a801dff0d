"""The page of a profile on several targets: classes are named, what is not known is a dash, texts are escaped."""

from __future__ import annotations

from typing import Any

from squeeze.report import render_targets

FOUND: dict[str, Any] = {
    "model": "<net>.onnx",
    "against": None,
    "params": 1000,
    "macs": 2000,
    "host": "a machine",
    "date": "2026-11-29",
    "targets": [
        {
            "target": "host",
            "summary": "this machine",
            "fits": True,
            "source": "measured",
            "why": [],
            "latency_ms": 1.5,
            "file_bytes": 4000,
            "operators": [
                {
                    "name": "conv",
                    "op": "Conv",
                    "share": 0.75,
                    "us": 2.0,
                    "macs": 4000,
                    "bytes": 100,
                },
                {"name": "pool", "op": "Pool", "share": 0.25, "us": 1.0},
            ],
        },
        {
            "target": "npu",
            "fits": False,
            "source": "cycles",
            "why": ["node '/head': no such operator"],
            "operators": [{"name": "conv", "op": "Conv", "share": 1.0, "cycles": 77}],
        },
        {"target": "gpu", "fits": None, "source": None, "why": ["not asked: no driver"]},
    ],
}


def test_each_number_has_its_class_and_what_it_means() -> None:
    page = render_targets(FOUND)
    assert "1.5 ms" in page
    assert "measured: measured here" in page
    assert "cycles: cycles of the vendor" in page
    assert "estimate:" not in page
    assert "✗ no" in page
    assert "node &#39;/head&#39;: no such operator" in page
    assert "&lt;net&gt;.onnx" in page
    assert "<net>" not in page


def test_page_is_titled_with_model_targets_and_date() -> None:
    page = render_targets({**FOUND, "model": "nets/small.onnx"})
    assert "<title>small.onnx on 3 targets, 2026-11-29: squeeze profile</title>" in page
    assert "<h1>small.onnx on 3 targets</h1>" in page
    assert "<p>nets/small.onnx: 1,000 parameters" in page


def test_only_what_was_measured_has_a_roofline_with_a_point_for_each_operator_that_multiplies() -> (
    None
):
    page = render_targets(FOUND)
    assert page.count("<svg") == 1
    # 4,000 multiplications in 2 us.
    assert page.count("<circle") == 1
    assert "conv: 2 GMAC/s" in page
    assert "77 cycles" in page


def test_a_profile_that_could_ask_nobody_is_a_page() -> None:
    page = render_targets({**FOUND, "targets": FOUND["targets"][2:]})
    assert "not asked: no driver" in page
    assert "<svg" not in page


def test_accuracy_is_a_line_for_each_output_with_the_metrics_human_name() -> None:
    one = {"value": 1.5, "against": 0.0, "unit": "%", "interval": [1.0, 2.0]}
    outputs = [{**one, "output": name, "metric": "channel_error"} for name in ("boxes", "heat")]
    held = {"outputs": outputs, "samples": 6, "against": "net.onnx", "by": "a runtime"}
    page = render_targets({**FOUND, "targets": [{**FOUND["targets"][0], "accuracy": held}]})
    beside = "squared error of the worst channel 1.50 % (1.00 to 2.00), float 0.00 %"
    assert f'<span class="line">boxes: {beside}</span>' in page
    assert f'<span class="line">heat: {beside}</span>' in page
    assert "channel_error" not in page
