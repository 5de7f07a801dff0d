"""Errors of tokens: the worst feature counts, and no token stands for all."""

from __future__ import annotations

import numpy as np

from squeeze.metrics import METRICS, unlabelled_metric
from squeeze.metrics.fields import fields_axis
from squeeze.metrics.infer import unlabelled_metrics
from squeeze.metrics.kinds import kind_of

N, TOKENS, FEATURES = 40, 5, 12


def states() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(N, TOKENS, FEATURES)).astype(np.float32)


def test_worst_feature_by_hand() -> None:
    wanted = states()
    got = wanted.copy()
    got[..., 3] += 0.3  # of a feature
    got[:, 0] += 0.01  # of the first token
    found = METRICS["feature_error"].fn(got, wanted)
    away = (got - wanted)[..., 3].astype(np.float64)
    mean = wanted.mean(axis=0, dtype=np.float64)
    spread = (wanted - mean)[..., 3]
    np.testing.assert_allclose(found, 100 * np.mean(away**2) / np.mean(spread**2), rtol=1e-5)
    assert METRICS["feature_error"].fn(wanted, wanted) == 0


def test_first_token_does_not_stand_for_all() -> None:
    wanted = states()
    wanted[:, 0] = wanted[:1, 0] + 0.01 * wanted[:, 0]  # hardly differs between texts
    got = wanted.copy()
    got[:, 0] += 0.1
    assert METRICS["channel_error"].fn(got, wanted) > 10
    assert METRICS["feature_error"].fn(got, wanted) < 1


def test_rows_of_tokens_are_told_by_the_input() -> None:
    wanted = states()
    assert kind_of(wanted, "last_hidden_state", [(TOKENS,)]) == "features"
    assert unlabelled_metrics(wanted, "last_hidden_state", [(TOKENS,), (TOKENS,)]) == (
        "feature_error",
    )
    assert kind_of(wanted, "last_hidden_state", [(TOKENS + 1,)]) == "values"
    assert unlabelled_metric(wanted) == "channel_error"
    assert fields_axis(wanted, [(TOKENS,)]) == 2
    assert fields_axis(wanted) == 1
