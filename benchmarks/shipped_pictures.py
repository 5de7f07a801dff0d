"""Pictures for the shipped models: photographs from two packages, and printed text drawn over parts of them.

Everything is made from a seed. A picture is uint8 [height, width, 3], red first.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from benchmarks.shipped_packages import Package, unpacked

Picture = NDArray[np.uint8]
Random = np.random.Generator
SOURCES = (Package("scikit-image", "0.26.0"), Package("scikit-learn", "1.9.1"))
SCENES = ("astronaut", "coffee", "chelsea", "rocket", "motorcycle_left", "china", "flower", "ihc")
PRINT = ("page", "text", "clock_motion", "coins", "camera", "brick", "grass", "gravel")
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz23456789"
TEXT = (
    "the edge device runs a small model of int8 numbers in less than one millisecond open close "
    "invoice total 2026 Friday street number receipt market coffee station north platform exit"
)
WORDS = TEXT.split()


@cache
def photographs() -> dict[str, Picture]:
    """Name -> picture of every photograph used, in colour. Raises NotFetched."""
    found: dict[str, Picture] = {}
    for package in SOURCES:
        for path in sorted(unpacked(package).rglob("*")):
            wanted = path.stem in (*SCENES, *PRINT) and path.suffix in (".png", ".jpg")
            if wanted and "data" in path.as_posix():
                found[path.stem] = np.asarray(Image.open(path).convert("RGB"))
    return found


@cache
def small_faces() -> NDArray[np.float64]:
    """The 100 faces [100, 25, 25] that scikit-image ships, 0..1."""
    (path,) = Path(unpacked(SOURCES[0])).rglob("lfw_subset.npy")
    return np.asarray(np.load(path)[:100], np.float64)


def scene(rng: Random, height: int, width: int, names: tuple[str, ...] = SCENES) -> Picture:
    """A random part of a photograph, mirrored half of the time, a little brighter or darker."""
    whole = photographs()[str(rng.choice(names))]
    tall, wide = whole.shape[:2]
    part = rng.uniform(0.45, 1.0)
    high, across = int(tall * part), int(wide * part)
    top, left = int(rng.integers(0, tall - high + 1)), int(rng.integers(0, wide - across + 1))
    cut = Image.fromarray(whole[top : top + high, left : left + across])
    picture = np.asarray(cut.resize((width, height), Image.Resampling.BILINEAR), np.float64)
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    return _bytes(picture * rng.uniform(0.7, 1.2) + rng.uniform(-15, 15))


def faces(rng: Random, size: int) -> Picture:
    """A square scene: half of the time the astronaut, else a photograph into which small faces are put."""
    if rng.random() < 0.5:
        return scene(rng, size, size, ("astronaut",))
    picture = scene(rng, size, size).copy()
    for _ in range(int(rng.integers(1, 4))):
        side = int(rng.integers(size // 6, size // 3))
        face = Image.fromarray(_bytes(255 * small_faces()[int(rng.integers(0, 100))]))
        face = face.resize((side, side), Image.Resampling.BICUBIC).convert("RGB")
        top, left = (int(v) for v in rng.integers(0, size - side, 2))
        picture[top : top + side, left : left + side] = np.asarray(face)
    return picture


def line(rng: Random, height: int, width: int, words: int = 3) -> Picture:
    """One line of printed text that fills a strip, as a recogniser gets it."""
    text = " ".join(str(w) for w in rng.choice(WORDS, int(rng.integers(1, words + 1))))
    return _strip(rng, text, height, width)


def captcha(rng: Random, height: int, width: int) -> Picture:
    """Four to six letters and digits with lines and noise across."""
    text = "".join(str(c) for c in rng.choice(list(LETTERS), int(rng.integers(4, 7))))
    image = Image.fromarray(_strip(rng, text, height, width))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(1, 4))):
        ends = [(int(rng.integers(0, width)), int(rng.integers(0, height))) for _ in range(2)]
        draw.line(ends, fill=tuple(int(v) for v in rng.integers(0, 160, 3)), width=1)
    noise = rng.normal(0, 12, (height, width, 3))
    return _bytes(np.asarray(image, np.float64) + noise)


def page(rng: Random, height: int, width: int) -> Picture:
    """Lines of text of several sizes on paper or on a photograph, some turned a little."""
    paper = rng.random() < 0.6
    ground = _paper(rng, height, width) if paper else scene(rng, height, width, SCENES + PRINT)
    image = Image.fromarray(ground)
    draw = ImageDraw.Draw(image)
    top = int(rng.integers(4, 24))
    while top < height - 20:
        size = int(rng.integers(11, 34))
        text = " ".join(str(w) for w in rng.choice(WORDS, int(rng.integers(1, 7))))
        ink = rng.integers(0, 90, 3) if paper else rng.integers(0, 2, 3) * 255
        at = (int(rng.integers(4, max(5, width // 2))), top)
        draw.text(at, text, font=_font(size), fill=tuple(int(v) for v in ink))
        top += int(size * rng.uniform(1.3, 2.8))
    tilt = float(rng.uniform(-3, 3))
    return np.asarray(image.rotate(tilt, Image.Resampling.BILINEAR, fillcolor=(230, 230, 230)))


def planes(picture: Picture, mean: Any, deviation: Any) -> NDArray[np.float32]:
    """[3, height, width] of a picture scaled to 0..1, less a mean, by a deviation. mean, deviation: 1 or 3 numbers"""
    scaled = (picture / 255.0 - np.asarray(mean)) / np.asarray(deviation)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1), np.float32)


def _strip(rng: Random, text: str, height: int, width: int) -> Picture:
    font = _font(int(height * rng.uniform(0.5, 0.72)))
    wide = min(width, int(font.getlength(text)) + 12)
    image = Image.fromarray(_paper(rng, height, wide))
    ink = tuple(int(v) for v in rng.integers(0, 110, 3))
    ImageDraw.Draw(image).text((6, height * 0.12), text, font=font, fill=ink)
    if rng.random() < 0.4:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.0))))
    strip = np.full((height, width, 3), 127, np.uint8)
    strip[:, :wide] = np.asarray(image)
    return strip


def _paper(rng: Random, height: int, width: int) -> Picture:
    ground = rng.integers(190, 256, 3) + rng.normal(0, 4, (height, width, 3))
    return _bytes(ground + np.linspace(0, float(rng.uniform(-30, 10)), width)[None, :, None])


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _bytes(picture: NDArray[np.float64]) -> Picture:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
