"""The terms that are minimised and the views that are shown, on numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from squeeze.synthesis.objective import class_loss, prior, statistics_distance
from squeeze.synthesis.views import cropped, shifted, smallest_area
from squeeze.synthesis.watched import Norm


def norm(x: list[list[float]], mean: list[float], variance: list[float]) -> Norm:
    return Norm(*(torch.tensor(v, dtype=torch.float32) for v in (x, mean, variance)))


def test_statistics_distance_weighs_the_first_norm_ten_times() -> None:
    # Columns 1, 3 and 0, 4: means 2 and 2, variances 1 and 4. Away from (-1, -2): (3, 4), length 5;
    # from (1, 4): nothing.
    first = norm([[1, 0], [3, 4]], [-1, -2], [1, 4])
    # One column 0, 2: mean 1, variance 1; away from 0 and 3 by 1 and 2.
    second = norm([[0], [2]], [0], [3])
    assert statistics_distance([first, second]).item() == pytest.approx(10 * 5 + 1 + 2)


def test_statistics_are_over_batch_and_positions() -> None:
    x = torch.arange(24.0).reshape(2, 3, 2, 2)
    expected = x.transpose(0, 1).reshape(3, -1)
    matching = Norm(x, expected.mean(1), expected.var(1, correction=0))
    assert statistics_distance([matching]).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("activation", "output", "wanted", "loss"),
    [
        ("none", [[0.0, 0.0, 0.0]], 2, math.log(3)),
        ("softmax", [[0.2, 0.8]], 0, -math.log(0.2)),
        ("sigmoid", [[0.25]], 1, -math.log(0.25)),
        ("sigmoid", [[0.25, 0.5]], 1, -(math.log(0.75) + math.log(0.5)) / 2),
    ],
    ids=["logits", "softmax", "one-sigmoid", "sigmoids"],
)
def test_class_loss_follows_the_final_activation(
    activation: str, output: list[list[float]], wanted: int, loss: float
) -> None:
    found = class_loss(activation, len(output[0]))  # type: ignore[arg-type]
    assert found is not None
    assert found(torch.tensor(output), torch.tensor([wanted])).item() == pytest.approx(loss)


def test_one_number_without_activation_has_no_classes() -> None:
    assert class_loss("none", 1) is None


def test_prior_counts_steps_and_scale() -> None:
    # Steps along axis 2 are 2 and 2; mean 0, deviation sqrt(8 / 3).
    x = torch.tensor([[[-2.0, 0.0, 2.0]]])
    assert prior(x, [2], 1).item() == pytest.approx(2 + math.sqrt(8 / 3) - 1)


def test_crops_begin_with_the_whole_and_end_at_eight_percent() -> None:
    assert [smallest_area(t) for t in (0, 0.5, 1)] == pytest.approx([1, 0.54, 0.08])


def test_crop_is_a_bilinear_part_of_the_image() -> None:
    generator = torch.Generator().manual_seed(0)
    # A ramp to the right stays a ramp, less steep, within its ends.
    ramp = torch.arange(32.0).expand(64, 1, 32, 32)
    found = cropped(ramp, 0.08, generator)
    assert found.shape == ramp.shape
    assert 0 <= found.min() <= found.max() <= 31
    torch.testing.assert_close(found, found[:, :, :1].expand_as(found))
    inner = found[:, 0, 0, 4:-4].diff(dim=1)
    assert bool((inner > 0).all())
    shares = inner.mean(1)  # the width of each crop, as a part of the whole
    assert shares.max() <= 1.001
    assert shares.min() >= math.sqrt(0.08 * 3 / 4) - 0.001
    assert shares.min() < 0.5 < shares.max()


def test_shift_moves_pixels_around_the_edge() -> None:
    x = torch.arange(14.0).reshape(1, 1, 14)
    moved = {
        tuple(shifted(x, [2], torch.Generator().manual_seed(s))[0, 0].tolist()) for s in range(40)
    }
    by = {int(row.index(0.0)) for row in moved}
    assert by == {0, 1, 2, 12, 13}
    assert all(sorted(row) == x.flatten().tolist() for row in moved)
