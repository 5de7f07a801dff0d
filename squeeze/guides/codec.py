"""Answers in few bytes: the largest probabilities of a row alone (Shen and Xing, "A Fast Knowledge Distillation
Framework for Visual Recognition", ECCV 2022; Faghri et al., "Reinforce Data, Multiply Impact", ICCV 2023).

full        all logits, as they are
hard        the first choice; its probability counts as 1
smooth-K    the K largest probabilities; the others share what is left alike
renorm-K    the K largest, divided by their sum; the others are 0
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax  # type: ignore[import-untyped]

from squeeze.errors import ConfigError

if TYPE_CHECKING:
    from types import EllipsisType

Kind = Literal["full", "hard", "renorm", "smooth"]
Array = NDArray[Any]  # Any: float16 or float32, or integers

PATTERN = r"full|hard|(smooth|renorm)-[1-9][0-9]{0,4}"
_NEVER = -60_000.0  # the logit of a class that cannot be: float16 ends at 65,504
_NARROW = 1 << 15  # classes that an int16 can number
_VALUE_BYTES = 2  # float16


@dataclass(frozen=True)
class Codec:
    """How rows of `classes` logits are stored. count: of the probabilities that are."""

    kind: Kind
    count: int
    classes: int

    @property
    def index_type(self) -> type[np.signedinteger[Any]]:
        """Of the stored numbers of classes."""
        return np.int16 if self.classes <= _NARROW else np.int32

    @property
    def bytes_per_answer(self) -> int:
        """On disk, for one view of one sample."""
        index = np.dtype(self.index_type).itemsize
        if self.kind == "full":
            return _VALUE_BYTES * self.classes
        return index if self.kind == "hard" else self.count * (index + _VALUE_BYTES)

    def encode(self, logits: NDArray[np.float32]) -> tuple[Array, Array]:
        """Numbers of classes [n, k], the largest first, and their probabilities [n, k] in float16, of logits [n, c]; of
        `hard` [n, 1] and [n, 0]."""
        order = np.argsort(-logits, axis=1, kind="stable")[:, : self.count]
        chosen = order.astype(self.index_type)
        if self.kind == "hard":
            return chosen, np.empty((len(logits), 0), np.float16)
        values = np.take_along_axis(softmax(logits.astype(np.float64), axis=1), order, axis=1)
        return chosen, values.astype(np.float16)

    def decode(self, chosen: Array, values: Array) -> NDArray[np.float32]:
        """Logits [n, c] whose softmax is what was stored: rows of probabilities that sum to 1, as logarithms."""
        kept = np.ones(chosen.shape) if self.kind == "hard" else values.astype(np.float64)
        left = 0.0 if self.kind != "smooth" else (1 - kept.sum(1, keepdims=True)).clip(0)
        found = np.broadcast_to(
            left / max(1, self.classes - self.count), (len(chosen), self.classes)
        )
        whole = found.copy()
        np.put_along_axis(whole, chosen.astype(np.int64), kept, axis=1)
        whole /= whole.sum(1, keepdims=True)
        with np.errstate(divide="ignore"):
            found = np.log(whole).clip(_NEVER)
        return np.asarray(found, np.float32)


@dataclass(frozen=True)
class Coded:
    """Stored rows that read as the array of logits [n, c] they are of."""

    codec: Codec
    chosen: Array
    values: Array

    @property
    def shape(self) -> tuple[int, int]:
        """Of the logits."""
        return len(self.chosen), self.codec.classes

    def __getitem__(self, rows: NDArray[np.int64] | slice | EllipsisType) -> NDArray[np.float32]:
        return self.codec.decode(self.chosen[rows], self.values[rows])


def codec_of(name: str, classes: int) -> Codec:
    """The codec that `distill.codec` names. Raises ConfigError for one that stores as much as all logits."""
    if not re.fullmatch(PATTERN, name):
        raise ConfigError(
            f"distill.codec: got '{name}', allowed: full, hard, smooth-K or renorm-K, such as renorm-10"
        )
    if name == "full":
        return Codec("full", classes, classes)
    kind, _, count = name.partition("-")
    # Both come from the pattern.
    found = Codec(kind, int(count or 1), classes)  # type: ignore[arg-type]
    if found.count >= classes:
        raise ConfigError(
            f"distill.codec: '{name}' keeps {count} of {classes} classes; take fewer, or 'full'"
        )
    return found


def bytes_of(codec: Codec, samples: int, views: int) -> int:
    """What the answers to so many views of so many samples take on disk, without taps."""
    return codec.bytes_per_answer * samples * views
