"""Ranks of parts by their scores, and rows that are there after a run was stopped."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks.autodistil_children import Rows, ndcg


def test_ndcg_equals_sums_by_hand() -> None:
    accuracy = [80.0, 70.0, 75.0]  # gains 1, 0 and 1/2
    best = 1 + 0.5 / math.log2(3)
    assert ndcg([3, 1, 2], accuracy, top=2) == pytest.approx(1)
    assert ndcg([1, 3, 2], accuracy, top=2) == pytest.approx(0.5 / math.log2(3) / best)
    assert ndcg([1, 2, 3], accuracy, top=1) == pytest.approx(0.5)


def test_rows_are_found_again_after_a_stop(tmp_path: Path) -> None:
    made = Rows(tmp_path / "rows.jsonl").add("child-00", {"loss": 0.5})
    again = Rows(tmp_path / "rows.jsonl")
    assert again.known == {"child-00": made}
    assert made["loss"] == 0.5
