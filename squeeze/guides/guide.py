"""What a student learns from: somebody who has an answer to every view of the data."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from squeeze.outputs import Outputs


class Guide(Protocol):
    """Answers by number of sample and view; `cached` reads them from disk, `live` asks a teacher when one is wanted."""

    @property
    def plain(self) -> NDArray[np.float32]:
        """[m, c] logits for the first m inputs of the calibrate split, unaugmented: a training is watched by them."""

    def at(
        self, samples: NDArray[np.int64], views: NDArray[np.int64], needs: Collection[str] = ()
    ) -> Outputs[NDArray[np.float32]]:
        """Logits [b, c] and the taps `needs` [b, ...] for view views[k] of sample samples[k]; both [b].

        Raises ConfigError for a tap that the guide does not have.
        """

    def moments(self) -> tuple[NDArray[np.float32], float]:
        """Mean of each output [c], and the standard deviation around it over all outputs."""

    def key(self) -> dict[str, Any]:  # Any: JSON
        """Everything that decides the answers."""
