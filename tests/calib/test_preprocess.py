"""Stored samples become the model's input: every number compared with NumPy written out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze.calib.preprocess import Preprocess
from squeeze.errors import ConfigError
from squeeze.spec import parse

RNG = np.random.default_rng(0)


def test_image_is_moved_scaled_and_normalised_by_channel() -> None:
    x = RNG.integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    got = Preprocess(layout="NHWC->NCHW", scale=1 / 255, mean=mean, std=std).apply(x)
    assert got.dtype == np.float32
    assert got.flags.c_contiguous
    assert got.shape == (5, 3, 4, 6)
    for c in range(3):
        by_hand = (x[..., c] / 255 - mean[c]) / std[c]
        np.testing.assert_allclose(got[:, c], by_hand, rtol=1e-5, atol=1e-6)


def test_one_pixel_worked_out_by_hand() -> None:
    # (51 / 255 - 0.1) / 0.5 = (0.2 - 0.1) / 0.5 = 0.2
    x = np.full((1, 1, 1), 51, np.uint8)
    got = Preprocess(layout="NHW->NCHW", scale=1 / 255, mean=(0.1,), std=(0.5,)).apply(x)
    assert got.shape == (1, 1, 1, 1)
    assert got.item() == pytest.approx(0.2, abs=1e-6)


@pytest.mark.parametrize(
    ("layout", "shape", "by_hand"),
    [
        ("NHWC->NCHW", (2, 4, 6, 3), lambda x: x.transpose(0, 3, 1, 2)),
        ("NCHW->NHWC", (2, 3, 4, 6), lambda x: x.transpose(0, 2, 3, 1)),
        ("NHW->NCHW", (2, 4, 6), lambda x: x[:, None]),
        ("NHW->NHWC", (2, 4, 6), lambda x: x[..., None]),
        ("NCHW->NHW", (2, 1, 4, 6), lambda x: x[:, 0]),
        ("NHWC->NHW", (2, 4, 6, 1), lambda x: x[..., 0]),
        ("NTC->NCT", (2, 7, 3), lambda x: x.swapaxes(1, 2)),
        ("NTF->NCFT", (2, 7, 3), lambda x: x.swapaxes(1, 2)[:, None]),
        ("NCTF->NFAT", (2, 1, 7, 3), lambda x: x[:, 0].swapaxes(1, 2)[:, :, None]),
        ("flatten", (2, 4, 6, 3), lambda x: x.reshape(2, 72)),
        ("as-is", (2, 4, 6), lambda x: x),
        ("auto", (2, 4, 6), lambda x: x),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_layout_moves_axes_as_numpy_does(layout: str, shape: tuple[int, ...], by_hand) -> None:  # type: ignore[no-untyped-def]
    x = RNG.normal(size=shape).astype(np.float32)
    got = Preprocess(layout=layout).apply(x)
    np.testing.assert_array_equal(got, by_hand(x))
    assert got.flags.c_contiguous
    assert not np.shares_memory(got, x)


def test_mean_goes_along_the_last_axis_where_the_channels_are_there() -> None:
    x = np.ones((2, 4, 6, 3), np.float32)
    got = Preprocess(layout="NCHW->NHWC", mean=(1.0, 2.0, 3.0)).apply(x.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(got[0, 0, 0], [0, -1, -2])
    np.testing.assert_array_equal(Preprocess(mean=(1.0, 2.0, 3.0)).apply(x)[0, 0, 0], [0, -1, -2])


def test_features_of_a_vector_are_its_channels() -> None:
    x = np.array([[1, 10], [3, 30]], np.float64)
    got = Preprocess(layout="as-is", mean=(1.0, 10.0), std=(2.0, 20.0)).apply(x)
    np.testing.assert_array_equal(got, np.array([[0, 0], [1, 1]], np.float32))


def test_token_ids_stay_integers() -> None:
    ids = np.array([[0, 7, 65535]], np.uint16)
    assert Preprocess().apply(ids).dtype == np.uint16
    got = Preprocess(dtype="int64").apply(ids)
    assert got.dtype == np.int64
    assert got.tolist() == [[0, 7, 65535]]


@pytest.mark.parametrize("dtype", [">f4", "<f8", "f2", ">i4", "u1"])
def test_result_is_native_float32_whatever_is_stored(dtype: str) -> None:
    x = np.arange(6).reshape(2, 3).astype(dtype)
    got = Preprocess(scale=0.5, dtype="float32").apply(x)
    assert got.dtype == np.dtype("float32")
    np.testing.assert_array_equal(got, [[0, 0.5, 1], [1.5, 2, 2.5]])


def test_fraction_is_exactly_one_divided_by_the_other() -> None:
    assert Preprocess.model_validate({"scale": "1/255"}).scale == 1 / 255
    assert Preprocess.model_validate({"scale": "1 / 32768"}).scale == 2**-15
    assert Preprocess.model_validate({"mean": 0.5}).mean == (0.5,)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"layout": "NHWC>NCHW"}, "layout"),
        ({"layout": "HWC->CHW"}, "layout"),
        ({"layout": "NHHC->NCHW"}, "layout"),
        ({"scale": "1/0"}, "scale"),
        ({"scale": 0}, "scale"),
        ({"scale": "a lot"}, "scale"),
        ({"std": 0}, "std must be above 0"),
        ({"std": [1, -1]}, "std must be above 0"),
        ({"mean": []}, "mean"),
        ({"mean": [float("nan")]}, "mean.0: Input should be a finite number"),
        ({"mean": [1, 2], "std": [1, 2, 3]}, "mean has 2 values and std 3"),
        ({"dtype": "string"}, "dtype"),
        ({"dtype": "complex64"}, "dtype"),
        ({"dtype": "int64", "scale": 2}, "no meaning for integer dtype"),
        ({"sclae": 1}, "Did you mean 'scale'?"),
    ],
    ids=lambda v: v if isinstance(v, str) else None,
)
def test_preprocess_is_refused_when(given: dict[str, object], wanted: str) -> None:
    with pytest.raises(ConfigError) as e:
        parse(Preprocess, given, "set.toml")
    assert wanted in str(e.value)
    assert str(e.value).startswith("set.toml: ")


@pytest.mark.parametrize(
    ("preprocess", "shape", "wanted"),
    [
        (Preprocess(layout="NHWC->NCHW"), (2, 4, 6), "wants samples with 3 axes"),
        (Preprocess(layout="NCHW->NHW"), (2, 3, 4, 6), "drops axis C, which has size 3"),
        (
            Preprocess(mean=(1.0, 2.0)),
            (2, 5, 7),
            "got 2 values, allowed: 1 or one for each channel",
        ),
    ],
    ids=["rank", "dropped", "channels"],
)
def test_apply_is_refused_when_samples_do_not_fit(
    preprocess: Preprocess, shape: tuple[int, ...], wanted: str
) -> None:
    with pytest.raises(ConfigError, match=wanted):
        preprocess.apply(np.zeros(shape, np.float32))
