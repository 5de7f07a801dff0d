"""Splits are disjoint, complete, stratified, never empty, and the same for a seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squeeze.calib.split import MOST_CALIBRATE, balanced, split
from squeeze.errors import ConfigError

SAMPLES = st.integers(3, 400)
SEEDS = st.integers(0, 2**31)


def labels_of(samples: int, classes: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, classes, samples)


@settings(deadline=None, max_examples=200, derandomize=True)
@given(
    samples=SAMPLES,
    classes=st.integers(0, 30),
    evaluate=st.floats(0.01, 0.6),
    calibrate=st.floats(0.01, 0.39),
    seed=SEEDS,
)
def test_parts_are_disjoint_complete_and_never_empty(
    samples: int, classes: int, evaluate: float, calibrate: float, seed: int
) -> None:
    labels = labels_of(samples, classes, seed) if classes else None
    parts = split(samples, labels, evaluate=evaluate, calibrate=calibrate, seed=seed, where="d")
    together = np.concatenate([parts.fit, parts.calibrate, parts.evaluate])
    np.testing.assert_array_equal(np.sort(together), np.arange(samples))
    assert min(len(parts.fit), len(parts.calibrate), len(parts.evaluate)) >= 1
    assert abs(len(parts.evaluate) - evaluate * samples) <= 1
    for part in (parts.fit, parts.calibrate, parts.evaluate):
        assert (np.diff(part) > 0).all()


@settings(deadline=None, max_examples=200, derandomize=True)
@given(samples=SAMPLES, classes=st.integers(1, 12), share=st.floats(0.05, 0.6), seed=SEEDS)
def test_evaluation_keeps_the_share_of_each_class_to_within_one_sample(
    samples: int, classes: int, share: float, seed: int
) -> None:
    labels = labels_of(samples, classes, seed)
    parts = split(samples, labels, evaluate=share, calibrate=0.1, seed=seed, where="d")
    taken = np.bincount(labels[parts.evaluate], minlength=classes)
    exact = np.bincount(labels, minlength=classes) * len(parts.evaluate) / samples
    assert (np.abs(taken - exact) <= 1).all()


@settings(deadline=None, max_examples=200, derandomize=True)
@given(samples=SAMPLES, classes=st.integers(1, 12), count=st.integers(1, 400), seed=SEEDS)
def test_balanced_takes_the_same_of_each_class_while_it_has_any(
    samples: int, classes: int, count: int, seed: int
) -> None:
    labels = labels_of(samples, classes, seed)
    chosen = balanced(labels, samples, min(count, samples), np.random.default_rng(seed))
    assert len(set(chosen.tolist())) == len(chosen) == min(count, samples)
    have = np.bincount(labels, minlength=classes)
    taken = np.bincount(labels[chosen], minlength=classes)
    for one in range(classes):
        # A class that still has samples left was not passed over.
        assert taken[one] == have[one] or taken[one] >= taken.max() - 1


def test_sizes_are_a_fifth_a_tenth_and_the_rest() -> None:
    parts = split(1000, np.arange(1000) % 10, evaluate=0.2, calibrate=0.1, seed=0, where="d")
    assert (len(parts.fit), len(parts.calibrate), len(parts.evaluate)) == (700, 100, 200)
    assert (np.bincount(parts.evaluate % 10) == 20).all()
    assert (np.bincount(parts.calibrate % 10) == 10).all()


def test_calibration_is_limited_however_large_the_set() -> None:
    parts = split(50_000, None, evaluate=0.2, calibrate=0.1, seed=0, where="d")
    assert (len(parts.calibrate), len(parts.evaluate)) == (MOST_CALIBRATE, 10_000)


def test_calibration_leaves_half_of_a_rare_class_to_fit() -> None:
    labels = np.array([0] * 990 + [1] * 10)
    parts = split(1000, labels, evaluate=0, calibrate=0.1, seed=0, where="d")
    assert len(parts.calibrate) == 100
    assert labels[parts.calibrate].sum() == 5
    assert labels[parts.fit].sum() == 5


@pytest.mark.parametrize(
    ("evaluate", "calibrate", "least"), [(0.2, 0.1, 3), (0, 0.1, 2), (0, 0, 1)]
)
def test_fewer_samples_than_parts_are_refused(
    evaluate: float, calibrate: float, least: int
) -> None:
    for samples in range(least):
        with pytest.raises(ConfigError, match=f"d: {samples} sample.*at least {least} are needed"):
            split(samples, None, evaluate=evaluate, calibrate=calibrate, seed=0, where="d")
    split(least, None, evaluate=evaluate, calibrate=calibrate, seed=0, where="d")


def test_seed_decides() -> None:
    def drawn(seed: int) -> list[int]:
        parts = split(90, np.arange(90) % 3, evaluate=0.2, calibrate=0.1, seed=seed, where="d")
        return [*parts.evaluate, *parts.calibrate]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(
    sizes=st.lists(st.integers(1, 30), min_size=3, max_size=60),
    evaluate=st.floats(0.01, 0.6),
    calibrate=st.floats(0.01, 0.39),
    seed=SEEDS,
)
def test_groups_are_never_torn_and_no_part_is_empty(
    sizes: list[int], evaluate: float, calibrate: float, seed: int
) -> None:
    groups = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    parts = split(
        len(groups),
        None,
        evaluate=evaluate,
        calibrate=calibrate,
        seed=seed,
        where="d",
        groups=groups,
    )
    all_parts = (parts.fit, parts.calibrate, parts.evaluate)
    np.testing.assert_array_equal(np.sort(np.concatenate(all_parts)), np.arange(len(groups)))
    seen = [set(groups[part].tolist()) for part in all_parts]
    assert min(map(len, seen)) >= 1
    assert sum(map(len, seen)) == len(sizes)
    # One group more or less, unless the others need those that are left.
    if len(seen[2]) < len(sizes) - 2:
        assert len(parts.evaluate) <= evaluate * len(groups) + max(sizes)
    assert len(parts.evaluate) >= evaluate * len(groups) - max(sizes) or len(seen[0]) == 1
