"""Inputs of any type, with the batch anywhere or nowhere; labels of models with several outputs."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import pytest

from squeeze import calib
from squeeze.errors import ConfigError
from squeeze.interface import Interface, TensorSpec
from tests.calib.interfaces import taking

Save = Callable[..., str]
RNG = np.random.default_rng(0)


def given(
    save: Save, x: np.ndarray, dtype: str, shape: tuple[int, ...], batch_axis: int | None = 0
) -> np.ndarray:
    """What a model of one input is given for `x`."""
    model = Interface((TensorSpec("in", dtype, shape, batch_axis),), taking(1).outputs)
    data = calib.load(save("d.npz", x_train=x, x_test=x)).fitted(model)
    got = data.inputs(data.evaluate)
    assert got.dtype == dtype
    assert got.shape == (len(x), *shape)
    assert data.fitted(model).preprocesses == data.preprocesses
    return got


@pytest.mark.parametrize(
    ("x", "shape", "batch_axis"),
    [
        (RNG.normal(size=(9, 50, 1, 40)), (50, 40), 1),
        (RNG.normal(size=(9, 50, 40)), (50, 40), 1),
        (RNG.normal(size=(9, 1, 3, 8, 8)), (3, 8, 8), 0),
        (RNG.normal(size=(9, 3, 8, 8)), (3, 8, 8), 0),
        (RNG.normal(size=(9, 1, 40)), (1, 40), 1),
        (RNG.normal(size=(9, 1, 1, 40)), (1, 40), 1),
        (RNG.normal(size=(9, 40)), (40,), None),
        (RNG.normal(size=(9, 2, 3, 4)), (2, 3, 4), None),
        (RNG.normal(size=(9,)), (), 0),
        (RNG.normal(size=(9, 1)), (), 0),
        (RNG.normal(size=(9,)), (), None),
        (RNG.normal(size=(9, 2, 3, 4, 5, 6)), (2, 3, 4, 5, 6), 2),
    ],
    ids=lambda v: str(v.shape) if isinstance(v, np.ndarray) else str(v),
)
def test_samples_may_carry_the_batch_of_one_that_the_model_takes(
    save: Save, x: np.ndarray, shape: tuple[int, ...], batch_axis: int | None
) -> None:
    x = x.astype(np.float32)
    got = given(save, x, "float32", shape, batch_axis)
    np.testing.assert_array_equal(got, x.reshape(len(x), *shape))


def test_batch_of_one_is_dropped_before_channels_are_moved(save: Save) -> None:
    pixels = RNG.integers(0, 256, (9, 1, 8, 6, 3), dtype=np.uint8)
    got = given(save, pixels[:, 0], "float32", (3, 8, 6))
    np.testing.assert_allclose(got, pixels[:, 0].transpose(0, 3, 1, 2) / np.float32(255), rtol=1e-6)
    ids = RNG.integers(0, 200, (9, 1, 12))
    model = Interface((TensorSpec("ids", "int64", (12,)),), taking(1).outputs)
    data = calib.load(save("e.npy", whole=ids)).fitted(model)
    # Stored as [n, 1, t] they look like an image of bytes; for this model they are tokens.
    assert (data.modality, data.assumed) == ("tokens", ())


@pytest.mark.parametrize(
    ("stored", "dtype"),
    [
        ("bool", "bool"),
        ("uint8", "bool"),
        ("bool", "int64"),
        ("bool", "float32"),
        ("uint8", "uint8"),
        ("int8", "int8"),
        ("int16", "int32"),
        ("int64", "int16"),
        ("uint16", "int64"),
        ("int8", "float16"),
        ("int32", "float64"),
        ("float64", "float16"),
        ("float16", "float32"),
        ("float32", "float64"),
        ("float64", "float64"),
    ],
)
@pytest.mark.parametrize("shape", [(5,), (4, 3), (3, 4, 4)], ids=str)
def test_type_of_the_data_becomes_that_of_the_model(
    save: Save, stored: str, dtype: str, shape: tuple[int, ...]
) -> None:
    x = RNG.integers(0, 2, (9, *shape)).astype(stored)
    if stored.startswith("float"):
        x = (x + RNG.random(x.shape)).astype(stored)
    np.testing.assert_array_equal(given(save, x, dtype, shape), x.astype(dtype))


def test_doubles_stay_doubles(save: Save) -> None:
    x = RNG.normal(size=(9, 30)) + 1e-12
    np.testing.assert_array_equal(given(save, x, "float64", (30,)), x)


def test_half_precision_is_rounded_once(save: Save) -> None:
    pixels = RNG.integers(0, 256, (9, 8, 6, 3), dtype=np.uint8)
    by_hand = ((pixels.astype(np.float64) / 255 - 0.45) / 0.225).transpose(0, 3, 1, 2)
    path = save("d.npz", x_train=pixels, x_test=pixels)
    with open(path.replace(".npz", ".toml"), "w") as file:
        file.write(
            'schema = 1\nname = "d"\ndata = "d.npz"\n[preprocess]\nscale = "1/255"\nmean = 0.45\nstd = 0.225'
        )
    data = calib.load(file.name).fitted(taking(3, 8, 6, dtype="float16"))
    got = data.inputs(data.evaluate)
    assert np.abs(got - by_hand.astype(np.float16)).max() <= 2 * np.spacing(np.float16(2.4))


def test_narrow_integers_below_zero_are_samples_not_ids(save: Save) -> None:
    x = RNG.integers(-100, 100, (9, 12)).astype(np.int8)
    np.testing.assert_array_equal(given(save, x, "int8", (12,)), x)


@pytest.mark.parametrize(
    ("x", "dtype", "wanted"),
    [
        (
            np.full((9, 5), 2),
            "bool",
            "values 2..2 do not fit input input bool [n, 5], allowed: 0..1",
        ),
        (
            np.zeros((9, 5), np.float32),
            "bool",
            "data is float32, the model takes input bool [n, 5]",
        ),
        (np.full((9, 5), 1e5, np.float32), "float16", "allowed: -65504..65504; scale them under"),
        (np.full((9, 5), 70_000), "float16", "values 70000..70000 do not fit input"),
        (np.full((9, 5), -1), "uint8", "allowed: 0..255"),
    ],
    ids=["two", "floats", "half", "half-integers", "below"],
)
def test_values_that_the_type_cannot_hold_are_refused(
    save: Save, x: np.ndarray, dtype: str, wanted: str
) -> None:
    with pytest.raises(ConfigError) as e:
        calib.load(save("d.npy", whole=x)).fitted(taking(5, dtype=dtype))
    assert wanted in str(e.value)
    assert len(str(e.value).splitlines()) == 1


def giving(*outputs: TensorSpec) -> Interface:
    return Interface(taking(5).inputs, outputs)


DIFFERENT = np.arange(200, dtype=np.float32).reshape(40, 5)
BOXES, SCORES = TensorSpec("boxes", "float32", (4, 9)), TensorSpec("scores", "float32", (7,))


def test_labels_of_several_outputs_belong_to_the_first_that_fits_and_that_is_said(
    save: Save, caplog: pytest.LogCaptureFixture
) -> None:
    raw = calib.load(save("d.npz", x=DIFFERENT, y=np.arange(40) % 6))
    with caplog.at_level(logging.WARNING):
        data = raw.fitted(giving(BOXES, SCORES))
    assert (data.output, data.classes) == ("scores", 7)
    said = "metric top1 of output 'scores', the first that the labels fit"
    assert data.assumed == (said,)
    assert said in caplog.text
    with pytest.raises(
        ConfigError, match=r"d.npz: labels int64 .* fit none of the outputs boxes .*METRIC@OUTPUT"
    ):
        raw.fitted(giving(BOXES, BOXES))


def test_output_that_is_named_is_checked_against_labels(save: Save) -> None:
    path = save("d.npz", x=DIFFERENT, y=np.arange(40) % 8)
    other = TensorSpec("more", "float32", (8,))
    named = calib.load(path, metric="top1@more").fitted(giving(SCORES, other))
    assert (named.metric, named.output, named.classes, named.assumed) == ("top1", "more", 8, ())
    with pytest.raises(ConfigError, match=r"labels go up to 7 .*allowed: 0..6"):
        calib.load(path, metric="top1@scores").fitted(giving(SCORES, other))
    with pytest.raises(ConfigError, match=r"unknown 'score'. Did you mean 'scores'"):
        calib.load(path, metric="top1@score").fitted(giving(SCORES, other))


def test_without_labels_no_output_is_chosen(save: Save) -> None:
    raw = calib.load(save("d.npy", whole=DIFFERENT))
    data = raw.fitted(giving(BOXES, SCORES))
    assert (data.metric, data.output, data.classes, data.assumed) == (None, None, None, ())


def test_agreement_needs_no_output_that_fits_labels(save: Save) -> None:
    path = save("d.npz", x=DIFFERENT, y=np.arange(40))
    data = calib.load(path, metric="agreement").fitted(giving(BOXES, SCORES))
    assert (data.metric, data.output) == ("agreement", None)
