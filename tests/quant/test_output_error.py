"""Errors of outputs against NumPy: each field counts the same, whatever its unit."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze.quant.output_error import Errors, Expected, enough, output_errors, together
from tests.feeds import interface_of, passes_of
from tests.graph.small import Array, floats, model, node

# A detector: four coordinates in pixels and two scores, at 50 places.
BOXES = 160 + 80 * floats(32, 4, 50)
SCORES = 1 / (1 + np.exp(-floats(32, 2, 50, seed=1)))
FLOAT = np.concatenate([BOXES, SCORES], axis=1).astype(np.float32)


def error(got: Array) -> float:
    found = Errors(1)
    for some in (slice(0, 10), slice(10, 32)):
        found.add({"y": FLOAT[some]}, [{"y": got[some]}])
    return found.by_output()[0]["y"]


def test_scores_that_are_gone_do_not_hide_behind_boxes_in_pixels() -> None:
    got = FLOAT.copy()
    got[:, 4:] = 0
    deviations = FLOAT.astype(np.float64).var(axis=0).mean(axis=1)
    missed = (FLOAT[:, 4:].astype(np.float64) ** 2).mean(axis=(0, 2))
    assert error(got) == pytest.approx(np.sqrt((missed / deviations[4:]).sum() / 6), rel=1e-6)
    assert error(got) > 0.5


def test_boxes_that_are_off_by_a_tenth_of_their_deviation() -> None:
    got = FLOAT.copy()
    got[:, :4] += 8
    deviations = FLOAT.astype(np.float64).var(axis=0).mean(axis=1)
    assert error(got) == pytest.approx(np.sqrt((64 / deviations[:4]).sum() / 6), rel=1e-4)


def test_a_field_that_never_varies_is_held_to_a_tenth_of_its_size() -> None:
    wanted = np.stack([floats(16, 20)[:, 0], np.full(16, 50.0, np.float32)], axis=1)
    got = wanted.copy()
    got[:, 1] += 1
    found = Errors(1)
    found.add({"y": wanted}, [{"y": got}])
    assert found.by_output()[0]["y"] == pytest.approx(np.sqrt((1 / 5.0**2) / 2), rel=1e-3)


def test_a_reference_that_is_kept_gives_the_same_errors() -> None:
    x, weights = floats(40, 8, seed=2), floats(8, 4, seed=3)
    whole, other = (
        model([node("MatMul", ["x", "w"], ["y"])], {"w": w}, (8,))
        for w in (weights, np.rint(weights * 10) / np.float32(10))
    )
    passes = passes_of(whole, x)
    expected = Expected(whole, passes, 16)
    (same,) = expected.errors(whole)
    assert together(same) == 0
    (asked,) = output_errors(whole, [other], passes, 16)
    (found,) = expected.errors(other)
    assert together(found) == asked > 0


def test_dense_outputs_need_fewer_samples() -> None:
    dense = interface_of(model([node("Relu", ["x"], ["y"])], {}, (8, 512)))
    scores = interface_of(model([node("Relu", ["x"], ["y"])], {}, (10,)))
    assert enough(dense, 500) == 16  # 4,096 numbers a sample, of which 16 samples have 65,536
    assert enough(dense, 7) == 7
    assert enough(scores, 500) == 500
    assert enough(scores, 50_000) == 6554
