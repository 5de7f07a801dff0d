"""How long what is left of a count will take."""

from __future__ import annotations

# Before that a pace says nothing.
LEAST_SECONDS = 2.0


class Remaining:
    """At the pace since the count began. Another total, or a count that goes back, begins anew."""

    def __init__(self) -> None:
        self._total = self._first = self._done = 0
        self._began = 0.0

    def seconds(self, done: int, total: int, now: float) -> float | None:
        """What is left at the time `now`, in seconds; None where that is not known yet, or nothing is left."""
        if total != self._total or done < self._done:
            self._total, self._first, self._began = total, done, now
        self._done = done
        made, spent = done - self._first, now - self._began
        if made <= 0 or spent < LEAST_SECONDS or done >= total:
            return None
        return spent / made * (total - done)
