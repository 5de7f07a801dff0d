from __future__ import annotations

from pathlib import Path

import numpy as np

from squeeze.interface import Interface, TensorSpec
from squeeze.machine.facts import Facts
from squeeze.measure import measurement
from squeeze.measure.memory import can_measure
from squeeze.spec import Measurement, OutputScore
from tests.measure.models import linear

FACTS = Facts(
    arch="arm64",
    host="Some board, 4 cores",
    isa=("arm64_neon",),
    isa_limit="",
    cores=4,
    library="",
    runtime="onnxruntime",
    runtime_version="1.2.3",
)
LATENCY = {
    "latency_p50_ms": 1.0,
    "latency_p90_ms": 2.0,
    "latency_p99_ms": 3.0,
    "runs": 9,
}


def test_measurement_holds_what_was_found_and_what_the_facts_say(tmp_path: Path) -> None:
    path = linear(tmp_path / "m.onnx")
    interface = Interface((TensorSpec("x", "float32", (3,)),), (TensorSpec("y", "float32", (2,)),))
    scores = [
        OutputScore(output="z", metric="error", value=0.5),
        OutputScore(output="y", metric="top1", value=87.5, interval=(80.0, 92.0)),
    ]
    feed = {"x": np.zeros((5, 3), np.float32)}
    made = measurement(path, feed, interface, FACTS, outputs=scores, judged=1, n=150, threads=1)
    found = Measurement.model_validate({**made, **LATENCY})
    assert (found.metric, found.metric_name, found.n) == (87.5, "top1", 150)
    assert found.interval == (80.0, 92.0)
    assert found.outputs == tuple(scores)
    # y = x W + b with W [3, 2] and b [2], all float32.
    assert (found.macs, found.params, found.weight_bytes) == (6, 8, 32)
    assert found.file_bytes == path.stat().st_size
    assert found.source == "measured"
    assert (found.host, found.isa) == ("Some board, 4 cores", ("arm64_neon",))
    assert (found.runtime, found.runtime_version) == ("onnxruntime", "1.2.3")
    assert (found.peak_ram_bytes is None) is not can_measure()
