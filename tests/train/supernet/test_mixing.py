"""Texts made of texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from squeeze import calib
from squeeze.train.supernet.mixing import mixed, with_mixed
from tests.students.test_encoder import PARAMS

BEGIN, END, LENGTH = 1, 2, 12
FIRST = np.array([BEGIN, 11, 12, 13, 14, END])
SECOND = np.array([BEGIN, 21, 22, 23, END])


def corpus(folder: Path, count: int = 90) -> calib.Calib:
    random = np.random.default_rng(0)
    lengths = random.integers(3, LENGTH + 1, count)
    mask = (np.arange(LENGTH) < lengths[:, None]).astype(np.int64)
    ids = random.integers(3, PARAMS.vocabulary, mask.shape) * mask
    ids[:, 0] = BEGIN
    ids[np.arange(count), lengths - 1] = END
    np.savez(folder / "texts.npz", ids=ids, mask=mask)
    return calib.load(str(folder / "texts.npz"), inputs=["ids", "mask"])


@pytest.mark.parametrize("seed", range(20))
def test_dropped_tokens_are_missing_and_the_ends_stay(seed: int) -> None:
    found = mixed(0, FIRST, SECOND, np.random.default_rng(seed))
    assert (found[0], found[-1]) == (BEGIN, END)
    rest = iter(FIRST.tolist())
    assert all(token in rest for token in found.tolist())  # in their order


@pytest.mark.parametrize("seed", range(20))
def test_one_text_goes_on_as_the_other(seed: int) -> None:
    found = mixed(1, FIRST, SECOND, np.random.default_rng(seed)).tolist()
    assert (found[0], found[-1]) == (BEGIN, END)
    of_first = [token for token in found[:-1] if token in FIRST]
    of_second = [token for token in found[1:] if token in SECOND]
    assert found == of_first + of_second
    assert of_first == FIRST[: len(of_first)].tolist()
    assert of_second == SECOND[len(SECOND) - len(of_second) :].tolist()


def test_two_texts_are_one() -> None:
    found = mixed(2, FIRST, SECOND, np.random.default_rng(0))
    assert found.tolist() == [BEGIN, 11, 12, 13, 14, 21, 22, 23, END]


def test_made_texts_train_and_nothing_else(tmp_path: Path) -> None:
    data = corpus(tmp_path)
    found = with_mixed(data, PARAMS, 1.5, seed=3)
    before, count = len(data.fit), round(1.5 * len(data.fit))
    assert len(found.fit) == before + count
    assert found.calibrate is data.calibrate
    assert found.digest != data.digest
    ids, mask = (np.asarray(found.fit.arrays[name][before:]) for name in ("ids", "mask"))
    lengths = mask.sum(axis=1)
    assert (mask == (np.arange(LENGTH) < lengths[:, None])).all()
    assert ((ids != 0) == (mask == 1)).all()
    assert (ids[:, 0] == BEGIN).all()
    assert (ids[np.arange(count), lengths - 1] == END).all()
    again = with_mixed(data, PARAMS, 1.5, seed=3)
    np.testing.assert_array_equal(again.fit.arrays["ids"], found.fit.arrays["ids"])


def test_none_are_made_unless_asked_for(tmp_path: Path) -> None:
    data = corpus(tmp_path)
    assert with_mixed(data, PARAMS, 0.0, seed=3) is data
    assert with_mixed(data, PARAMS.model_copy(update={"mask": None}), 1.0, seed=3) is data
