"""The same ids of the same texts, from what a package says and its tokenizer.json: for whoever verifies one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from squeeze.calib.rows import Array
from squeeze.calib.text.arrays import Wanted, padded
from squeeze.calib.text.sentences import Text
from squeeze.calib.text.tokenizer import MISSING, Tokenizer, cuts_left, opened


def missing() -> str | None:
    """What is said where no text can be tokenised here; None where it can."""
    return MISSING if find_spec("tokenizers") is None else None


def as_bytes(texts: Sequence[Text]) -> Array:
    """Texts as an array, which holds them whatever is in them: uint8, JSON."""
    return np.frombuffer(json.dumps(list(texts)).encode(), np.uint8)


def from_bytes(stored: Array) -> list[Text]:
    """What `as_bytes` was given. Raises ValueError for other arrays."""
    found = json.loads(np.asarray(stored, np.uint8).tobytes())
    if not isinstance(found, list):
        raise ValueError("no list of texts")
    return found


def tokenised_again(
    tokenizer: bytes, told: Mapping[str, Any], texts: Sequence[Text], where: str
) -> dict[str, Array]:
    """Input -> [n, length] of texts. told: as `Tokenised.to_json` gives it.

    Raises ConfigError for a tokenizer that cannot be read, and KeyError, TypeError or ValueError for what `told` lacks.
    """
    words, length = bool(told["words"]), int(told["length"])
    made = opened(tokenizer, where)
    known = Tokenizer(
        data=tokenizer,
        digest=told["tokenizer"],
        opened=made,
        pad_id=int(told["pad_id"]),
        pads_left=bool(told["pads_left"]),
        cuts_left=cuts_left(made),
        longest=(length, where),
    )
    needs = Wanted(dict(told["inputs"]), dict(told["dtypes"]), length)
    given = [tuple(text) if isinstance(text, list) and not words else text for text in texts]
    found = known.encoded(given, words=words)
    return padded(known.shortened(given, found, length, where, words=words), known, needs, length)
