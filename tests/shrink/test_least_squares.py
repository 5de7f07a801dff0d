"""Refitted weights against numpy's least squares, and patches against torch's own convolution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from squeeze.shrink.least_squares import patches_at, positions, refit, rows_at
from tests.prune.zoo import imported


def test_weights_are_those_of_lstsq_when_there_is_no_penalty() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(1, 2, (200, 7)), rng.normal(0, 1, (200, 3))
    wide = np.concatenate([x, np.ones((200, 1))], 1)
    wanted, *_ = np.linalg.lstsq(wide, y, rcond=None)
    start, bias = torch.from_numpy(rng.normal(0, 1, (1, 3, 7))), torch.zeros(1, 3).double()
    weight, shift = refit(start, bias, torch.from_numpy(x)[None], torch.from_numpy(y)[None], 0.0)
    assert shift is not None
    np.testing.assert_allclose(weight[0].numpy(), wanted[:-1].T, atol=1e-9)
    np.testing.assert_allclose(shift[0].numpy(), wanted[-1], atol=1e-9)


def test_weights_are_those_of_lstsq_with_rows_for_the_penalty_when_there_is_one() -> None:
    rng = np.random.default_rng(1)
    ridge, rows = 0.3, 50
    x, y, start = rng.normal(0, 2, (rows, 7)), rng.normal(0, 1, (rows, 3)), rng.normal(0, 1, (3, 7))
    # rows * ridge * mean square * ||w - start||^2 is the square of further rows.
    root = np.sqrt(rows * ridge * (x**2).mean())
    wide = np.concatenate([x, root * np.eye(7)])
    wanted, *_ = np.linalg.lstsq(wide, np.concatenate([y, root * start.T]), rcond=None)
    given = (torch.from_numpy(a)[None] for a in (start, x, y))
    weight, shift = refit(next(given), None, *given, ridge)
    np.testing.assert_allclose(weight[0].numpy(), wanted.T, atol=1e-9)
    assert shift is None


def test_weights_stay_when_they_make_what_is_wanted() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 60, 5, generator=generator)
    weight, bias = torch.randn(2, 4, 5, generator=generator), torch.randn(2, 4, generator=generator)
    found, shift = refit(weight, bias, x, x @ weight.transpose(1, 2) + bias[:, None], 0.5)
    assert shift is not None
    torch.testing.assert_close(found, weight, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(shift, bias, rtol=1e-5, atol=1e-5)


def test_weights_stay_when_inputs_are_all_the_same() -> None:
    weight, bias = torch.ones(1, 2, 3), torch.zeros(1, 2)
    found, shift = refit(weight, bias, torch.ones(1, 9, 3), torch.full((1, 9, 2), 5.0))
    assert shift is not None
    assert torch.equal(found, weight)
    # What is wanted is reached by the bias.
    torch.testing.assert_close(shift, torch.full((1, 2), 2.0))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3, 1, 1),
        nn.Conv2d(4, 6, (3, 1), (2, 1), (1, 0)),
        nn.Conv2d(4, 4, 3, 2, 1, groups=4),
        nn.Conv2d(4, 6, 3, 1, 2, dilation=2, groups=2),
        nn.Conv1d(4, 6, 5, 2, 2),
    ],
    ids=["plain", "flat", "depthwise", "dilated", "signal"],
)
def test_patches_times_weights_are_the_output_when_it_is_convolved(
    layer: nn.Conv1d | nn.Conv2d,
) -> None:
    torch.manual_seed(0)
    shape = (3, 4, 9, 7) if isinstance(layer, nn.Conv2d) else (3, 4, 11)
    x = torch.randn(*shape)
    network = imported(layer.eval(), x)
    (node,) = network.nodes
    with torch.no_grad():
        made = layer(x)
        places = positions(tuple(made.shape), 5)
        found = patches_at(network, node, network.layers[node["layer"]], x, places)
        weight = layer.weight.reshape(layer.groups, len(layer.weight) // layer.groups, -1)
        rows = (found @ weight.transpose(1, 2)).transpose(0, 1).flatten(1) + layer.bias
    assert places.shape == (3, 5)
    torch.testing.assert_close(rows, rows_at(made, places), rtol=1e-4, atol=1e-5)


def test_positions_are_all_places_when_the_map_is_small() -> None:
    assert positions((2, 3, 2, 2), 8).tolist() == [[0, 1, 2, 3]] * 2
    drawn = positions((2, 3, 8, 8), 8)
    assert all(len(set(row)) == 8 for row in drawn.tolist())
    assert torch.equal(drawn, positions((2, 9, 8, 8), 8))
