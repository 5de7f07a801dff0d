"""Tokens as the sentence encoder's benchmark feeds them."""

from __future__ import annotations

import numpy as np

from benchmarks.sentence_encoder import padded


def test_what_is_filled_up_is_masked_and_what_is_too_long_is_cut() -> None:
    feed = padded([np.array([5, 6]), np.array([7, 8, 9, 10])], 3)
    assert feed["input_ids"].tolist() == [[5, 6, 0], [7, 8, 9]]
    assert feed["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
