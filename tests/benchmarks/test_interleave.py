from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.interleave import interleave

SAMPLE = np.zeros((1, 3), np.float32)


def test_models_take_turns_in_an_order_that_rotates() -> None:
    called: list[str] = []

    def model(name: str, x: np.ndarray) -> None:
        assert x is SAMPLE
        called.append(name)

    interleave({n: partial(model, n) for n in "abc"}, SAMPLE, rounds=3, calls=1)
    # Warm-up of two counted calls and one that is not; then one of each a turn.
    assert "".join(called) == "aaabbbccc" + "aabbcc" + "bbccaa" + "ccaabb"


def test_counts_and_names_are_those_asked_for() -> None:
    timings, ratios = interleave(
        {"fast": lambda x: None, "slow": lambda x: np.linalg.svd(np.ones((50, 50)))},
        SAMPLE,
        rounds=5,
        calls=4,
        reference="slow",
    )
    assert {name: t.runs for name, t in timings.items()} == {"fast": 20, "slow": 20}
    assert all(0 < t.p50_ms <= t.p90_ms <= t.p99_ms for t in timings.values())
    assert (ratios["slow"].p10, ratios["slow"].p50, ratios["slow"].p90) == (1.0, 1.0, 1.0)
    assert ratios["fast"].p10 <= ratios["fast"].p50 <= ratios["fast"].p90
