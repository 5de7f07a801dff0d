"""Every form that a set may have is read, and says what it is."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from squeeze import calib

Save = Callable[..., str]


def digits(n: int, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """n different vectors, and classes 0, 1, 2, ... in turn."""
    return np.arange(n * 3, dtype=np.float32).reshape(n, 3), np.arange(n) % classes


def test_npz_with_x_and_y_is_split_in_three(save: Save) -> None:
    x, y = digits(100)
    found = calib.load(save("d.npz", x=x, y=y))
    assert [len(s) for s in (found.fit, found.calibrate, found.evaluate)] == [70, 10, 20]
    assert (found.name, found.modality, found.metric, found.classes) == ("d", "vector", "top1", 4)
    for split in (found.fit, found.calibrate, found.evaluate):
        # Sample i is [3i, 3i + 1, 3i + 2] of class i % 4: labels stayed with their samples.
        np.testing.assert_array_equal(split.x[:, 0] // 3 % 4, split.y)


@pytest.mark.parametrize(
    "keys",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("X_train", "Y_train", "X_test", "Y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("train_data", "train_targets", "val_data", "val_targets"),
        ("images", "labels", "test_images", "test_labels"),
        ("fit_features", "fit_target", "eval_features", "eval_target"),
    ],
    ids=lambda keys: keys[0] + "-" + keys[2],
)
def test_npz_keeps_its_own_test_arrays_for_evaluation(save: Save, keys: tuple[str, ...]) -> None:
    x, y = digits(200)
    found = calib.load(
        save("d.npz", **dict(zip(keys, (x[:160], y[:160], x[160:], y[160:]), strict=True)))
    )
    np.testing.assert_array_equal(found.evaluate.x, x[160:])
    np.testing.assert_array_equal(found.evaluate.y, y[160:])
    assert (len(found.fit), len(found.calibrate)) == (144, 16)


def test_npz_keeps_its_own_validation_arrays_for_calibration(save: Save) -> None:
    x, y = digits(100)
    path = save(
        "d.npz",
        train_images=x[:60],
        train_labels=y[:60, None],
        val_images=x[60:80],
        val_labels=y[60:80, None],
        test_images=x[80:],
        test_labels=y[80:, None],
    )
    found = calib.load(path)
    np.testing.assert_array_equal(found.fit.x, x[:60])
    np.testing.assert_array_equal(found.calibrate.x, x[60:80])
    np.testing.assert_array_equal(found.evaluate.x, x[80:])
    assert found.fit.y is not None
    assert found.fit.y.shape == (60,)


def test_npz_written_without_names_is_samples_then_labels(tmp_path: Path) -> None:
    x, y = digits(40)
    np.savez(tmp_path / "d.npz", x, y)
    assert calib.load(str(tmp_path / "d.npz")).classes == 4


def test_compressed_npz_is_the_same_set(save: Save, tmp_path: Path) -> None:
    x, y = digits(40)
    np.savez_compressed(tmp_path / "c.npz", x=x, y=y)
    assert calib.load(str(tmp_path / "c.npz")).digest == calib.load(save("d.npz", x=x, y=y)).digest


def test_npy_has_no_labels_and_teacher_agreement_as_metric(save: Save) -> None:
    found = calib.load(save("d.npy", whole=digits(50)[0]))
    assert (found.metric, found.classes) == (None, None)
    assert all(s.y is None for s in (found.fit, found.calibrate, found.evaluate))
    assert len(found.fit) + len(found.calibrate) + len(found.evaluate) == 50


def test_only_the_test_arrays_have_labels(save: Save) -> None:
    x, y = digits(60)
    found = calib.load(save("d.npz", x_train=x[:40], x_test=x[40:], y_test=y[40:]))
    assert found.fit.y is None
    assert found.calibrate.y is None
    assert (found.metric, found.classes) == ("top1", 4)


@pytest.mark.parametrize(
    ("labels", "metric", "kind", "shape"),
    [
        (np.arange(30) % 3, "top1", "i", ()),
        ((np.arange(30) % 3).astype(np.uint8), "top1", "i", ()),
        (np.arange(30) % 2 == 0, "top1", "i", ()),
        (np.eye(3)[np.arange(30) % 3], "top1", "i", ()),
        (np.linspace(0, 1, 30), "mse", "f", ()),
        (np.linspace(0, 1, 30)[:, None], "mse", "f", ()),
        ((np.arange(30) % 3).astype(float), "mse", "f", ()),
        (np.linspace(0, 1, 120).reshape(30, 4), "mse", "f", (4,)),
        (np.stack([np.arange(30) % 2, np.arange(30) % 3 == 0, np.ones(30)], 1), "auc", "f", (3,)),
    ],
    ids=[
        "int",
        "uint8",
        "bool",
        "one-hot",
        "float",
        "column",
        "whole-float",
        "several",
        "multi-hot",
    ],
)
def test_default_metric_follows_the_labels(
    save: Save, labels: np.ndarray, metric: str, kind: str, shape: tuple[int, ...]
) -> None:
    found = calib.load(save("d.npz", x=digits(30)[0], y=labels))
    assert found.metric == metric
    assert found.fit.y is not None
    assert found.fit.y.dtype.kind == kind
    assert found.fit.y.shape[1:] == shape


def test_metric_argument_goes_before_what_labels_suggest(save: Save) -> None:
    path = save("d.npz", x=digits(30)[0], y=np.arange(30))
    found = calib.load(path, metric="mse")
    assert found.metric == "mse"
    assert found.classes is None
    assert found.fit.y is not None
    assert found.fit.y.dtype == np.float32
    assert calib.load(path, metric="my.module:score").metric == "my.module:score"


def test_arrays_that_are_not_used_are_said(save: Save, caplog: pytest.LogCaptureFixture) -> None:
    x, y = digits(30)
    with caplog.at_level(logging.WARNING):
        found = calib.load(save("d.npz", x=x, lables=y))
    assert found.assumed == ("these arrays are not wanted: lables",)
    assert "lables" in caplog.text


@pytest.mark.parametrize(
    ("x", "modality"),
    [
        (np.zeros((9, 5), np.float32), "vector"),
        (np.zeros((9, 5), np.int32), "tokens"),
        (np.zeros((9, 5), np.uint16), "tokens"),
        (np.zeros(9, np.float32), "vector"),
        (np.zeros((9, 8, 6), np.uint8), "image"),
        (np.zeros((9, 8, 6, 3), np.uint8), "image"),
        (np.zeros((9, 1, 8, 6), np.int64), "image"),
        (np.full((9, 8, 6), -3, np.int16), "signal"),
        (np.zeros((9, 3, 8, 6), np.float32), "image"),
        (np.zeros((9, 8, 8), np.float32), "image"),
        (np.zeros((9, 3, 100), np.float32), "signal"),
        (np.zeros((9, 1, 49, 10), np.float32), "spectrogram"),
        (np.zeros((9, 49, 10, 1), np.float32), "spectrogram"),
        (np.zeros((9, 2, 3, 4, 5), np.float32), "vector"),
    ],
    ids=lambda v: v if isinstance(v, str) else f"{v.dtype}-{'x'.join(map(str, v.shape))}",
)
def test_modality_follows_shape_and_type(save: Save, x: np.ndarray, modality: str) -> None:
    assert calib.load(save("d.npy", whole=x)).modality == modality


def test_digest_is_of_type_shape_bytes_and_labels(save: Save) -> None:
    x, y = np.arange(60, dtype=np.uint8).reshape(20, 3), np.arange(20) % 2
    found = calib.load(save("d.npz", x_train=x, y_train=y, x_test=x[:4], y_test=y[:4]))
    sha = hashlib.sha256(b"|u1 (4, 3)" + x[:4].tobytes() + b"<i8 (4,)" + y[:4].tobytes())
    assert found.evaluate.digest == sha.hexdigest()
    changed = x.copy()
    changed[3, 0] += 1
    other = calib.load(save("e.npz", x_train=x, y_train=y, x_test=changed[:4], y_test=y[:4]))
    assert other.evaluate.digest != found.evaluate.digest
    assert other.fit.digest == found.fit.digest
    assert other.digest != found.digest


def test_seed_decides_the_splits(save: Save) -> None:
    x, y = digits(200)
    path = save("d.npz", x=x, y=y)
    assert calib.load(path, seed=3).digest == calib.load(path, seed=3).digest
    assert calib.load(path, seed=3).fit.digest != calib.load(path, seed=4).fit.digest


def test_describe_is_json_with_counts_and_ranges(save: Save) -> None:
    x, y = digits(100)
    found = calib.describe(calib.load(save("d.npz", x=x, y=y)))
    assert json.loads(json.dumps(found)) == found
    assert found["samples"] == {"shape": [3], "dtype": "float32", "min": 0.0, "max": 299.0}
    assert found["splits"]["evaluate"]["classes"] == {"0": 5, "1": 5, "2": 5, "3": 5}
    assert sum(s["samples"] for s in found["splits"].values()) == 100
    plain = calib.describe(calib.load(save("e.npz", x=x, y=np.linspace(0, 1, 100))))
    assert plain["splits"]["fit"]["labels"] == {"shape": [], "dtype": "float32"}
    assert calib.describe(calib.load(save("f.npy", whole=x)))["splits"]["fit"]["labels"] is None


def test_batches_together_are_the_inputs(save: Save) -> None:
    found = calib.load(save("d.npy", whole=digits(50)[0]))
    batches = list(found.batches(found.fit, 8))
    assert [len(b) for b in batches[:-1]] == [8] * (len(batches) - 1)
    np.testing.assert_array_equal(np.concatenate(batches), found.inputs(found.fit))
    np.testing.assert_array_equal(found.inputs(found.fit, 3, 5), found.fit.x[3:5])


def test_inputs_can_be_changed_without_touching_the_set(save: Save) -> None:
    found = calib.load(save("d.npy", whole=digits(50)[0]))
    found.inputs(found.fit)[:] = 0
    assert found.fit.x[1:].all()


def test_where_nothing_is_trained_most_samples_calibrate_unless_the_shares_are_said(
    tmp_path: Path,
) -> None:
    x = np.arange(100, dtype=np.float32)[:, None]
    np.savez(tmp_path / "d.npz", x=x)
    found = calib.load(str(tmp_path / "d.npz"), trained=False)
    sizes = [len(s) for s in (found.fit, found.calibrate, found.evaluate)]
    assert sizes == [1, 79, 20]
    # What judges is the same as where something is trained: two commands report the same samples.
    usual = calib.load(str(tmp_path / "d.npz"))
    assert np.array_equal(np.asarray(found.evaluate.x), np.asarray(usual.evaluate.x))
    (tmp_path / "d.toml").write_text(
        'schema = 1\nname = "d"\ndata = "d.npz"\n[splits]\ncalibrate = 0.3\n'
    )
    said = calib.load(str(tmp_path / "d.toml"), trained=False)
    assert len(said.calibrate) == 30
