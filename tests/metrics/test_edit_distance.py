from __future__ import annotations

import numpy as np
import pytest

from squeeze.errors import ConfigError
from squeeze.metrics import resolve, score
from squeeze.metrics.edit_distance import distance


def read(*paths: str) -> np.ndarray:
    """Scores [n, t, 4] whose best classes are these; '-' is class 3."""
    return np.eye(4)[[["abc-".index(c) for c in path] for path in paths]]


@pytest.mark.parametrize(
    ("a", "b", "edits"),
    [
        ("kitten", "sitting", 3),
        ("", "abc", 3),
        ("abc", "", 3),
        ("flaw", "lawn", 2),
        ("same", "same", 0),
    ],
)
def test_distance_is_levenshteins(a: str, b: str, edits: int) -> None:
    assert distance(*(np.array([ord(c) for c in x], np.int64) for x in (a, b))) == edits


def test_text_is_the_best_path_without_runs_and_blanks() -> None:
    # "abba" of 7 steps with blanks, and "c".
    wanted = read("ab-ba--", "--cc---")
    assert score("edit_distance", read("aab-baa", "-c-----"), None, wanted) == 0
    # "aba": one b is missing; "cc": one c too many. 2 of 5 letters.
    assert score("edit_distance", read("abbba--", "-c-c---"), None, wanted) == pytest.approx(40)
    assert resolve("edit_distance").drop(0.0, 40.0) == 40


def test_reference_that_reads_nothing_is_all_or_nothing() -> None:
    silent = read("-----")
    assert score("edit_distance", silent, None, silent) == 0
    assert score("edit_distance", read("--a--"), None, silent) == 100


def test_edit_distance_refuses_other_shapes() -> None:
    with pytest.raises(ConfigError, match=r"outputs \['n', 3\], allowed: \[n, steps, classes\]"):
        score("edit_distance", np.zeros((2, 3)), None)
