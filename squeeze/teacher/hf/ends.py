"""What a folder's network takes and gives, by config.json alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze.calib.text.tokenizer import positions_of
from squeeze.end import End, Size
from squeeze.errors import UnsupportedError
from squeeze.teacher.hf.network import configuration

if TYPE_CHECKING:
    from squeeze.teacher.hf.folder import Folder

Ends = tuple[tuple[End, ...], tuple[End, ...]]

IDS, MASK, TYPES, PIXELS = "input_ids", "attention_mask", "token_type_ids", "pixel_values"
LOGITS, STATES, EMBEDDING = "logits", "last_hidden_state", "sentence_embedding"
BATCH, SEQUENCE = "batch", "sequence"


def ends_of_folder(folder: Folder) -> Ends:
    """Inputs and outputs as `squeeze.teacher.hf.to_onnx` exports them. Raises as `configuration`, and UnsupportedError
    for a network of neither tokens nor images."""
    config = configuration(folder)
    inputs = _pixels(folder, config) if folder.takes_images else _tokens(folder, config)
    return inputs, (_output(folder, config),)


def metadata_of_folder(folder: Folder) -> dict[str, str]:
    """What a file that is made of it says: how long a text may be, and what is behind the encoder, where that is known.

    Raises as `configuration`.
    """
    found = {}
    most = positions_of(configuration(folder).to_dict())
    if not folder.takes_images and most is not None and most > 0:
        found["max_position_embeddings"] = str(most)
    if folder.sentence is not None:
        found["pooling"] = folder.sentence.words()
    return found


def _tokens(folder: Folder, config: Any) -> tuple[End, ...]:  # Any: see `configuration`
    """A sentence encoder sees one text at a time, whose token types are all zero: they are no input of it."""
    if not isinstance(getattr(config, "vocab_size", None), int):
        raise UnsupportedError(
            f"{folder.encoder}: a {config.model_type} takes neither tokens nor one image; allowed: text encoders, "
            "classifiers and taggers, and image classifiers"
        )
    types = getattr(config, "type_vocab_size", 0) > 1 and folder.sentence is None
    names = (IDS, MASK, *((TYPES,) if types else ()))
    return tuple(End(name, "int64", (BATCH, SEQUENCE)) for name in names)


def _pixels(folder: Folder, config: Any) -> tuple[End, ...]:  # Any: see `configuration`
    size = getattr(config, "image_size", None)
    height, width = size if isinstance(size, (list, tuple)) and len(size) == 2 else (size, size)
    channels = getattr(config, "num_channels", 3)
    if not isinstance(height, int) or not isinstance(width, int):
        raise UnsupportedError(
            f"{folder.encoder}: config.json does not say image_size; export the model yourself (squeeze.save)"
        )
    return (End(PIXELS, "float32", (BATCH, channels, height, width)),)


def _output(folder: Folder, config: Any) -> End:  # Any: see `configuration`
    tokens: tuple[Size, ...] = (BATCH, SEQUENCE)
    if folder.sentence is not None:
        return End(EMBEDDING, "float32", (BATCH, folder.sentence.outputs(config.hidden_size)))
    if folder.head == "none":
        sizes = (BATCH, "") if folder.takes_images else tokens
        return End(STATES, "float32", (*sizes, getattr(config, "hidden_size", "")))
    sizes = tokens if folder.head == "tokens" else (BATCH,)
    return End(LOGITS, "float32", (*sizes, config.num_labels))
