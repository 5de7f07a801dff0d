"""Bad sets end in one or two lines: where, what we got, what is allowed, what to do. No pickle is executed."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from squeeze import calib
from squeeze.errors import ConfigError

Save = Callable[..., str]

X = np.arange(60, dtype=np.float32).reshape(20, 3)
Y = np.arange(20) % 2


def with_value(value: float, *index: int, dtype: type = np.float32) -> np.ndarray:
    x = X.astype(dtype)
    x[index] = value
    return x


def labels(value: float, at: int = 7, dtype: type = np.int64) -> np.ndarray:
    y = Y.astype(dtype)
    y[at] = value
    return y


def refused(source: str, **options: object) -> str:
    """The message, of at most two lines, which names the source."""
    with pytest.raises(ConfigError) as e:
        calib.load(source, **options)  # type: ignore[arg-type]
    text = str(e.value)
    assert source in text
    assert len(text.splitlines()) <= 2
    return text


@pytest.mark.parametrize(
    ("arrays", "wanted"),
    [
        ({"x": np.zeros((0, 3))}, "array 'x': is empty (shape [0, 3])"),
        ({"x": np.zeros((5, 0))}, "array 'x': is empty (shape [5, 0])"),
        ({"x": np.float32(3)}, "is a single number"),
        ({"x": X[:1]}, "1 sample, at least 3 are needed"),
        ({"x": X[:2]}, "2 samples, at least 3 are needed: one each for fit, calibrate, evaluate"),
        ({"x_train": X[:1], "x_test": X}, "'x_train': 1 sample, at least 2 are needed"),
        (
            {"x": with_value(np.nan, 4, 2)},
            "1 NaN and 0 infinite values (as float32), the first at index [4, 2]",
        ),
        (
            {"x": with_value(-np.inf, 0, 1)},
            "0 NaN and 1 infinite values (as float32), the first at index [0, 1]",
        ),
        ({"x": with_value(1e300, 9, 0, dtype=np.float64)}, "the first at index [9, 0]"),
        ({"x": X, "y": Y[:19]}, "'y': labels: 19 labels for 20 samples"),
        ({"x": X, "y": np.int64(1)}, "a single number labels for 20 samples"),
        ({"x": X, "y": labels(-1)}, "1 negative labels, the first is -1 at index 7"),
        (
            {"x": X, "y": np.zeros(20, int)},
            "all labels are 0, metric 'top1' needs samples of two classes",
        ),
        ({"x": X, "y": labels(np.nan, dtype=float)}, "1 NaN"),
        ({"x": X, "y": np.array(list("ab") * 10)}, "got <U1, allowed: integers, floats"),
        ({"x": np.array(list("ab") * 10)}, "got <U1, allowed: integers, floats"),
        ({"x": X.astype(complex)}, "got complex128, allowed"),
        ({"x": X, "y": np.zeros((20, 0))}, "labels: is empty"),
        ({"x_train": X, "x_test": X[:, :2]}, "'x_test': samples float32 [2], but"),
        ({"x_train": X, "x_test": X.astype(int)}, "'x_test': samples int64 [3], but"),
        (
            {"x_train": X, "y_train": Y, "x_test": X},
            "'x_train' has labels ('y_train') but 'x_test' has none",
        ),
        (
            {"x_train": X, "y_train": Y, "x_test": X, "y_test": np.zeros((20, 3))},
            "[3] per sample, but",
        ),
        ({"x": X, "images": X}, "'x' and 'images' both look like the samples"),
        ({"x": X, "y": Y, "labels": Y}, "'y' and 'labels' both look like the labels"),
        ({"x_train": X, "y_test": Y}, "'y_test' has no samples"),
        ({"foo": X, "bar": Y}, "cannot tell the samples among: foo, bar"),
        ({"y_train": Y, "names": Y}, "cannot tell the samples among"),
    ],
    ids=lambda v: v if isinstance(v, str) else None,
)
def test_set_is_refused_when(save: Save, arrays: dict[str, np.ndarray], wanted: str) -> None:
    assert wanted in refused(save("d.npz", **arrays))


@pytest.mark.parametrize(
    ("y", "metric", "wanted"),
    [
        (
            labels(0.5, dtype=float),
            "top1",
            "label 0.5 at index 7, allowed with metric 'top1': whole numbers",
        ),
        (labels(0.5, dtype=float), "auc", "label 0.5 at index 7"),
        (np.zeros(20, int), "auc", "all labels are 0, metric 'auc' needs"),
        (np.linspace(0, 1, 40).reshape(20, 2), "top1", "[2] numbers per sample are not one-hot"),
        (Y, "top-1", "unknown 'top-1'. Did you mean 'top1'?"),
        (Y, "not a module:score", "metric: unknown"),
    ],
    ids=["fraction-top1", "fraction-auc", "one-class-auc", "several-top1", "typo", "module"],
)
def test_labels_are_refused_when_the_metric_cannot_use_them(
    save: Save, y: np.ndarray, metric: str, wanted: str
) -> None:
    assert wanted in refused(save("d.npz", x=X, y=y), metric=metric)


def test_metric_that_needs_labels_is_refused_without_them(save: Save) -> None:
    assert "metric 'top1' needs labels" in refused(save("d.npy", whole=X), metric="top1")


def test_nan_far_into_a_large_array_is_found_with_its_index(save: Save) -> None:
    x = np.zeros((3000, 1024), np.float32)  # more than one chunk
    x[2900, 17] = np.nan
    x[2901:2903, 18] = np.inf
    text = refused(save("d.npy", whole=x))
    assert "1 NaN and 2 infinite values (as float32), the first at index [2900, 17]" in text


class Bomb:
    """Would write a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return Path.touch, (Path(self.path),)  # type: ignore[return-value]


@pytest.mark.parametrize("name", ["d.npz", "d.npy"])
def test_python_objects_are_refused_and_not_executed(save: Save, tmp_path: Path, name: str) -> None:
    trap = tmp_path / "executed"
    objects = np.array([Bomb(trap)], dtype=object)
    path = save(name, **({"x": objects} if name.endswith("z") else {"whole": objects}))
    assert "holds Python objects, that is a pickle, which can run code" in refused(path)
    assert not trap.exists()


@pytest.mark.parametrize("name", ["d.npz", "d.npy"])
def test_pickle_under_another_name_is_refused_and_not_executed(tmp_path: Path, name: str) -> None:
    trap, path = tmp_path / "executed", tmp_path / name
    path.write_bytes(pickle.dumps(Bomb(trap)))
    assert "(or a damaged one)" in refused(str(path))
    assert not trap.exists()


def test_ragged_rows_are_refused_like_any_object_array(save: Save) -> None:
    ragged = np.empty(2, dtype=object)
    ragged[:] = [[1, 2], [3]]
    assert "rows of equal length" in refused(save("d.npz", x=ragged))


@pytest.mark.parametrize(
    ("name", "data", "wanted"),
    [
        ("d.npz", b"", "the file is empty"),
        ("d.npy", b"", "the file is empty"),
        ("d.npz", b"garbage" * 100, "not a .npz file"),
        ("d.npy", b"garbage" * 100, "not a .npy file"),
        ("d.npy", b"\x93NUMPY\x01\x00", "not a .npy file"),
        ("d.npy", b"\x93NUMPY\x09\x00" + b" " * 100, "version (9, 0), allowed: (1, 0), (2, 0)"),
        ("d.xls", b"1,2", "cannot read '.xls' files"),
        ("d.pt", b"1,2", "cannot read '.pt' files"),
    ],
    ids=[
        "npz-empty",
        "npy-empty",
        "npz-garbage",
        "npy-garbage",
        "npy-head",
        "version",
        "xls",
        "pt",
    ],
)
def test_file_is_refused_when(tmp_path: Path, name: str, data: bytes, wanted: str) -> None:
    (tmp_path / name).write_bytes(data)
    assert wanted in refused(str(tmp_path / name))


def test_missing_file_is_said(tmp_path: Path) -> None:
    told = refused(str(tmp_path / "none.npz"))
    assert "no such file" in told
    assert (
        "allowed: a .npz, .npy, .csv, .tsv, .jsonl, .txt, .conll or .toml file, a folder of images"
        in told
    )
    assert "no such file or folder" in refused(str(tmp_path / "none"))


def test_unknown_name_suggests_the_nearest() -> None:
    assert "unknown 'fashon'. Did you mean 'fashion'?" in refused("fashon")


def test_npz_without_arrays_is_refused(save: Save) -> None:
    assert "holds no arrays" in refused(save("d.npz"))


def test_shape_beyond_the_file_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "d.npy"
    header = {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 1 << 10)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(b"1234")
    assert "truncated: float32 [1099511627776, 1024] takes" in refused(str(path))


def test_arrays_of_images_for_a_model_of_texts_are_told_what_it_takes(tmp_path: Path) -> None:
    np.savez(tmp_path / "images.npz", x_train=X, y_train=Y)
    with pytest.raises(ConfigError, match="has inputs ids, mask, and no array is called after one"):
        calib.load(str(tmp_path / "images.npz"), seed=0, inputs=("ids", "mask"))
