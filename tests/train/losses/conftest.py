"""The pair of logits that the tests of losses share."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.train.losses.reference import CLASSES, SAMPLES, Pair


@pytest.fixture
def pair() -> Pair:
    random = np.random.default_rng(0)
    student, teacher = (
        torch.from_numpy(2 * random.normal(size=(SAMPLES, CLASSES))) for _ in range(2)
    )
    return Pair(student, teacher, torch.from_numpy(random.integers(0, CLASSES, SAMPLES)))
