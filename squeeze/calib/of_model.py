"""What a model's own files say of its data: how images become its input, what its classes are called,
which inputs need no arrays.

It stands for what nobody else says: a TOML and the command line go before it, and samples that are no pixels (below 0,
or above 255) are taken as preprocessed already.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze.calib import modality, resample
from squeeze.calib.lookups import Lookups
from squeeze.calib.preprocess import Preprocess
from squeeze.calib.rows import Raw, value_range
from squeeze.spec import parse

logger = logging.getLogger(__name__)

_BYTE = 255.0


@dataclass(frozen=True)
class OfModel:
    """preprocess: keys of [preprocess] for images of bytes, "scale" among them; None where nothing is said.
    class_names: of the classes 0, 1, ...; empty where nothing is said. constants: inputs that are the same number
    everywhere where the data have no array for them. lookups: what inputs are looked up in."""

    preprocess: Mapping[str, Any] | None = None  # Any: values of keys
    class_names: Sequence[str] = ()
    constants: Mapping[str, float] = field(default_factory=dict)
    lookups: Lookups = field(default_factory=Lookups)

    def beneath(self, said: Preprocess, x: Raw, source: str) -> Preprocess:
        """`said` with the model's own where it says nothing. x: stored samples [n, ...]."""
        if self.preprocess is None:
            return said
        low, high = value_range([x])
        if low < 0 or high > _BYTE or modality.infer(x) != "image":
            logger.warning(
                "%s: values %g..%g are no pixels, taken as preprocessed already; the model's own preprocessing is left "
                "out",
                source,
                low,
                high,
            )
            return said
        keys = dict(self.preprocess)
        if high <= 1:
            keys["scale"] *= _BYTE
        height, width = resample.plane(x.shape[1:], said.layout)
        if (x.shape[1 + height], x.shape[1 + width]) == keys.get("resize"):
            keys.pop("resize")
        known = said.model_dump(include=said.model_fields_set)
        return parse(Preprocess, {**keys, **known}, "the model's preprocessing")

    def names(self, known: Sequence[str], classes: int | None) -> tuple[str, ...]:
        """`known` ones, else the model's, if there are as many as labels tell apart, or no labels."""
        fits = len(self.class_names) >= max(2 if classes is None else 1, classes or 0)
        return tuple(known or (self.class_names if fits else ()))

    def numbers_of(self, names: Sequence[str]) -> NDArray[np.int64] | None:
        """The model's number of each class of a set, by its name; None where they are numbered so already, or where the
        model does not have them all under one name each."""
        own = [name.casefold() for name in self.class_names]
        here = [name.casefold() for name in names]
        if not here or len(set(own)) < len(own) or len(set(here)) < len(here):
            return None
        if not set(here) <= set(own) or here == own[: len(here)]:
            return None
        return np.asarray([own.index(name) for name in here], np.int64)
