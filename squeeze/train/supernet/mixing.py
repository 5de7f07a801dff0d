"""Texts made of texts, for a corpus that is too small: the teacher is asked what they mean, so that they need no sense.

Three ways in turn: tokens of one text are dropped (each with the chance DROPPED, as in Wei and Zou, EDA, 2019); the
beginning of one text goes on as the end of another; two texts are one. First and last token stay, which tokenizers put
there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from squeeze.calib.set import Calib, Split
from squeeze.workdir import digest_json

if TYPE_CHECKING:
    from squeeze.students.encoder import Params

DROPPED = 0.1

_Ids = NDArray[np.int64]


def with_mixed(data: Calib, params: Params, share: float, seed: int) -> Calib:
    """`data` with so many made texts for each of its texts to fit with; as it is for a share of 0, and for encoders
    without a mask, whose padding nobody could tell."""
    split = data.fit
    count = round(share * len(split))
    if not count or params.mask is None:
        return data
    ids, counted = (np.asarray(split.arrays[name][:]) for name in (params.ids, params.mask))
    texts = [row[there != 0] for row, there in zip(ids, counted, strict=True) if there.any()]
    if not texts:
        return data
    random = np.random.default_rng([seed, len(split)])
    made = np.zeros((count, ids.shape[1]), ids.dtype)
    mask = np.zeros_like(made)
    for i in range(count):
        one, other = (texts[text] for text in random.integers(len(texts), size=2))
        row = mixed(i % 3, one, other, random)[: ids.shape[1]].copy()
        row[-1] = one[-1]  # of what was cut, too
        made[i, : len(row)], mask[i, : len(row)] = row, 1
    arrays = {}
    for name, raw in split.arrays.items():
        whole = np.asarray(raw[:])
        more = {params.ids: made, params.mask: mask}.get(name)
        if more is None:  # of segments: all of a made text are in the first one
            more = np.zeros((count, *whole.shape[1:]))
        arrays[name] = np.concatenate([whole, more.astype(whole.dtype)])
    fit = Split(arrays, None, digest_json([split.digest, share, seed]))
    return data.with_fit(fit)


def mixed(way: int, first: _Ids, second: _Ids, random: np.random.Generator) -> _Ids:
    """One text of two; 0: the first with tokens dropped, 1: its beginning and the end of the second, 2: both."""
    if way == 0:
        kept = random.random(len(first)) >= DROPPED
        kept[[0, -1]] = True
        return first[kept]
    if min(len(first), len(second)) < 2:
        return first
    if way == 1:
        at = random.integers(1, len(first))
        goes_on = random.integers(1, len(second))
        return np.concatenate([first[:at], second[goes_on:]])
    return np.concatenate([first[:-1], second[1:]])
