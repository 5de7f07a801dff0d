"""Views by how sure the guide is of them: what says little is left out, what misleads is taught by its label, what is
easy is seen half as often (Shen, "FerKD: Surgical Label Adaptation for Efficient Distillation", ICCV 2023).

The paper sets its bounds by hand for one set of data; here they are shares of the set's own views.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax  # type: ignore[import-untyped]

from squeeze.guides.draw import hashed

if TYPE_CHECKING:
    from squeeze.guides.guide import Guide
    from squeeze.spec import DistillPart

_AT_ONCE = 4096  # answers
_SOFTENED = 0.1  # of a label, which all classes share
_THIN_SLOT = 103  # of the draws of a view


@dataclass(frozen=True)
class Sorted:
    """kept: [n, views] those that are seen; labelled: [n, views] those that are taught by their label."""

    kept: NDArray[np.bool_]
    labelled: NDArray[np.bool_]

    @cached_property
    def seen(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Numbers of the samples [m] that have a view left, and how many they have [m]."""
        count = self.kept.sum(1)
        samples = np.flatnonzero(count)
        return samples, count[samples]

    def numbered(self, samples: NDArray[np.int64], nth: NDArray[np.int64]) -> NDArray[np.int64]:
        """The view [b] that is the nth[k] of those which are left of sample samples[k]."""
        first = np.argsort(~self.kept[samples], axis=1, kind="stable")
        return np.asarray(first[np.arange(len(samples)), nth])


def sort(
    confidence: NDArray[np.float32], *, drop: float, label: float, thin: float, seed: int
) -> Sorted:
    """Of all views, [n, views] in 0..1: the share `drop` of the least sure is left out, and the next `label` are taught
    by their label; of the surest `thin` every other one is left out, by chance. Of equals the first are less sure."""
    n, views = confidence.shape
    place = np.empty(n * views, np.int64)
    place[np.argsort(confidence.ravel(), kind="stable")] = np.arange(n * views)
    rank = (place.reshape(n, views) + 0.5) / (n * views)
    samples, view = np.indices((n, views))
    chance = hashed(seed, samples, view, _THIN_SLOT) >> np.uint64(63)
    easy = (rank > 1 - thin) & (chance == 1)
    return Sorted((rank > drop) & ~easy, (rank > drop) & (rank < drop + label))


def sorted_views(
    guide: Guide, part: DistillPart, samples: int, views: int, seed: int
) -> Sorted | None:
    """The views of a guide of classes as `part` wants them sorted; None where it wants nothing of it."""
    wanted = {"drop": part.drop_unsure, "label": part.label_unsure, "thin": part.thin_sure}
    if not any(wanted.values()):
        return None
    confidence = np.empty((samples, views), np.float32)
    for rows, view in _parts(samples, views):
        logits = guide.at(rows, np.full(len(rows), view)).logits
        confidence[rows, view] = softmax(logits.astype(np.float64), axis=1).max(1)
    return sort(confidence, **wanted, seed=seed)


def softened(labels: NDArray[np.generic], classes: int) -> NDArray[np.float32]:
    """Logits [n, c] whose softmax is a label, class numbers [n] or shares [n, c], of which all classes have a tenth."""
    shares = np.eye(classes)[labels] if labels.ndim == 1 else labels.astype(np.float64)
    found: NDArray[np.float32] = np.log((1 - _SOFTENED) * shares + _SOFTENED / classes).astype(
        np.float32
    )
    return found


def _parts(samples: int, views: int) -> Iterator[tuple[NDArray[np.int64], int]]:
    for view in range(views):
        for start in range(0, samples, _AT_ONCE):
            yield np.arange(start, min(start + _AT_ONCE, samples)), view
