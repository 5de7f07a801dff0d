"""What a folder says of its data: what preprocessor_config.json does to an image, as keys of [preprocess] (size,
x * scale, (x - mean) / std), the names of the classes, and token types, which are 0 where the data have none.

Images are stretched to the network's size; a crop, and another resampling than the triangle, are said.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from squeeze.calib.class_names import of_config
from squeeze.calib.lookups import Lookups
from squeeze.calib.of_model import OfModel
from squeeze.calib.text.tokenizer import positions_of
from squeeze.errors import ConfigError
from squeeze.teacher.hf.ends import IDS, TYPES
from squeeze.teacher.hf.folder import PROCESSOR
from squeeze.teacher.hf.read_json import Json, read_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from squeeze.end import End
    from squeeze.teacher.hf.folder import Folder

logger = logging.getLogger(__name__)

_BYTE = 1 / 255
# Architectures with a table of positions.
_ABSOLUTE = {
    "albert",
    "bert",
    "camembert",
    "distilbert",
    "electra",
    "mpnet",
    "roberta",
    "xlm-roberta",
}
_BILINEAR = 2  # as Pillow numbers them
# What processors of transformers do where their file does not say: ImageNetStandard.
_HALF = [0.5, 0.5, 0.5]


def data_of_folder(folder: Folder, inputs: Sequence[End]) -> OfModel:
    """Of images of bytes as they are stored, of the classes, and of tokens. inputs: of the network.

    Raises ConfigError for values that are no numbers.
    """
    file = folder.path / PROCESSOR
    reads = folder.takes_images and file.is_file()
    types = {end.name: 0.0 for end in inputs if end.name == TYPES}  # of one text alone
    names = () if folder.head == "none" else of_config(folder.config)
    vocabulary = folder.config.get("vocab_size")
    ids = [end.name for end in inputs if end.name == IDS]
    room = table_of_positions(folder.config)
    lookups = Lookups(
        {name: vocabulary for name in ids if type(vocabulary) is int},
        {name: room for name in ids if room is not None},
    )
    return OfModel(_preprocess(file, inputs[0]) if reads else None, names, types, lookups)


def table_of_positions(config: Json) -> int | None:
    """The tokens that it has room for; None without one: of other architectures the same key of the config is what they
    were trained with, and longer texts run."""
    kind = config.get("position_embedding_type", "absolute")
    is_table = config.get("model_type") in _ABSOLUTE and kind == "absolute"
    return positions_of(config) if is_table else None


def _preprocess(file: Path, pixels: End) -> Json:
    said = read_table(file)
    height, width = (pixels.sizes or ())[-2:]
    found: Json = {"resize": (height, width)} if said.get("do_resize", True) else {}
    rescales, normalises = said.get("do_rescale", True), said.get("do_normalize", True)
    found["scale"] = _numbers(said, "rescale_factor", _BYTE, file)[0] if rescales else 1.0
    if normalises:
        found["mean"] = _numbers(said, "image_mean", _HALF, file)
        found["std"] = _numbers(said, "image_std", _HALF, file)
    others = [
        *(["cuts the middle out (do_center_crop)"] if said.get("do_center_crop") else []),
        *([f"resamples in way {r}"] if (r := said.get("resample", _BILINEAR)) != _BILINEAR else []),
    ]
    if others:
        logger.warning(
            "%s: %s; images of another size than %sx%s are stretched to it, by a triangle (bilinear)",
            file,
            " and ".join(others),
            height,
            width,
        )
    return found


def _numbers(said: Json, key: str, default: Any, file: Path) -> tuple[float, ...]:  # Any: JSON
    value = said.get(key, default)
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(v, (int, float)) for v in values):
        raise ConfigError(
            f"{file}: {key} is {value!r:.60}, wanted a number, or one for each channel"
        )
    return tuple(map(float, values))
