"""Selections: always distinct, the same for a seed, and each what its formula says on data worked out slowly."""

from __future__ import annotations

import tracemalloc
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squeeze.calib.selection import SELECTIONS, graph_cut_bins, k_centre, select
from squeeze.errors import ConfigError


def data(samples: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    odds = rng.exponential(size=(samples, 5))
    return {
        "labels": rng.integers(0, 5, samples),
        "features": rng.normal(size=(samples, 8)).astype(np.float32),
        "probabilities": odds / odds.sum(axis=1, keepdims=True),
    }


@settings(deadline=None, max_examples=30)
@given(samples=st.integers(1, 60), count=st.integers(0, 80), seed=st.integers(0, 5))
@pytest.mark.parametrize("name", SELECTIONS)
def test_indices_are_distinct_as_many_as_wanted_and_repeatable(
    name: str, samples: int, count: int, seed: int
) -> None:
    known = data(samples)
    found = select(name, count, samples, **known, seed=seed)
    assert len(set(found.tolist())) == len(found) == min(count, samples)
    assert set(found.tolist()) <= set(range(samples))
    np.testing.assert_array_equal(select(name, count, samples, **known, seed=seed), found)


@pytest.mark.parametrize("name", ["balanced", "bins", "random"])
def test_another_seed_gives_another_selection(name: str) -> None:
    known = data(500)
    assert not np.array_equal(
        select(name, 50, 500, **known, seed=0), select(name, 50, 500, **known, seed=1)
    )


@pytest.mark.parametrize("name", SELECTIONS)
def test_identical_samples_can_still_be_told_apart(name: str) -> None:
    same = {"features": np.ones((20, 3)), "probabilities": np.full((20, 2), 0.5)}
    found = select(name, 12, 20, **same, seed=0)
    assert len(set(found.tolist())) == 12


def test_balanced_takes_as_many_of_each_class() -> None:
    labels = np.repeat([0, 1, 2], [90, 6, 4])
    found = select("balanced", 12, 100, labels=labels, seed=0)
    assert np.bincount(labels[found]).tolist() == [4, 4, 4]


def test_bins_follow_the_graph_cut_by_hand() -> None:
    # Similarities: a, b, c on one line, d across. Sum over all of s: a, b, c 3 each, d 1.
    # Bin 1 of 2: a (3); then b and c have 3 - 2 = 1, d has 1 - 0 = 1: the first, b. Bin 2: the rest.
    rows = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], np.float32)
    assert [b.tolist() for b in graph_cut_bins(rows, 2)] == [[0, 1], [2, 3]]


def test_bins_follow_the_formula_on_pairs() -> None:
    rows = np.random.default_rng(0).normal(size=(30, 4))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    similarity = rows @ rows.T
    expected: list[list[int]] = []
    rest = list(range(30))
    for _ in range(3):
        universe, here = list(rest), []
        for _ in range(10):
            gains = [
                similarity[x, universe].sum() - 2 * similarity[x, here].sum()
                if x not in here
                else -np.inf
                for x in universe
            ]
            here.append(universe[int(np.argmax(gains))])
        expected.append(here)
        rest = [x for x in rest if x not in here]
    found = graph_cut_bins(rows.astype(np.float32), 3)
    assert [b.tolist() for b in found[:2]] == expected[:2]
    assert sorted(found[2].tolist()) == sorted(expected[2])


def test_bins_are_drawn_from_equally() -> None:
    known = data(200)
    bins = graph_cut_bins(
        known["features"] / np.linalg.norm(known["features"], axis=1, keepdims=True), 10
    )
    found = set(select("bins", 50, 200, features=known["features"], seed=3).tolist())
    assert [len(found & set(b.tolist())) for b in bins] == [5] * 10


def test_k_centre_follows_the_definition() -> None:
    points = data(40)["probabilities"].astype(np.float32)
    found = k_centre(points, 10).tolist()
    assert found[0] == np.linalg.norm(points - points.mean(axis=0), axis=1).argmin()
    for i in range(1, 10):
        distances = np.linalg.norm(points[:, None] - points[found[:i]][None], axis=2).min(axis=1)
        assert distances[found[i]] == pytest.approx(distances.max(), rel=1e-5)


def test_k_centre_covers_within_twice_the_best_radius() -> None:
    points = data(14, seed=2)["probabilities"].astype(np.float32)

    def radius(centres: tuple[int, ...]) -> float:
        away = np.linalg.norm(points[:, None] - points[list(centres)][None], axis=2)
        return float(away.min(axis=1).max())

    best = min(radius(c) for c in combinations(range(14), 4))
    assert radius(tuple(k_centre(points, 4).tolist())) <= 2 * best + 1e-6


def test_k_centre_finds_the_rare_class_that_random_misses() -> None:
    probabilities = np.tile([0.98, 0.01, 0.01], (1000, 1))
    probabilities[777] = [0.01, 0.98, 0.01]
    assert 777 in select("k-centre", 3, 1000, probabilities=probabilities, seed=0)


def test_large_sets_are_never_compared_pair_by_pair() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(50_000, 256)).astype(np.float32)
    for name in ("bins", "k-centre"):
        tracemalloc.start()
        found = select(name, 512, 50_000, features=features, probabilities=features, seed=0)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(np.unique(found)) == 512
        # All pairs would be 10 GB; a few copies of the features are 51 MB each.
        assert peak_bytes < 1_000_000_000


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("bin", {}, "Did you mean 'bins'"),
        ("bins", {}, "needs features"),
        ("k-centre", {}, "needs probabilities"),
        ("bins", {"features": np.zeros((4, 2))}, "got 4 rows of features for 5 samples"),
        ("k-centre", {"probabilities": np.full((5, 2), np.nan)}, "not finite"),
    ],
    ids=["unknown", "no-features", "no-probabilities", "too-few", "not-finite"],
)
def test_what_is_missing_is_said(name: str, given: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        select(name, 2, 5, **given, seed=0)
