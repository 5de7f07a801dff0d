from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from squeeze.errors import ConfigError, MeasureError
from squeeze.measure import evaluate, latency, measurement
from tests.measure.models import linear, relu


@dataclass(frozen=True)
class Part:
    x: np.ndarray
    y: np.ndarray | None

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Data:
    """The two things that `evaluate` takes from a calibration set; the other splits are not there."""

    evaluate: Part

    def batches(self, split: Part, batch_size: int) -> Iterator[np.ndarray]:
        assert split is self.evaluate
        for start in range(0, len(split), batch_size):
            yield split.x[start : start + batch_size]


def data(n: int, labels: bool = True) -> Any:  # Any: stands in for Calib
    x = np.random.default_rng(0).standard_normal((n, 3)).astype(np.float32)
    y = (x.sum(axis=1) > 0).astype(np.int64)
    return Data(Part(x, y if labels else None))


def test_evaluate_gives_metric_and_outputs_of_all_batches(tmp_path: Path) -> None:
    calib = data(150)
    value, outputs = evaluate(linear(tmp_path / "m.onnx"), calib, "top1")
    x = calib.evaluate.x.astype(np.float64)
    expected = x @ np.array([[0, 1], [1, 2], [2, 3]]) + 1
    assert np.allclose(outputs, expected, atol=1e-5)
    # The second output is larger exactly where the sum of x is positive.
    assert value == 100


def test_evaluate_compares_with_the_teacher_when_there_are_no_labels(tmp_path: Path) -> None:
    calib = data(70, labels=False)
    model = linear(tmp_path / "m.onnx")
    value, outputs = evaluate(model, calib, "agreement")
    assert value == 100
    flipped = outputs.copy()
    flipped[:7] = flipped[:7, ::-1]
    assert evaluate(model, calib, "agreement", reference=flipped)[0] == 90
    with pytest.raises(ConfigError, match="needs labels"):
        evaluate(model, calib, "top1")


def test_evaluate_says_how_many_outputs_are_not_finite(tmp_path: Path) -> None:
    calib = data(5)
    calib.evaluate.x[1] = np.inf
    with pytest.raises(MeasureError, match="outputs of 1 of 5 samples are not finite"):
        evaluate(relu(tmp_path / "m.onnx", ["n", 3]), calib, "top1")


def test_measurement_holds_what_was_measured(tmp_path: Path) -> None:
    path = linear(tmp_path / "m.onnx")
    sample = np.zeros((1, 3), np.float32)
    taken = latency({"m": path}, sample, runs=20)["m"]
    found = measurement(path, sample, "top1", 87.5, 150, taken)
    assert (found.metric, found.metric_name, found.n) == (87.5, "top1", 150)
    assert (found.latency_p50_ms, found.runs, found.threads) == (taken.p50_ms, 20, 1)
    assert (found.macs, found.params, found.weight_bytes) == (6, 8, 32)
    assert found.file_bytes == path.stat().st_size
    assert found.source == "measured"
    assert found.peak_ram_bytes is None or found.peak_ram_bytes >= 0
