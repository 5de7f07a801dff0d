"""What a quantised file gains beside the model that it was made from: whether that is enough to write it, and in words.

A file that is slower and hardly smaller is worse than the model, which is as good as no file: it is not written, unless
its size is all that is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from squeeze.quantities import show_bytes
from squeeze.steps.timing import FASTER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.account.float_parts import FloatPart

Aim = Literal["both", "size", "speed"]

# A file has to be smaller by as much as it would have to be faster.
SMALLER = FASTER
# From here on nobody asks why it is not smaller still: it takes no more than half.
MUCH_SMALLER = 2.0
SHOWN_PARTS = 4
# Of all that is float; below that a node is not named.
WORTH_NAMING = 0.01


@dataclass(frozen=True)
class Gain:
    """speed: how many times as fast as the model the file is; before, after: the bytes of the two."""

    speed: float
    before: int
    after: int

    @property
    def is_faster(self) -> bool:
        """By more than the noise of a timing."""
        return self.speed * FASTER > 1

    @property
    def is_much_smaller(self) -> bool:
        return self.before >= MUCH_SMALLER * self.after

    def is_enough(self, aim: Aim) -> bool:
        """Whether the file is better than the model in what counts."""
        if self.is_faster or aim == "speed":
            return self.is_faster
        return self.after < self.before * (1 if aim == "size" else SMALLER)

    def __str__(self) -> str:
        percent = 100 * (self.after / self.before - 1)
        size = f"{abs(percent):.1f} % {'larger' if percent > 0 else 'smaller'}"
        return f"{self.speed:.2f}x the speed of the model on this machine, {size}"


def why_little(parts: Sequence[FloatPart], bytes_: int) -> str:
    """What of a file of `bytes_` bytes is float still, by node; "" where that is less than half of it."""
    total = sum(part.bytes for part in parts)
    if 2 * total < bytes_:
        return ""
    large = [part for part in parts if part.bytes >= WORTH_NAMING * total][:SHOWN_PARTS]
    named = [f"'{part.node}' ({part.op_type}, {show_bytes(part.bytes)})" for part in large]
    if more := len(parts) - len(named):
        named.append(f"{more} more")
    return f"{100 * total / bytes_:.0f} % of its bytes are float: {', '.join(named)}"
