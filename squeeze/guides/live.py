"""A guide that asks its teacher whenever an answer is wanted: nothing is stored, every step pays for the teacher."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from squeeze.guides.ask import ask, ask_plain

if TYPE_CHECKING:
    from squeeze.guides.views import Views
    from squeeze.outputs import Outputs
    from squeeze.teacher import Teacher


@dataclass(frozen=True)
class Live:
    """`plain`: [m, c], asked once. Make it with `ask_live`."""

    teacher: Teacher
    views: Views
    threads: int
    plain: NDArray[np.float32]

    def at(
        self, samples: NDArray[np.int64], views: NDArray[np.int64], needs: Collection[str] = ()
    ) -> Outputs[NDArray[np.float32]]:
        """Logits [b, c] and the taps `needs` for view views[k] of sample samples[k].

        Raises ConfigError for a tap that the teacher does not have, MeasureError as `ask`.
        """
        return ask(self.teacher, self.views.at(samples, views).x, needs, self.threads)

    def moments(self) -> tuple[NDArray[np.float32], float]:
        """Mean of each output [c], and the standard deviation around it over all outputs, on the plain inputs."""
        wide = self.plain.astype(np.float64)
        return wide.mean(0).astype(np.float32), float(np.sqrt(wide.var(0).mean()))

    def key(self) -> dict[str, Any]:  # Any: JSON
        """Everything that decides the answers."""
        return {"teacher": self.teacher.digest, "views": self.views.identity()}


def ask_live(teacher: Teacher, views: Views, *, threads: int) -> Live:
    """The guide that asks `teacher` on `threads` threads. Raises MeasureError as `ask`."""
    plain = ask_plain(teacher, views.calib, threads)
    return Live(teacher, views, threads, np.asarray(plain, np.float32))
