"""Moments of what layers see, against direct sums over columns that are written out in NumPy."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from squeeze.quant.weights import gram
from squeeze.quant.weights.gram import Gram, grams
from tests.feeds import passes_of
from tests.graph.small import Array, floats, model, node
from tests.graph.small import run as run_float


def only(found: ir.Model, x: Array, samples: int = 100) -> Gram:
    ((name, result),) = grams(found, ["y"], passes_of(found, x), samples)
    assert name == "y"
    return result


CONVOLUTIONS = {
    "plain": ({}, (6, 4, 3, 3)),
    "strided": ({"strides": [2, 1], "pads": [1, 0, 2, 1]}, (6, 4, 3, 2)),
    "dilated": ({"dilations": [2, 3], "pads": [2, 3, 2, 3]}, (6, 4, 3, 3)),
    "grouped": ({"group": 2, "pads": [1, 1, 1, 1]}, (6, 2, 3, 3)),
    "depthwise": ({"group": 4}, (4, 1, 3, 3)),
    "same": ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, (6, 4, 3, 3)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_error_of_a_convolution_is_that_of_the_runtime(name: str) -> None:
    """The mean square of what other weights change in the output of the layer, per channel: D moments D'."""
    attributes, shape = CONVOLUTIONS[name]
    change, x = floats(*shape, seed=1), floats(10, 4, 9, 8)
    layer = node("Conv", ["x", "w"], ["y"], **attributes)
    y = run_float(model([layer], {"w": change}, (4, 9, 8)), x).astype(np.float64)
    found = only(model([layer], {"w": floats(*shape)}, (4, 9, 8)), x)
    groups = len(found.mean)
    d = change.reshape(groups, len(change) // groups, -1).astype(np.float64)
    squares = np.einsum("gok,gkl,gol->go", d, found.moments, d).reshape(-1)
    means = np.einsum("gok,gk->go", d, found.mean).reshape(-1)
    np.testing.assert_allclose(squares, (y**2).mean(axis=(0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(means, y.mean(axis=(0, 2, 3)), atol=1e-5)
    variances = np.einsum("gok,gkl,gol->go", d, found.covariance, d).reshape(-1)
    np.testing.assert_allclose(variances, y.var(axis=(0, 2, 3)), rtol=1e-4)


def test_one_dimension_and_matrix_products() -> None:
    x = floats(10, 3, 12)
    conv = model(
        [node("Conv", ["x", "w"], ["y"], pads=[1, 2], strides=[2])], {"w": floats(5, 3, 4)}, (3, 12)
    )
    padded = np.pad(x, ((0, 0), (0, 0), (1, 2)))
    columns = np.stack([padded[:, :, i : i + 4].reshape(10, 12) for i in range(0, 12, 2)], 1)
    check(only(conv, x), columns.reshape(-1, 12))
    rows = floats(10, 7, 6)
    product = model([node("MatMul", ["x", "w"], ["y"])], {"w": floats(6, 3)}, (7, 6))
    check(only(product, rows), rows.reshape(-1, 6))
    flat = floats(10, 6)
    gemm = model([node("Gemm", ["x", "w"], ["y"], transB=1)], {"w": floats(3, 6)}, (6,))
    check(only(gemm, flat), flat)


def check(found: Gram, columns: NDArray[np.float32]) -> None:
    wide = columns.astype(np.float64)
    np.testing.assert_allclose(found.mean[0], wide.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(found.moments[0], wide.T @ wide / len(wide), rtol=1e-5, atol=1e-6)


def test_only_some_columns_are_taken_and_their_moments_are_near(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = floats(40, 2, 20, 20)
    found = model([node("Conv", ["x", "w"], ["y"])], {"w": floats(5, 2, 3, 3)}, (2, 20, 20))
    exact = only(found, x)
    monkeypatch.setattr(gram, "COLUMNS", 2000)
    some = only(found, x, samples=40)
    assert not np.array_equal(some.moments, exact.moments)
    np.testing.assert_allclose(some.moments, exact.moments, atol=0.15)
    np.testing.assert_array_equal(only(found, x, samples=40).moments, some.moments)


def test_layers_that_do_not_fit_together_are_done_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = model(
        [node("Conv", ["x", "w"], ["a"]), node("Conv", ["a", "w"], ["y"])],
        {"w": floats(4, 4, 1, 1)},
        (4, 5, 5),
    )
    x = floats(10, 4, 5, 5)
    together = dict(grams(found, ["a", "y"], passes_of(found, x), 10))
    monkeypatch.setattr(gram, "SET_BYTES", 1)
    apart = dict(grams(found, ["a", "y"], passes_of(found, x), 10))
    for name in ("a", "y"):
        np.testing.assert_allclose(apart[name].moments, together[name].moments, rtol=1e-6)


def test_layers_with_long_columns_are_left_out() -> None:
    found = model([node("Gemm", ["x", "w"], ["y"])], {"w": floats(2305, 2)}, (2305,))
    assert dict(grams(found, ["y"], passes_of(found, floats(4, 2305)), 4)) == {}
