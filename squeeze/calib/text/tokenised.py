"""How texts became the samples of a set, so that others can make the same ids of the same texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from squeeze.calib.text.arrays import Kind
from squeeze.calib.text.sentences import Text


@dataclass(frozen=True)
class Tokenised:
    """tokenizer: the bytes of tokenizer.json, of this digest. length: tokens of every sample; cut: how many were
    longer. kinds, dtypes: by input. pooling: how a sentence encoder makes one vector of many, where its folder says it.
    texts: of all samples."""

    tokenizer: bytes
    digest: str
    length: int
    cut: int
    columns: tuple[str, ...]
    kinds: Mapping[str, Kind]
    dtypes: Mapping[str, str]
    pad_id: int
    pads_left: bool
    words: bool
    pooling: str | None
    texts: Sequence[Text]

    def key(self) -> dict[str, Any]:  # Any: JSON
        """All that can change what is written."""
        return {**self.to_json(), "texts": self._texts_digest}

    @cached_property
    def _texts_digest(self) -> str:
        return hashlib.sha256(json.dumps(list(self.texts)).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """What a manifest says."""
        return {
            "tokenizer": self.digest,
            "length": self.length,
            "cut": self.cut,
            "columns": list(self.columns),
            "inputs": dict(self.kinds),
            "dtypes": dict(self.dtypes),
            "pad_id": self.pad_id,
            "pads_left": self.pads_left,
            "words": self.words,
            "pooling": self.pooling,
        }
