"""Buckets and scaling functions of Polino et al.: against NumPy, on numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from squeeze.train.quantised.scaling import cut, join, scale


def test_cut_fills_the_last_bucket_with_the_last_value() -> None:
    weight = torch.arange(10.0).reshape(2, 5)
    rows = cut(weight, 4)
    assert rows.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 9, 9]]
    assert torch.equal(join(rows, weight), weight)


def test_cut_makes_one_short_bucket_of_a_small_tensor() -> None:
    assert cut(torch.zeros(3, 5), 256).shape == (1, 15)


def test_cut_makes_rows_of_channels_and_one_of_the_tensor() -> None:
    weight = torch.arange(24.0).reshape(2, 3, 4)
    assert cut(weight, "channel").shape == (2, 12)
    assert cut(weight, "tensor").shape == (1, 24)


def test_cut_without_a_rest_adds_nothing() -> None:
    assert cut(torch.zeros(2, 8), 4).shape == (4, 4)


@pytest.mark.parametrize(
    ("scaling", "alpha", "beta", "u"),
    [
        ("linear", 8.0, -3.0, [0.0, 0.375, 1.0]),
        ("absmax", 5.0, 0.0, [-0.6, 0.0, 1.0]),
        ("absnorm", 34**0.5, 0.0, [-3 / 34**0.5, 0.0, 5 / 34**0.5]),
    ],
    ids=["linear", "absmax", "absnorm"],
)
def test_scale_of_three_numbers(scaling: str, alpha: float, beta: float, u: list[float]) -> None:
    found = scale(torch.tensor([[-3.0, 0.0, 5.0]], dtype=torch.float64), scaling, "tensor")
    assert found.alpha.item() == pytest.approx(alpha)
    assert found.beta.item() == beta
    assert found.u.tolist()[0] == pytest.approx(u)


@pytest.mark.parametrize("scaling", ["linear", "absmax", "absnorm"])
@pytest.mark.parametrize("bucket", ["channel", "tensor", 7], ids=str)
def test_scale_can_be_undone(scaling: str, bucket: str | int) -> None:
    weight = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 3, 2)))
    found = scale(weight, scaling, bucket)
    np.testing.assert_allclose(join(found.alpha * found.u + found.beta, weight), weight, atol=1e-15)


@pytest.mark.parametrize("scaling", ["linear", "absmax", "absnorm"])
def test_scale_of_a_bucket_of_one_value_is_finite(scaling: str) -> None:
    weight = torch.zeros(2, 6)
    weight[1] = 0.25 if scaling == "linear" else 0
    found = scale(weight, scaling, "channel")
    assert found.alpha.reshape(-1).tolist() == [1, 1]
    assert torch.equal(found.alpha * found.u + found.beta, weight)
