"""A set and a model agree, with every assumption said; or the error names both shapes and the way out."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import pytest

from squeeze import calib
from squeeze.calib import Calib, Preprocess
from squeeze.errors import ConfigError
from squeeze.interface import Interface
from tests.calib.interfaces import taking

Save = Callable[..., str]
RNG = np.random.default_rng(0)


def stored(save: Save, x: np.ndarray, y: np.ndarray | None = None) -> Calib:
    return calib.load(save("d.npz", x=x) if y is None else save("d.npz", x=x, y=y))


def pixels(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(
    ("x", "model", "layout", "by_hand"),
    [
        (pixels(9, 8, 6, 3), (3, 8, 6), "NHWC->NCHW", lambda x: x.transpose(0, 3, 1, 2)),
        (pixels(9, 3, 8, 6), (3, 8, 6), "NCHW->NCHW", lambda x: x),
        (pixels(9, 3, 8, 6), (8, 6, 3), "NCHW->NHWC", lambda x: x.transpose(0, 2, 3, 1)),
        (pixels(9, 8, 6, 3), (8, 6, 3), "NHWC->NHWC", lambda x: x),
        (pixels(9, 8, 6), (1, 8, 6), "NHW->NCHW", lambda x: x[:, None]),
        (pixels(9, 8, 6), (8, 6, 1), "NHW->NHWC", lambda x: x[..., None]),
        (pixels(9, 8, 6), (8, 6), "NHW->NHW", lambda x: x),
        (pixels(9, 8, 6, 1), (1, 8, 6), "NHWC->NCHW", lambda x: x[..., 0][:, None]),
        (pixels(9, 8, 6, 1), (8, 6), "NHWC->NHW", lambda x: x[..., 0]),
        (pixels(9, 8, 6), (48,), "flatten", lambda x: x.reshape(9, 48)),
        (pixels(9, 48), (48,), "NT->NT", lambda x: x),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_pixels_become_what_the_model_takes(
    save: Save,
    x: np.ndarray,
    model: tuple[int, ...],
    layout: str,
    by_hand: Callable[[np.ndarray], np.ndarray],
) -> None:
    raw = stored(save, x)
    fitted = raw.fitted(taking(*model, outputs=10))
    assert (fitted.preprocess.layout, fitted.preprocess.dtype) == (layout, "float32")
    got = fitted.inputs(fitted.fit)
    assert got.shape == (len(fitted.fit), *model)
    wanted = by_hand(np.concatenate([raw.fit.x, raw.calibrate.x, raw.evaluate.x]))[: len(got)]
    np.testing.assert_allclose(got, wanted / np.float32(255), rtol=1e-6)


def test_assumed_scale_is_warned_of_and_kept(save: Save, caplog: pytest.LogCaptureFixture) -> None:
    raw = stored(save, pixels(30, 8, 6, 3))
    assert raw.assumed == ()
    with caplog.at_level(logging.WARNING):
        fitted = raw.fitted(taking(3, 8, 6, outputs=10))
    assert len(fitted.assumed) == 1
    assert (
        "scale 1/255, mean 0, std 1: uint8 values 0..255 for input input float32 [n, 3, 8, 6]"
        in fitted.assumed[0]
    )
    assert "scale 1/255" in caplog.text


@pytest.mark.parametrize(
    ("x", "scale"),
    [
        (RNG.normal(size=(9, 8, 6, 3)).astype(np.float32) * 99, 1.0),
        (pixels(9, 8, 6, 3) % 2, 1.0),
        (pixels(9, 8, 6, 3).astype(np.int64), 1 / 255),
        (pixels(9, 8, 6, 3).astype(np.uint16) * 200, 1.0),
        (RNG.integers(0, 200, (9, 5)), 1.0),
    ],
    ids=["float", "mask", "int64-pixels", "uint16", "int64-features"],
)
def test_scale_is_assumed_for_bytes_only(save: Save, x: np.ndarray, scale: float) -> None:
    model = (3, 8, 6) if x.ndim == 4 else (5,)
    fitted = stored(save, x).fitted(taking(*model, outputs=10))
    assert fitted.preprocess.scale == scale
    assert bool(fitted.assumed) == (scale != 1.0)


def test_token_ids_get_the_type_of_the_model(save: Save) -> None:
    ids = RNG.integers(0, 30000, (20, 12)).astype(np.uint16)
    fitted = stored(save, ids).fitted(taking(12, dtype="int64", outputs=4))
    assert fitted.modality == "tokens"
    got = fitted.inputs(fitted.fit)
    assert got.dtype == np.int64
    np.testing.assert_array_equal(got, fitted.fit.x)
    assert (
        stored(save, ids).fitted(taking(12, dtype="int32", outputs=4)).inputs(fitted.fit).dtype
        == np.int32
    )


def test_model_with_byte_input_takes_the_pixels_as_they_are(save: Save) -> None:
    fitted = stored(save, pixels(20, 8, 6, 3)).fitted(taking(8, 6, 3, dtype="uint8", outputs=4))
    got = fitted.inputs(fitted.fit)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, fitted.fit.x)
    assert fitted.assumed == ()


@pytest.mark.parametrize(
    ("x", "model", "dtype", "modality"),
    [
        (np.zeros((9, 12), np.int64), (12,), "float32", "vector"),
        (np.zeros((9, 12), np.int16), (1, 12), "float32", "signal"),
        (np.zeros((9, 12), np.int64), (12,), "int64", "tokens"),
        (np.zeros((9, 12), np.float32), (12,), "float32", "vector"),
        (np.zeros((9, 120), np.float32), (1, 120), "float32", "signal"),
        (np.zeros((9, 49, 10), np.float32), (1, 49, 10), "float32", "spectrogram"),
        (np.zeros((9, 49, 10), np.float32), (49, 10, 1), "float32", "spectrogram"),
        (np.zeros((9, 49, 10), np.float32), (49, 10), "float32", "signal"),
        (np.zeros((9, 3, 10), np.float32), (3, 10), "float32", "signal"),
        (np.zeros((9, 8, 8), np.float32), (1, 8, 8), "float32", "image"),
        (np.zeros((9, 8, 8), np.float32), (64,), "float32", "vector"),
        (np.zeros((9, 1, 49, 10), np.float32), (490,), "float32", "vector"),
        (np.zeros((9, 12), np.float32), (12, 1, 1), "float32", "vector"),
    ],
    ids=lambda v: str(v) if not isinstance(v, np.ndarray) else str(v.shape[1:]),
)
def test_modality_is_what_the_model_makes_of_it(
    save: Save, x: np.ndarray, model: tuple[int, ...], dtype: str, modality: str
) -> None:
    fitted = stored(save, x).fitted(taking(*model, dtype=dtype, outputs=0))
    assert fitted.modality == modality
    assert fitted.inputs(fitted.fit, 0, 2).shape == (2, *model)


def test_float_images_keep_their_values(save: Save) -> None:
    x = RNG.normal(size=(9, 8, 6, 3)).astype(np.float64)
    fitted = stored(save, x).fitted(taking(3, 8, 6, outputs=10))
    np.testing.assert_array_equal(
        fitted.inputs(fitted.evaluate), fitted.evaluate.x.transpose(0, 3, 1, 2).astype(np.float32)
    )


def test_fitting_twice_changes_nothing(save: Save) -> None:
    once = stored(save, pixels(20, 8, 6, 3), np.arange(20) % 3).fitted(taking(3, 8, 6, outputs=3))
    twice = once.fitted(taking(3, 8, 6, outputs=3))
    assert twice.preprocess == once.preprocess
    assert twice.assumed == once.assumed


def test_size_that_the_model_leaves_open_takes_any(save: Save) -> None:
    fitted = stored(save, np.zeros((9, 12), np.int64)).fitted(taking(-1, dtype="int64", outputs=4))
    assert fitted.inputs(fitted.fit, 0, 1).shape == (1, 12)


@pytest.mark.parametrize(
    ("x", "model", "wanted"),
    [
        (
            np.zeros((9, 10, 49), np.float32),
            taking(49, 10),
            'samples float32 [10, 49] do not fit the model\'s input input float32 [n, 49, 10]; layout = "NCT->NTC"',
        ),
        (np.zeros((9, 8, 6, 3), np.uint8), taking(3, 6, 8), 'layout = "NHWC->NCWH"'),
        (np.zeros((9, 8, 6, 3), np.uint8), taking(144), 'layout = "flatten"'),
        (np.zeros((9, 8, 6, 3), np.uint8), taking(1, 8, 6), "store the data in that shape"),
        (np.zeros((9, 5), np.float32), taking(6), "samples float32 [5] do not fit"),
        (
            np.zeros((9, 5), np.float32),
            taking(5, dtype="int64"),
            "data is float32, the model takes",
        ),
        (np.zeros((9, 5), np.int64) - 1, taking(5, dtype="int64"), "token ids go down to -1"),
        (np.zeros((9, 5), np.int64) + 2**40, taking(5, dtype="int32"), "do not fit input"),
        (np.zeros((9, 5), np.int64) + 300, taking(5, dtype="uint8"), "allowed: 0..255"),
    ],
    ids=[
        "transposed",
        "rotated",
        "flat",
        "grey",
        "length",
        "float-ids",
        "negative",
        "int32",
        "uint8",
    ],
)
def test_model_is_refused_when_data_does_not_fit(
    save: Save, x: np.ndarray, model: Interface, wanted: str
) -> None:
    raw = stored(save, x)
    with pytest.raises(ConfigError) as e:
        raw.fitted(model)
    assert wanted in str(e.value)
    assert str(e.value).startswith(raw.source)
    assert len(str(e.value).splitlines()) == 1


def test_suggested_layout_is_one_that_works(save: Save) -> None:
    raw = stored(save, RNG.normal(size=(9, 10, 49)).astype(np.float32))
    from dataclasses import replace

    fitted = replace(raw, preprocesses={"x": Preprocess(layout="NCT->NTC")}).fitted(
        taking(49, 10, outputs=0)
    )
    np.testing.assert_array_equal(fitted.inputs(fitted.fit), fitted.fit.x.swapaxes(1, 2))


def test_mean_for_other_channels_is_refused(save: Save) -> None:
    from dataclasses import replace

    raw = replace(
        stored(save, pixels(9, 8, 6)), preprocesses={"x": Preprocess(mean=(0.1, 0.2, 0.3))}
    )
    with pytest.raises(
        ConfigError, match=r"got 3 values, allowed: 1 or one for each channel of input"
    ):
        raw.fitted(taking(1, 8, 6, outputs=10))


@pytest.mark.parametrize(
    ("y", "metric", "outputs", "wanted"),
    [
        (np.arange(40) % 11, None, 10, r"labels go up to 10 .*allowed: 0\.\.9"),
        (np.arange(40) % 10 + 1, None, 10, r"do they begin at 1\? Subtract 1"),
        (np.arange(40), None, 1, "for a number to predict, metric 'mse'"),
        (np.linspace(0, 1, 40), None, 10, "one number per sample, the model has 10 outputs"),
        (
            np.linspace(0, 1, 120).reshape(40, 3),
            "cosine",
            10,
            r"\[3\] per sample, the model has 10",
        ),
    ],
    ids=["range", "from-one", "regression", "mse", "cosine"],
)
def test_labels_of_another_model_are_refused(
    save: Save, y: np.ndarray, metric: str | None, outputs: int, wanted: str
) -> None:
    raw = calib.load(save("d.npz", x=np.zeros((40, 5), np.float32), y=y), metric=metric)
    with pytest.raises(ConfigError, match=wanted):
        raw.fitted(taking(5, outputs=outputs))


def test_label_beyond_the_classes_is_told_with_its_index_in_the_array(save: Save) -> None:
    x, y, more = np.zeros((200, 5), np.float32), np.arange(200) % 10, np.arange(40) % 10
    bad, worse = y.copy(), more.copy()
    bad[5], worse[7] = 17, 18
    for given, array, said in (
        ({"x": x, "y": bad}, "'y'", "up to 17 (index 5), allowed: 0..9"),
        (
            {"x_train": x, "y_train": bad, "x_test": x[:40], "y_test": more},
            "'y_train'",
            "up to 17 (index 5),",
        ),
        (
            {"x_train": x, "y_train": bad, "x_test": x[:40], "y_test": worse},
            "'y_test'",
            "up to 18 (index 7),",
        ),
    ):
        with pytest.raises(ConfigError) as e:
            calib.load(save("d.npz", **given)).fitted(taking(5, outputs=10))
        assert f"{array}: labels go {said}" in str(e.value)


@pytest.mark.parametrize(
    ("y", "outputs", "classes"),
    [
        (np.arange(40) % 10, 10, 10),
        (np.arange(40) % 7, 10, 10),
        (np.arange(40) % 2, 1, 2),
        (np.arange(40) % 7, 0, 7),
        (np.linspace(0, 1, 40), 1, None),
        (None, 10, None),
    ],
    ids=["all", "some", "binary", "no-vector", "numbers", "none"],
)
def test_classes_are_those_of_the_model(
    save: Save, y: np.ndarray | None, outputs: int, classes: int | None
) -> None:
    assert (
        stored(save, np.zeros((40, 5), np.float32), y).fitted(taking(5, outputs=outputs)).classes
        == classes
    )


@pytest.mark.parametrize(
    ("x", "shape", "dtype"),
    [
        (pixels(9, 8, 6, 3), (3, 8, 6), "float32"),
        (pixels(9, 8, 6), (1, 8, 6), "float32"),
        (np.zeros((9, 3, 8, 6), np.float32), (3, 8, 6), "float32"),
        (np.zeros((9, 12), np.uint16), (12,), "int64"),
        (np.zeros((9, 12), np.float64), (12,), "float32"),
        (np.zeros((9, 49, 10), np.float32), (49, 10), "float32"),
    ],
    ids=lambda v: str(v) if not isinstance(v, np.ndarray) else str(v.shape[1:]),
)
def test_inputs_before_a_model_is_known_are_the_usual_ones(
    save: Save, x: np.ndarray, shape: tuple[int, ...], dtype: str
) -> None:
    raw = stored(save, x)
    got = raw.inputs(raw.fit, 0, 2)
    assert got.shape == (2, *shape)
    assert got.dtype == dtype
    assert got.max() <= 1


def test_sample_is_balanced_over_classes_and_stays_for_a_seed(save: Save) -> None:
    y = np.array([0] * 400 + [1] * 40 + [2] * 40)
    raw = stored(save, np.zeros((480, 5), np.float32), y)
    assert raw.fit.y is not None
    chosen = raw.sample(raw.fit, 30, seed=5)
    assert np.bincount(raw.fit.y[chosen]).tolist() == [10, 10, 10]
    np.testing.assert_array_equal(chosen, raw.sample(raw.fit, 30, seed=5))
    assert chosen.tolist() != raw.sample(raw.fit, 30, seed=6).tolist()
    assert sorted(raw.sample(raw.fit, 10**6)) == list(range(len(raw.fit)))


def test_sample_is_random_without_labels(save: Save) -> None:
    raw = stored(save, np.zeros((100, 5), np.float32))
    chosen = raw.sample(raw.fit, 20)
    assert len(set(chosen.tolist())) == 20
    assert chosen.tolist() != sorted(chosen.tolist())
