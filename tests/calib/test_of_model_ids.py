"""Ids and lengths of stored arrays that a model's tables do not have are told before anything runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from squeeze import calib
from squeeze.calib.lookups import Lookups
from squeeze.calib.of_model import OfModel
from squeeze.errors import ConfigError

IDS = np.arange(40 * 6).reshape(40, 6) % 50


def loaded(folder: Path, ids: np.ndarray) -> calib.Calib:
    np.savez(folder / "d.npz", ids=ids, mask=np.ones_like(ids))
    model = OfModel(lookups=Lookups({"ids": 50}, {"ids": 512}))
    return calib.load(str(folder / "d.npz"), inputs=["ids", "mask"], of_model=model)


def test_ids_of_the_table_are_taken(tmp_path: Path) -> None:
    assert len(loaded(tmp_path, IDS).fit)


@pytest.mark.parametrize("beyond", [50, 7000, -51])
def test_id_beyond_the_table_is_named(tmp_path: Path, beyond: int) -> None:
    ids = IDS.copy()
    ids[7, 3] = beyond
    message = rf"d.npz: input 'ids' has the id {beyond}, the model's table ends at 49"
    with pytest.raises(ConfigError, match=message):
        loaded(tmp_path, ids)


def test_arrays_longer_than_the_table_of_positions_are_told(tmp_path: Path) -> None:
    ids = np.arange(40 * 513).reshape(40, 513) % 50
    assert len(loaded(tmp_path, ids[:, :512]).fit)
    message = (
        "input 'ids' have 513 tokens, the model's table of positions ends at 512; cut them to 512"
    )
    with pytest.raises(ConfigError, match=message):
        loaded(tmp_path, ids)
