"""The moving average of weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from squeeze.train.average import Average


def test_average_follows_the_formula_with_its_warm_up() -> None:
    module = nn.Linear(1, 1, bias=False)
    values = [0.0, 1.0, 5.0, -2.0]
    with torch.no_grad():
        module.weight.fill_(values[0])
    average, expected = Average(module, 0.15), values[0]
    for step, weight in enumerate(values[1:]):
        with torch.no_grad():
            module.weight.fill_(weight)
        average.update(step)
        decay = min(0.15, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
        assert average.state["weight"].item() == pytest.approx(expected)


def test_average_covers_batch_norm_buffers() -> None:
    module = nn.BatchNorm1d(3)
    average = Average(module, 0.9)
    module(
        torch.tensor([[3.0, 4.0, 5.0], [5.0, 4.0, 3.0]])
    )  # mean 4, of which BatchNorm takes a tenth
    average.update(0)  # the first decay is a tenth too
    torch.testing.assert_close(average.state["running_mean"], torch.full((3,), 0.9 * 0.4))
    assert average.state["num_batches_tracked"].item() == 1
