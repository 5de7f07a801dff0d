"""A folder of PNG or JPEG images: class = sub-folder, numbered in the order of their sorted names.

    folder/cat/1.png  folder/dog/2.png                        one set, split by share
    folder/train/cat/1.png  folder/test/cat/2.png             `train` and `test` (or `val`) are kept apart
    folder/1.png  folder/2.png                                no labels

All images have one size. They are [n, h, w] when all are grey, otherwise [n, h, w, 3]. Pixels are unpacked once, to a
nameless file when they are many.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from squeeze.calib.keys import split_word
from squeeze.calib.read import SMALL_BYTES
from squeeze.calib.rows import Array, Raw, Rows, Spool
from squeeze.errors import ConfigError

SUFFIXES = (".jpeg", ".jpg", ".png")
_GREY = ("1", "L")
_COLOUR = ("CMYK", "LA", "P", "RGB", "RGBA", "YCbCr")


def members(folder: Path) -> dict[str, Callable[[], Raw]]:
    """Name -> reader of each array: x and y, or x_train, y_train, x_test, ... Raises ConfigError."""
    inner = _folders(folder)
    words = {p.name: split_word(p.name) for p in inner}
    if _are_splits(words.values()):
        classes = {p.name: [c.name for c in _folders(p)] for p in inner}
        named = sorted({tuple(c) for c in classes.values()})
        if len(named) > 1:
            here = "; ".join(f"{n}: {', '.join(c) or 'none'}" for n, c in classes.items())
            raise ConfigError(f"{folder}: the class folders differ ({here}); they must be the same")
        found: dict[str, Callable[[], Raw]] = {}
        for part in inner:
            found |= {f"{k}_{part.name}": read for k, read in _labelled(part).items()}
        return found
    return _labelled(folder)


def class_names(folder: Path) -> tuple[str, ...]:
    """The names of the classes of a folder that `members` read, in the order of their numbers; none where it has no
    class folders."""
    inner = _folders(folder)
    words = [split_word(p.name) for p in inner]
    if _are_splits(words):
        inner = _folders(inner[0])  # those of the others are the same
    # Bytes that are no UTF-8 cannot be written into a report.
    return tuple(os.fsencode(p.name).decode(errors="replace") for p in inner)


def _are_splits(words: Collection[str | None]) -> bool:
    """Whether folders are called as splits are: one of them `train`, or two, for a class may be called `test`."""
    return bool(words) and all(words) and ("fit" in words or len(set(words)) > 1)


def _labelled(folder: Path) -> dict[str, Callable[[], Raw]]:
    classes = _folders(folder)
    loose = _images(folder)
    if classes and loose:
        raise ConfigError(
            f"{folder}: has images ({loose[0].name}) beside class folders ({classes[0].name}); move them into one"
        )
    groups = [_images(c) for c in classes] if classes else [loose]
    for place, group in zip(classes or [folder], groups, strict=True):
        if not group:
            raise ConfigError(f"{place}: no images in it; wanted {', '.join(SUFFIXES)}")
    files = [path for group in groups for path in group]
    found: dict[str, Callable[[], Raw]] = {"x": partial(_pixels, files)}
    if classes:
        labels = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
        found["y"] = partial(_given, labels)
    return found


def _given(labels: Array) -> Raw:
    return labels


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    return sorted(
        p
        for p in folder.iterdir()
        if p.suffix.lower() in SUFFIXES and p.is_file() and not p.name.startswith(".")
    )


def _pixels(files: list[Path]) -> Raw:
    heads = [_decoded(path, None) for path in files]
    shape = _one_size(files, [size for size, _, _ in heads])
    grey = all(mode in _GREY for _, mode, _ in heads)
    shape = shape if grey else (*shape, 3)
    mode, count_bytes = ("L" if grey else "RGB"), len(files) * int(np.prod(shape))
    blocks = (_decoded(path, mode)[2] for path in files)
    if count_bytes <= SMALL_BYTES:
        return np.frombuffer(b"".join(blocks), np.uint8).reshape(len(files), *shape)
    spool = Spool()
    for block in blocks:
        spool.write(block)
    return Rows(spool.opened, np.dtype(np.uint8), (len(files), *shape))


def _decoded(path: Path, mode: str | None) -> tuple[tuple[int, int], str, bytes]:
    """Size (width, height), mode, and the pixels as `mode`; with None only the head is read."""
    image_module, refused = _pillow()
    try:
        with image_module.open(path, formats=("PNG", "JPEG")) as image:
            if image.mode not in (*_GREY, *_COLOUR):
                raise ConfigError(
                    f"{path}: {image.mode} pixels, allowed: 8 bits a channel; use an .npz for others"
                )
            pixels = b"" if mode is None else image.convert(mode).tobytes()
            return image.size, image.mode, pixels
    except refused as e:
        raise ConfigError(f"{path}: cannot be decoded as PNG or JPEG: {e}") from e


def _pillow() -> tuple[Any, tuple[type[Exception], ...]]:  # Any: an optional module
    try:
        from PIL import Image
    except ImportError as e:
        raise ConfigError("reading an image folder needs pillow: pip install pillow") from e
    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    return Image, (OSError, SyntaxError, ValueError, EOFError, MemoryError, *bombs)


def _one_size(files: list[Path], sizes: list[tuple[int, int]]) -> tuple[int, ...]:
    for path, (width, height) in zip(files, sizes, strict=True):
        if (width, height) != sizes[0]:
            raise ConfigError(
                f"{path}: {width}x{height} pixels, but {files[0]} has {sizes[0][0]}x{sizes[0][1]}; all images must "
                "have one size: scale them first"
            )
    return sizes[0][1], sizes[0][0]
