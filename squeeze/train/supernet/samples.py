"""Samples of a split as a batch of tensors: texts of like lengths, without the padding that no text of it needs; images
as they are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from squeeze.train.schedule import picks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from squeeze.calib import Calib, Split
    from squeeze.students.encoder import Params

# So many batches are drawn at once and sorted by length: padding costs as much as words.
_POOL = 16


@dataclass(frozen=True)
class Samples:
    """`split` of `calib` as the inputs of an encoder of `params`, in their order."""

    calib: Calib
    split: Split
    params: Params

    def __len__(self) -> int:
        return len(self.split)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sample, of a text up to the last one that counts."""
        if self.params.patches is not None:
            return np.full(len(self), self.params.patches.tokens)
        name = self.params.mask or self.params.ids
        found = np.asarray(self.calib.feed(self.split)[name])
        length = found.shape[1]
        if self.params.mask is None:
            return np.full(len(found), length)
        last: NDArray[np.int64] = length - (found[:, ::-1] != 0).argmax(axis=1)
        return np.where((found != 0).any(axis=1), last, 1)

    def at(self, samples: NDArray[np.int64]) -> Tensor:
        """[inputs, b, s] of int64; of images [1, b, channels, height, width] of float32."""
        feed = self.calib.take(self.split, samples)
        if self.params.patches is not None:
            return torch.from_numpy(np.asarray(feed[self.params.ids], np.float32))[None]
        longest = int(self.lengths[samples].max())
        arrays = [np.asarray(feed[n])[:, :longest] for n in self.params.inputs]
        return torch.from_numpy(np.stack(arrays).astype(np.int64))

    def drawn(self, step: int, batch_size: int, seed: int) -> NDArray[np.int64]:
        """The samples of a step: each once an epoch, those of a batch of like lengths."""
        pool, place = divmod(step, _POOL)
        samples, _ = picks(pool, n=len(self), batch_size=_POOL * batch_size, views=1, seed=seed)
        ordered = samples[np.argsort(self.lengths[samples], kind="stable")]
        turn = np.random.default_rng([seed, pool]).permutation(_POOL)[place]
        return ordered[turn * batch_size : (turn + 1) * batch_size]

    def in_order(self, batch_size: int, most: int | None = None) -> Iterator[NDArray[np.int64]]:
        """The first `most` samples, the shortest first."""
        order = np.argsort(self.lengths[:most], kind="stable")
        for start in range(0, len(order), batch_size):
            yield order[start : start + batch_size]
