from __future__ import annotations

import numpy as np
import pytest

from squeeze.metrics import resolve, score

S = np.array([[1.0, -1, 1, -1]])
NOISE = np.array([[1.0, 1, -1, -1]])  # at a right angle to S


def test_si_sdr_is_signal_over_distortion_in_db_whatever_the_scale() -> None:
    # Amplitude 0.1 of the signal's: 20 dB; 0.01: 40 dB.
    assert score("si_sdr", S + 0.1 * NOISE, S) == pytest.approx(20)
    assert score("si_sdr", 7 * (S + 0.1 * NOISE) + 3, S) == pytest.approx(20)
    two = np.concatenate([S + 0.1 * NOISE, S + 0.01 * NOISE])
    assert score("si_sdr", two[:, None], np.concatenate([S, S])[:, None]) == pytest.approx(30)


def test_silence_is_left_out_and_silence_for_sound_is_worst() -> None:
    assert score("si_sdr", S, S) == 100
    silent = np.zeros_like(S)
    assert score("si_sdr", silent, silent) == 100
    both, first = np.concatenate([S, silent]), np.concatenate([S + 0.1 * NOISE, silent])
    assert score("si_sdr", first, both) == pytest.approx(20)
    assert score("si_sdr", silent, S) == -100
    assert score("si_sdr", S, silent) == -100


def test_drop_is_the_share_of_distortion_in_points() -> None:
    metric = resolve("si_sdr")
    assert metric.drop(100.0, 20.0) == pytest.approx(1)
    assert metric.drop(15.0, 14.0) == pytest.approx(100 * (10**-1.4 - 10**-1.5))
    assert metric.describe(20.0) == "20.00 dB SI-SDR"
