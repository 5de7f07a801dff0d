"""Names of classes: of class folders, or of a TOML, and what is said where they do not fit."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from squeeze import calib
from squeeze.errors import ConfigError
from tests.calib.interfaces import taking

Image = pytest.importorskip(
    "PIL.Image", reason="pillow is not installed: pip install 'squeeze[images]'"
)


def folder(place: Path, *names: str | bytes, each: int = 6) -> Path:
    """A class folder for each name, of grey images 4 by 4."""
    for i, name in enumerate(names):
        inner = place / os.fsdecode(name)
        inner.mkdir(parents=True)
        for j in range(each):
            Image.fromarray(np.full((4, 4), 10 * i + j, np.uint8)).save(inner / f"{j}.png")
    return place


def arrays(place: Path, **keys: str) -> Path:
    """Twelve samples of three classes, and a TOML with more keys."""
    np.savez(place / "d.npz", x=np.zeros((12, 4), np.float32), y=np.arange(12) % 3)
    lines = ["schema = 1", 'name = "d"', 'data = "d.npz"', *(f"{k} = {v}" for k, v in keys.items())]
    (place / "d.toml").write_text("\n".join(lines))
    return place / "d.toml"


def test_folders_name_classes_in_sorted_order(tmp_path: Path) -> None:
    raw = calib.load(str(folder(tmp_path / "pets", "dog", "cat", "Emu")))
    assert raw.class_names == ("Emu", "cat", "dog")
    assert raw.fitted(taking(1, 4, 4, outputs=3)).class_names == ("Emu", "cat", "dog")
    assert raw.blind().class_names == raw.class_names


def test_folders_of_splits_name_them_too(tmp_path: Path) -> None:
    for part in ("train", "test"):
        folder(tmp_path / "pets" / part, "dog", "cat")
    assert calib.load(str(tmp_path / "pets")).class_names == ("cat", "dog")


def test_loose_images_and_arrays_have_no_names(tmp_path: Path) -> None:
    folder(tmp_path, "loose", each=12)
    assert calib.load(str(tmp_path / "loose")).class_names == ()
    assert calib.load(str(arrays(tmp_path))).class_names == ()


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are Linux's")
def test_name_that_is_no_text_can_be_written(tmp_path: Path) -> None:
    raw = calib.load(str(folder(tmp_path / "pets", b"a\xff", b"b")))
    assert raw.class_names == ("a\N{REPLACEMENT CHARACTER}", "b")
    assert "".join(raw.class_names).encode()


def test_toml_names_the_classes_of_arrays(tmp_path: Path) -> None:
    told = arrays(tmp_path, class_names='["a", "b", "c"]')
    raw = calib.load(str(told))
    assert raw.class_names == ("a", "b", "c")
    assert calib.describe(raw)["class_names"] == ["a", "b", "c"]
    assert raw.fitted(taking(4, outputs=3)).class_names == ("a", "b", "c")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"class_names": '["a", "b"]'}, "2 names, but labels go up to 2"),
        ({"class_names": '["a", "b", "c"]', "metric": '"mse"'}, "the labels are no classes"),
        ({"class_names": '["a", "", "c"]'}, "class_names"),
    ],
)
def test_names_that_do_not_fit_are_refused(tmp_path: Path, keys: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as e:
        calib.load(str(arrays(tmp_path, **keys)))
    assert len(str(e.value).splitlines()) == 1


def test_more_names_than_outputs_are_refused(tmp_path: Path) -> None:
    raw = calib.load(str(arrays(tmp_path, class_names='["a", "b", "c", "d"]')))
    assert raw.fitted(taking(4, outputs=4)).class_names == ("a", "b", "c", "d")
    with pytest.raises(ConfigError, match=r"4 classes have names .*the model tells 3 apart"):
        raw.fitted(taking(4, outputs=3))


def test_class_folders_are_numbered_as_the_model_has_their_names(tmp_path: Path) -> None:
    place = folder(tmp_path / "pets", "Owl", "cat", "dog")
    of_model = calib.OfModel(class_names=("owl", "cat", "yak", "dog"))
    found = calib.load(str(place), seed=0, metric=None, of_model=of_model)
    assert (found.class_names, found.classes) == (("owl", "cat", "yak", "dog"), 4)
    seen = 0
    for split in found.splits.values():
        (images,) = split.arrays.values()
        assert split.y is not None
        for i, y in enumerate(split.y):
            grey = int(np.asarray(images[i : i + 1]).max())
            assert (
                y == {0: 0, 1: 1, 2: 3}[grey // 10]
            )  # folders in the order of sorted names: Owl, cat, dog
            seen += 1
    assert seen == 18
    assert any("as the model has them" in words for words in found.assumed)


@pytest.mark.parametrize(
    "names",
    [
        ("cat", "dog", "owl"),
        ("ant", "bee", "cow"),
        ("owl", "dog"),
        ("owl", "OWL", "cat", "dog"),
        (),
    ],
)
def test_names_that_say_nothing_of_the_order_leave_it(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    place = folder(tmp_path / "pets", "cat", "dog", "owl")
    found = calib.load(str(place), seed=0, metric=None, of_model=calib.OfModel(class_names=names))
    assert found.class_names == ("cat", "dog", "owl")
    assert found.classes == 3


def test_a_model_names_classes_where_no_labels_do() -> None:
    assert calib.OfModel(class_names=("a", "b")).names((), None) == ("a", "b")
    assert calib.OfModel(class_names=("a", "b")).names((), 3) == ()
    assert calib.OfModel(class_names=("a",)).names((), None) == ()
