"""Groups of samples in a calibration set, for metrics that ask for them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from squeeze import calib, measure, metrics
from squeeze.errors import ConfigError
from squeeze.interface import Interface, TensorSpec

X = np.arange(80, dtype=np.float32).reshape(40, 2)
GROUPS = np.arange(40) // 4
LABELS = np.arange(40) % 2


def test_groups_go_with_their_samples_into_every_split(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=X, y=LABELS, groups=GROUPS)
    data = calib.load(str(tmp_path / "d.npz"))
    for split in data.splits.values():
        assert list(split.arrays) == ["x"]
        assert split.groups is not None
        np.testing.assert_array_equal(split.groups, np.asarray(split.x[:])[:, 0] // 8)
    np.savez(tmp_path / "d.npz", x=X, y=LABELS, groups=GROUPS[::-1])
    assert calib.load(str(tmp_path / "d.npz")).digest != data.digest


def test_groups_of_a_split_with_its_own_arrays_are_named_after_it(tmp_path: Path) -> None:
    arrays = {"x_train": X[:30], "x_test": X[30:], "groups_train": GROUPS[:30]}
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(ConfigError, match="none of the samples to evaluate"):
        calib.load(str(tmp_path / "d.npz"))
    np.savez(tmp_path / "d.npz", **arrays, groups_test=GROUPS[30:])
    found = calib.load(str(tmp_path / "d.npz")).evaluate.groups
    np.testing.assert_array_equal(found, GROUPS[30:])


@pytest.mark.parametrize(
    "groups", [GROUPS[:9], GROUPS / 2, GROUPS.reshape(20, 2)], ids=["few", "floats", "rows"]
)
def test_groups_are_a_whole_number_for_each_sample(tmp_path: Path, groups: np.ndarray) -> None:
    np.savez(tmp_path / "d.npz", x=X, groups=groups)
    with pytest.raises(
        ConfigError, match=r"array 'groups': .* a whole number for each of 40 samples"
    ):
        calib.load(str(tmp_path / "d.npz"))


def test_input_may_be_called_groups(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=X, groups=GROUPS)
    data = calib.load(str(tmp_path / "d.npz"), inputs=("x", "groups"))
    assert list(data.fit.arrays) == ["x", "groups"]
    assert data.fit.groups is None


def test_metric_of_the_users_gets_the_groups_of_the_evaluate_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_groups.py").write_text(
        "def first(outputs, labels, groups, inputs): return float(groups[0] + inputs['x'][0, 1])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    np.savez(
        tmp_path / "d.npz",
        x=X[:30],
        y=LABELS[:30],
        groups=GROUPS[:30],
        x_test=X[30:],
        y_test=LABELS[30:],
        groups_test=GROUPS[30:],
    )
    spec = TensorSpec("x", "float32", (2,))
    data = calib.load(str(tmp_path / "d.npz")).fitted(
        Interface((spec,), (TensorSpec("y", "float32", (2,)),))
    )
    reading = (metrics.Reading("y", "own_groups:first"),)
    beside = measure.beside(data, data.evaluate)
    (found,) = metrics.scores(reading, {"y": X[30:]}, data.evaluate.y, None, beside)
    # Sample 30 is of group 7 and has 60, 61.
    assert found.value == 68
    sys.modules.pop("own_groups")


def test_samples_of_one_group_come_into_one_split(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=X, y=LABELS, groups=GROUPS)
    data = calib.load(str(tmp_path / "d.npz"))
    seen = [set(s.groups.tolist()) for s in data.splits.values() if s.groups is not None]
    assert [len(groups) for groups in seen] == [7, 1, 2]  # of ten: 10 % and 20 % are set aside
    assert len(set.union(*seen)) == 10
    assert any("samples of one group stay in one split: 10 groups" in text for text in data.assumed)
    again = calib.load(str(tmp_path / "d.npz"))
    assert again.digest == data.digest
    described = calib.describe(data)["splits"]
    assert [one["groups"] for one in described.values()] == [7, 1, 2]


def test_few_groups_are_kinds_of_which_each_split_has_some(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=X, y=LABELS, groups=np.arange(40) % 2)
    data = calib.load(str(tmp_path / "d.npz"))
    assert set((data.evaluate.groups if data.evaluate.groups is not None else X).tolist()) == {0, 1}
    assert any("keep_groups = true" in text for text in data.assumed)


def test_a_toml_names_groups_and_says_whether_they_are_kept(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=X, y=LABELS, speaker=np.arange(40) // 10)
    text = (
        'schema = 1\nname = "d"\ndata = "d.npz"\n[arrays]\nx = "x"\ny = "y"\ngroups = "speaker"\n'
    )
    (tmp_path / "d.toml").write_text(text + "[splits]\nkeep_groups = true\n")
    data = calib.load(str(tmp_path / "d.toml"))
    assert not data.assumed
    for split in data.splits.values():
        assert split.groups is not None
        np.testing.assert_array_equal(split.groups, np.asarray(split.x[:])[:, 0] // 20)
        assert len(split) % 10 == 0
    (tmp_path / "d.toml").write_text(text + "[splits]\nkeep_groups = false\n")
    scattered = calib.load(str(tmp_path / "d.toml"))
    assert len(scattered.evaluate) == 8
    (tmp_path / "d.toml").write_text(text.replace('"speaker"', '"speakers"'))
    with pytest.raises(ConfigError, match=r"arrays\.groups: array: unknown 'speakers'.*'speaker'"):
        calib.load(str(tmp_path / "d.toml"))


def test_fewer_groups_than_splits_cannot_be_kept(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=X, groups=np.arange(40) % 2)
    (tmp_path / "d.toml").write_text(
        'schema = 1\nname = "d"\ndata = "d.npz"\n[splits]\nkeep_groups = true\n'
    )
    with pytest.raises(ConfigError, match=r"2 groups, at least 3 are needed.*keep_groups = false"):
        calib.load(str(tmp_path / "d.toml"))
