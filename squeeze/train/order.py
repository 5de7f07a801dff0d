"""Which views of the data a training sees, in which order, and what of them is not taught by the guide."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from squeeze.guides.sureness import Sorted, softened, sorted_views
from squeeze.outputs import Outputs
from squeeze.train.schedule import picks

if TYPE_CHECKING:
    from squeeze.guides import Guide
    from squeeze.guides.views import Views
    from squeeze.spec import DistillPart

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Order:
    """crops: views of a sample that come together; share: of the samples that an epoch has; sorted: which views are
    left, None for all."""

    crops: int = 1
    share: float = 1.0
    sorted: Sorted | None = None

    @classmethod
    def of(cls, part: DistillPart, guide: Guide, views: Views) -> Order:
        """As `part` wants it. Looks through all answers where they are sorted."""
        share = part.keep if part.keep_chosen == "anew" else 1.0
        found = sorted_views(guide, part, len(views.calib.fit), views.count, views.seed)
        return cls(part.crops, share, found)

    def at(
        self, step: int, *, n: int, batch_size: int, views: int, seed: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Sample and view numbers of a batch of n samples with as many views, [batch_size] each."""
        left, count = (np.arange(n), views) if self.sorted is None else self.sorted.seen
        chosen, nth = picks(
            step,
            n=len(left),
            batch_size=batch_size,
            views=count,
            seed=seed,
            crops=self.crops,
            share=self.share,
        )
        samples = left[chosen]
        return samples, nth if self.sorted is None else self.sorted.numbered(samples, nth)

    def taught(
        self,
        answers: Outputs[Array],
        samples: NDArray[np.int64],
        views: NDArray[np.int64],
        labels: NDArray[np.generic] | None,
    ) -> Outputs[Array]:
        """The answers to some views, with the softened label in the place of those that mislead."""
        if self.sorted is None or labels is None:
            return answers
        rows = np.flatnonzero(self.sorted.labelled[samples, views])
        logits = answers.logits.copy()
        logits[rows] = softened(labels[rows], logits.shape[1])
        return replace(answers, logits=logits)


# Every view of every sample, one of a sample at a time.
ALL = Order()
