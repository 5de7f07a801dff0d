"""Agreement in percent against values by hand, packages from the cache alone, and the verdict on rows."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks import shipped_agreement as agreement
from benchmarks import shipped_pictures, shipped_signals
from benchmarks.shipped_packages import NotFetched, Package, unpacked
from benchmarks.shipped_summary import summary, text


def test_text_agrees_by_its_edit_distance() -> None:
    def path(*classes: int) -> dict[str, np.ndarray]:
        return {"y": np.eye(5)[list(classes)][None]}

    same_text = agreement.same_text("y", blank=0)
    # 1 1 0 2 2 3 reads 1 2 3; 1 0 3 reads 1 3: one letter of three is missing.
    assert same_text([path(1, 0, 3)], [path(1, 1, 0, 2, 2, 3)]) == pytest.approx(100 * 2 / 3)
    assert same_text([path(0, 0, 0)], [path(0, 0, 0)]) == 100
    assert agreement.edits([1, 2, 3, 4], [2, 3, 5]) == 2


def test_boxes_match_by_overlap_and_class() -> None:
    # Two boxes; ours has one shifted by a tenth (IoU 9 / 11), and one of another class.
    theirs = _yolo8([[5, 5, 10, 10, 0.9, 0], [50, 50, 10, 10, 0.9, 0]])
    ours = _yolo8([[6, 5, 10, 10, 0.8, 0], [50, 50, 10, 10, 0, 0.8]])
    f1 = agreement.f1_boxes(agreement.yolo8("y", 0.5))
    assert f1([ours], [theirs]) == pytest.approx(50)
    assert f1([theirs], [theirs]) == 100
    nothing = _yolo8([[5, 5, 10, 10, 0.1, 0]])
    assert f1([nothing], [theirs]) == 0
    assert f1([nothing], [nothing]) == 100


def test_a_box_that_a_better_one_covers_is_suppressed() -> None:
    corners = np.asarray([[0.0, 0, 10, 10], [1, 0, 11, 10], [30, 0, 40, 10]])
    kept, scores, _ = agreement.suppressed(
        corners, np.asarray([0.5, 0.9, 0.3]), np.zeros(3, np.intp)
    )
    assert scores.tolist() == [0.9, 0.3]
    assert kept[0].tolist() == [1, 0, 11, 10]
    assert agreement.overlaps(corners[0], corners[1:2])[0] == pytest.approx(90 / 110)


def test_grids_of_detectors_are_decoded() -> None:
    # A picture of 32 pixels has 16 + 4 + 1 cells; the second of stride 8 is at column 1, row 0.
    rows = np.zeros((1, 21, 6))
    rows[0, 1] = [0.5, 0.5, np.log(2), 0, 1, 1]
    corners, scores, classes = agreement.yolox("y", 32, 0.5)({"y": rows})
    assert corners.tolist() == [[12 - 8, 4 - 4, 12 + 8, 4 + 4]]
    assert (scores.tolist(), classes.tolist()) == ([1], [0])
    # Distances of one bin each, as certain as can be: 1, 0, 2 and 1 strides around the middle of the cell.
    sides = np.full((1, 16, 4, 3), -1e9)
    for side, bin_ in enumerate((1, 0, 2, 1)):
        sides[0, 5, side, bin_] = 0
    chance = np.zeros((1, 16, 2))
    chance[0, 5, 1] = 1
    decode = agreement.picodet(["s"], ["d"], (32, 32), 0.5)
    corners, _, classes = decode({"s": chance, "d": sides.reshape(1, 16, 12)})
    assert corners.tolist() == [[(1.5 - 1) * 8, 1.5 * 8, (1.5 + 2) * 8, (1.5 + 1) * 8]]
    assert classes.tolist() == [1]


def test_variance_is_kept_around_the_mean_of_each_cell() -> None:
    # The first cell is always near 100; only what varies over samples counts.
    theirs = [{"y": np.asarray([[100.0, v]])} for v in (0.0, 2.0)]
    constant = [{"y": np.asarray([[100.0, 1.0]])}] * 2
    assert agreement.r2(theirs, theirs) == 100
    assert agreement.r2(constant, theirs) == 0
    flags = [{"y": one["y"], "b": np.asarray([True])} for one in theirs]
    assert agreement.r2(flags, flags) == 100


def test_marks_and_classes_agree_by_share() -> None:
    a, b = {"y": np.asarray([[0.9, 0.9, 0.1]])}, {"y": np.asarray([[0.9, 0.1, 0.1]])}
    assert agreement.f1_marks("y", 0.5)([a], [b]) == pytest.approx(100 * 2 / 3)
    assert agreement.same_class("y")([a, b], [b, b]) == 100
    assert agreement.same_class("y", axis=0)([{"y": a["y"].T}], [{"y": -b["y"].T}]) == 0


def test_a_package_comes_from_the_cache_without_an_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEEZE_SHIPPED", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    package = Package("made-up", "1.0")
    with pytest.raises(NotFetched, match=r"made-up==1\.0: not fetched"):
        unpacked(package)
    wheels = tmp_path / "wheels" / "made-up-1.0"
    with zipfile.ZipFile(wheels / "made_up-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("made_up/model.onnx", b"weights")
    assert (unpacked(package) / "made_up" / "model.onnx").read_bytes() == b"weights"


def test_pictures_and_signals_are_the_same_for_a_seed() -> None:
    def drawn(seed: int) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        return [
            shipped_pictures.line(rng, 48, 320),
            shipped_pictures.captcha(rng, 64, 160),
            shipped_signals.speech(rng, 1.0, 16_000),
            shipped_signals.brain_wave_spectrogram(rng, 10),
        ]

    first, again, other = drawn(0), drawn(0), drawn(1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_both_ends_of_a_file_are_padded() -> None:
    found = shipped_signals.ends_of_file(b"  ab\n", size=4)
    assert found.tolist() == [97, 98, 10, 256, 32, 32, 97, 98]


def test_the_verdict_is_against_the_best_and_the_fastest_peer() -> None:
    rows = [
        _row("float", 32, 100.0, 4.0),
        _row("squeeze", 8, 99.0, 1.0),
        _row("squeeze-stock", 8, 99.0, 2.1),
        _row("ort-static", 8, 98.0, 2.0),
        _row("ort-dynamic", 8, 99.5, 3.0),
        {"host": "h", "model": "m", "run": "nncf", "bits": 8, "metric_name": "r2", "error": "no"},
        _row("squeeze", 4, 90.0, 0.5),
    ]
    found = summary(rows)
    expected = {"model": "m", "made": True, "accurate": False, "faster": True, "stock_within": True}
    assert found["by_model"] == [expected]
    assert (found["models"], found["accurate"], found["faster"]) == (1, 0, 1)
    assert "as accurate as the best peer on 0" in text(rows)


def _row(run: str, bits: int, metric: float, ms: float) -> dict[str, object]:
    known = {"host": "h", "model": "m", "run": run, "bits": bits, "metric_name": "r2"}
    return {**known, "metric": metric, "bytes": 1000, "latency_p50_ms": ms, "speed": 4.0 / ms}


def _yolo8(rows: list[list[float]]) -> dict[str, np.ndarray]:
    return {"y": np.asarray(rows).T[None]}
