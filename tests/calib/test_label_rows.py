"""Boxes and texts as labels: what is told without a metric, what is refused with the form that is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from squeeze import calib
from squeeze.errors import ConfigError

N = 20
X = np.random.default_rng(0).normal(size=(N, 3, 8, 8)).astype(np.float32)
BOXES = np.full((N, 2, 5), -1.0)
BOXES[:, 0] = 1, 2, 5, 6, 3
BOXES[::2, 1] = 0, 0, 4, 4, 1
TEXTS = np.full((N, 4), -1)
TEXTS[:, :2] = 5, 7


def load(folder: Path, y: np.ndarray, metric: str | None = None) -> calib.Calib:
    np.savez(folder / "d.npz", x=X, y=y)
    return calib.load(str(folder / "d.npz"), metric=metric)


def test_boxes_are_told_and_judged_by_average_precision(tmp_path: Path) -> None:
    data = load(tmp_path, BOXES)
    assert (data.metric, data.classes) == ("map", None)
    assert any("labels have the form of boxes" in text for text in data.assumed)
    assert all(s.y is not None and s.y.dtype == np.float32 for s in data.splits.values())
    counts = [s["boxes"] for s in calib.describe(data)["splits"].values()]
    assert sum(one["3"] for one in counts) == N
    assert sum(one.get("1", 0) for one in counts) == N // 2
    assert load(tmp_path, BOXES.astype(np.int32), "map50").metric == "map50"


def test_texts_are_told_and_judged_by_character_errors(tmp_path: Path) -> None:
    data = load(tmp_path, TEXTS)
    assert (data.metric, data.classes) == ("cer", None)
    assert all(s.y is not None and s.y.dtype == np.int64 for s in data.splits.values())
    assert sum(s["characters"] for s in calib.describe(data)["splits"].values()) == 2 * N
    # Without anything filled up they may be anything: a metric says that they are texts.
    assert load(tmp_path, TEXTS[:, :2]).metric != "cer"
    assert load(tmp_path, TEXTS[:, :2], "cer").metric == "cer"


def test_numbers_of_such_a_shape_stay_numbers(tmp_path: Path) -> None:
    y = np.random.default_rng(0).normal(size=(N, 2, 5))
    assert load(tmp_path, y).metric == "mse"
    assert load(tmp_path, BOXES, "mse").metric == "mse"


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_boxes_with_a_mistake_are_refused_with_the_sample(tmp_path: Path, dtype: type) -> None:
    swapped = BOXES.astype(dtype)
    swapped[7, 0] = 5, 2, 1, 6, 3
    with pytest.raises(ConfigError, match=r"row 0 of sample \d+ is \[5.*, 3.*\].*'map'.*x1 < x2"):
        load(tmp_path, swapped)
    # Who names a metric of numbers, or has a form of boxes that is another, is taken at their word.
    assert load(tmp_path, swapped, "mse").metric == "mse"
    centres = np.tile(np.array([50.0, 40, 20, 10, 3]), (N, 2, 1))
    assert load(tmp_path, centres).metric == "mse"


def test_arrays_of_a_split_may_have_rows_of_their_own(tmp_path: Path) -> None:
    test = np.concatenate([BOXES[:5], np.full((5, 3, 5), -1.0)], axis=1)
    np.savez(tmp_path / "d.npz", x=X, y=BOXES, x_test=X[:5], y_test=test)
    data = calib.load(str(tmp_path / "d.npz"))
    assert data.evaluate.y is not None
    assert data.evaluate.y.shape == (5, 5, 5)


def test_a_folder_of_images_has_its_boxes_in_a_file_of_the_toml(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "photos").mkdir()
    for i in range(6):
        image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / "photos" / f"{i}.png")
    np.save(tmp_path / "labels.npy", BOXES[:6])
    (tmp_path / "d.toml").write_text(
        'schema = 1\nname = "d"\ndata = ["photos", "labels.npy"]\nmetric = "map50"\n'
    )
    data = calib.load(str(tmp_path / "d.toml"))
    for split in data.splits.values():
        assert split.y is not None
        # The image of an even number has a second box.
        even = np.asarray(split.x[:])[:, 0, 0, 0] % 2 == 0
        np.testing.assert_array_equal(split.y[:, 1, 4] == 1, even)


@pytest.mark.parametrize(
    ("y", "metric", "words"),
    [
        (np.arange(N) % 3, "map", r"int64 \['n'\], allowed with metric 'map': \[n, boxes, 5\]"),
        (BOXES[..., :4], "map50", r"\['n', 2, 4\], allowed with metric 'map50': \[n, boxes, 5\]"),
        (
            BOXES[..., [2, 1, 0, 3, 4]],
            "map",
            r"row 0 of sample 0 is \[5.0, 2.0, 1.0, 6.0, 3.0\].*x1 < x2",
        ),
        (BOXES + np.array([0, 0, 0, 0, 0.5]), "map", "a whole class; -1 for rows that are none"),
        (BOXES, "cer", r"allowed with metric 'cer': integers \[n, length\]"),
        (TEXTS.astype(np.float32), "cer", "integers"),
        (TEXTS[:, ::-1], "cer", r"sample 0 is \[-1, -1, 7, 5\].* behind the text alone"),
        (TEXTS - 1, "cer", "classes from 0 on"),
    ],
    ids=["classes", "four", "turned", "half", "boxes", "floats", "before", "negative"],
)
def test_labels_of_another_form_are_refused(
    tmp_path: Path, y: np.ndarray, metric: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        load(tmp_path, y, metric)
