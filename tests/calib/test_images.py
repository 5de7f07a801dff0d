"""Folders of images: class = sub-folder, pixels exactly as stored, and every bad file by name."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from squeeze import calib
from squeeze.calib import Rows
from squeeze.calib import folder as calib_folder
from squeeze.errors import ConfigError
from tests.calib.interfaces import taking

Image = pytest.importorskip(
    "PIL.Image", reason="pillow is not installed: pip install 'squeeze[images]'"
)
RNG = np.random.default_rng(0)


def put(path: Path, pixels: np.ndarray, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)


def colours(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """12 dogs (first pixel 200), 8 cats (100): 5 high, 7 wide."""
    for name, count, value in (("dog", 12, 200), ("cat", 8, 100)):
        for i in range(count):
            pixels = colours(5, 7)
            pixels[0, 0] = value
            put(tmp_path / "pets" / name / f"{i:02}.png", pixels)
    return tmp_path / "pets"


def refused(folder: Path) -> str:
    with pytest.raises(ConfigError) as e:
        calib.load(str(folder))
    assert len(str(e.value).splitlines()) <= 2
    return str(e.value)


def test_class_is_the_sub_folder_in_sorted_order(pets: Path) -> None:
    (pets / ".hidden").mkdir()
    (pets / "dog" / "notes.txt").write_text("not an image")
    raw = calib.load(str(pets))
    assert (raw.name, raw.modality, raw.metric, raw.classes) == ("pets", "image", "top1", 2)
    assert raw.fit.x.shape[1:] == (5, 7, 3)
    assert sum(len(s) for s in (raw.fit, raw.calibrate, raw.evaluate)) == 20
    for split in (raw.fit, raw.calibrate, raw.evaluate):
        np.testing.assert_array_equal(split.x[:, 0, 0, 0] == 200, split.y == 1)
    fitted = raw.fitted(taking(3, 5, 7, outputs=2))
    assert fitted.inputs(fitted.fit, 0, 2).shape == (2, 3, 5, 7)


def test_png_pixels_are_read_exactly(tmp_path: Path) -> None:
    pixels = colours(6, 5, 7)
    for i, one in enumerate(pixels):
        put(tmp_path / f"{i}.png", one)
    raw = calib.load(str(tmp_path))
    assert (raw.metric, raw.classes) == (None, None)
    got = np.concatenate([raw.fit.x, raw.calibrate.x, raw.evaluate.x])
    assert {x.tobytes() for x in got} == {x.tobytes() for x in pixels}


def test_train_and_test_folders_are_kept_apart(tmp_path: Path) -> None:
    for part, count in (("train", 6), ("test", 3)):
        for name in ("a", "b"):
            for i in range(count):
                put(
                    tmp_path / part / name / f"{i}.JPG",
                    np.full((4, 4, 3), 250 if part == "test" else 5, np.uint8),
                )
    raw = calib.load(str(tmp_path))
    assert (len(raw.fit), len(raw.calibrate), len(raw.evaluate)) == (11, 1, 6)
    assert raw.evaluate.x.min() > 200
    assert raw.fit.x.max() < 50


@pytest.mark.parametrize(
    ("modes", "shape"),
    [
        (["L", "1"], (4, 4)),
        (["L", "RGB"], (4, 4, 3)),
        (["RGBA", "P"], (4, 4, 3)),
        (["LA", "L"], (4, 4, 3)),
    ],
    ids=["grey", "some-colour", "palette", "alpha"],
)
def test_grey_stays_grey_only_when_all_are(
    tmp_path: Path, modes: list[str], shape: tuple[int, ...]
) -> None:
    for i in range(6):
        put(tmp_path / f"{i}.png", colours(4, 4), modes[i % len(modes)])
    assert calib.load(str(tmp_path)).fit.x.shape[1:] == shape


def test_many_pixels_stay_on_disk_and_are_the_same(
    pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = calib.load(str(pets))
    monkeypatch.setattr(calib_folder, "SMALL_BYTES", 100)
    large = calib.load(str(pets))
    assert isinstance(large.fit.x, Rows)
    assert large.digest == small.digest
    np.testing.assert_array_equal(large.inputs(large.fit), small.inputs(small.fit))


def test_damaged_image_is_refused_by_name(pets: Path) -> None:
    path = pets / "dog" / "05.png"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert f"{path}: cannot be decoded as PNG or JPEG" in refused(pets)
    path.write_bytes(b"garbage")
    assert f"{path}: cannot be decoded as PNG or JPEG" in refused(pets)
    path.write_bytes(b"")
    assert f"{path}: cannot be decoded as PNG or JPEG" in refused(pets)


def test_images_of_other_formats_are_refused_whatever_their_name(pets: Path) -> None:
    Image.fromarray(colours(5, 7)).save(pets / "dog" / "05.png", format="BMP")
    assert "05.png: cannot be decoded as PNG or JPEG" in refused(pets)


def test_mixed_sizes_are_refused_by_name(pets: Path) -> None:
    put(pets / "dog" / "03.png", colours(6, 7))
    text = refused(pets)
    assert "03.png: 7x6 pixels, but" in text
    assert "00.png has 7x5" in text


def test_sixteen_bit_images_are_refused(pets: Path) -> None:
    Image.fromarray(np.full((5, 7), 40000, np.uint16)).save(pets / "dog" / "03.png")
    assert "03.png: I;16 pixels, allowed: 8 bits a channel" in refused(pets)


def test_empty_folders_are_refused(pets: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty: no images in it" in refused(tmp_path / "empty")
    (pets / "bird").mkdir()
    assert "bird: no images in it; wanted .jpeg, .jpg, .png" in refused(pets)


def test_images_beside_class_folders_are_refused(pets: Path) -> None:
    put(pets / "stray.png", colours(5, 7))
    assert "has images (stray.png) beside class folders (cat)" in refused(pets)


def test_class_folders_that_differ_between_train_and_test_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "train" / "cat" / "0.png", colours(5, 7))
    put(tmp_path / "test" / "dog" / "0.png", colours(5, 7))
    assert "the class folders differ (test: dog; train: cat)" in refused(tmp_path)


def test_one_class_is_refused(tmp_path: Path) -> None:
    for i in range(9):
        put(tmp_path / "cat" / f"{i}.png", colours(5, 7))
    assert "all labels are 0" in refused(tmp_path)


def test_missing_pillow_is_said_with_the_name_of_the_extra(
    pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert "pip install pillow" in refused(pets)


def test_folder_in_the_way_of_a_bundled_name_needs_its_path(
    pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pets.rename(pets.with_name("fashion"))
    monkeypatch.chdir(pets.parent)
    assert calib.load("fashion").classes == 10
    assert calib.load("./fashion").classes == 2
