"""Scores of encoders before training, against what they are of matrices that can be counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from squeeze.train.supernet.untrained import ETA, SCORES, patterns, swap, used_directions, w_pca
from tests.students.test_encoder import PARAMS, random_encoder


def test_all_directions_alike_are_used_all() -> None:
    d, n = 10, 40
    # Orthogonal columns: every direction has the same variance.
    q, _ = torch.linalg.qr(torch.from_numpy(np.random.default_rng(0).normal(size=(n, d + 1))))
    away = q - q.mean(0)
    whole, _ = torch.linalg.qr(away)
    assert used_directions(whole[:, :d]) == math.ceil(ETA * d)


def test_one_direction_is_one_and_scale_and_place_do_not_count() -> None:
    t = torch.linspace(-1, 1, 30)[:, None]
    line = t @ torch.tensor([[1.0, 2.0, -3.0]])
    assert used_directions(line) == 1
    h = torch.from_numpy(np.random.default_rng(1).normal(size=(50, 7)) * np.arange(1, 8))
    assert used_directions(1000 * h + 5) == used_directions(h)
    assert used_directions(torch.ones(9, 4)) == 0


def test_patterns_are_counted_once() -> None:
    codes = torch.tensor([[1, 1, 0], [0, 1, 0], [1, 1, 0], [1, 1, 1], [1, 1, 1]]).bool()
    assert patterns(codes) == 3
    assert patterns(torch.cat([codes, codes], dim=1)) == 3  # samples given twice
    assert patterns(codes[:, [2, 0, 1]]) == 3


def texts(count: int = 6, length: int = 9) -> torch.Tensor:
    random = np.random.default_rng(2)
    ids = random.integers(1, PARAMS.vocabulary, (count, length))
    mask = (np.arange(length) < random.integers(3, length + 1, (count, 1))).astype(np.int64)
    return torch.from_numpy(np.stack([ids * mask, mask]))


@pytest.mark.parametrize("name", SCORES)
def test_padding_does_not_count(name: str) -> None:
    encoder, x = random_encoder(PARAMS), texts()
    score = SCORES[name](encoder, x)
    longer = torch.nn.functional.pad(x, (0, 4))
    assert SCORES[name](encoder, longer) == score


def test_scores_of_an_encoder_are_within_what_they_can_be() -> None:
    encoder, x = random_encoder(PARAMS), texts()
    parameters = sum(p.numel() for p in encoder.parameters())
    assert parameters <= w_pca(encoder, x) <= parameters * PARAMS.layers * PARAMS.ffn
    assert 1 <= swap(encoder, x) <= PARAMS.layers * PARAMS.ffn
