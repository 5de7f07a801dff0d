"""Counter-based draws: replayable, uniform, independent of order."""

from __future__ import annotations

import numpy as np

from squeeze.guides.draw import Draws, hashed


def test_a_draw_does_not_depend_on_its_neighbours() -> None:
    samples, views = np.arange(100), np.full(100, 3)
    together = Draws(5, samples, views).uniform(2)
    alone = Draws(5, samples[41:42], views[41:42]).uniform(2)
    assert together[41] == alone[0]


def test_the_hash_is_splitmix64() -> None:
    # The first output of SplitMix64 seeded with 0, published with the generator.
    assert hashed(0)[0] == np.uint64(0xE220A8397B1DCDAF)


def test_draws_are_uniform_and_uncorrelated_between_slots_views_and_seeds() -> None:
    samples, views = np.arange(20_000), np.zeros(20_000, np.int64)
    base = Draws(0, samples, views).uniform(0)
    counts, _ = np.histogram(base, 20, (0, 1))
    assert np.abs(counts - 1000).max() < 150
    for other in (
        Draws(0, samples, views).uniform(1),
        Draws(0, samples, views + 1).uniform(0),
        Draws(1, samples, views).uniform(0),
        Draws(0, samples + 1, views).uniform(0),
    ):
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.03


def test_integers_cover_both_ends() -> None:
    drawn = Draws(0, np.arange(500), np.zeros(500, np.int64)).integer(0, 2, 5)
    assert set(drawn) == {2, 3, 4, 5}


def test_noise_is_standard_normal_and_repeatable() -> None:
    draws = Draws(0, np.arange(300), np.zeros(300, np.int64))
    noise = draws.noise(0, 40)
    assert noise.shape == (300, 40)
    assert abs(noise.mean()) < 0.05
    assert abs(noise.std() - 1) < 0.05
    np.testing.assert_array_equal(noise, draws.noise(0, 40))
