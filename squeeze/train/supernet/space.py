"""Which parts of the teacher there are to choose from: three compact spaces, each of which one network serves.

Xu et al. (AutoDistil, 2022) split the space because very different sizes disturb each other in shared weights, and
count in shares of BERT-base. These are shares of the teacher. Theirs are much narrower than BERT; students there are
trained on billions of tokens, those here on what the user has, and of all sizes the width costs most of what was
inherited.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from squeeze.students.encoder import Params

Name = Literal["base", "small", "tiny"]
# Shares of the teacher's layers, heads, width and feed-forward width.
_SHARES: dict[Name, tuple[tuple[float, ...], ...]] = {
    "base": (
        (1 / 2, 2 / 3, 5 / 6, 1.0),
        (3 / 4, 5 / 6, 11 / 12, 1.0),
        (7 / 8, 1.0),
        (1 / 2, 2 / 3, 5 / 6, 1.0),
    ),
    "small": (
        (1 / 3, 1 / 2),
        (1 / 2, 2 / 3, 5 / 6, 1.0),
        (5 / 6, 1.0),
        (3 / 8, 1 / 2, 3 / 4, 1.0),
    ),
    "tiny": (
        (1 / 6, 1 / 3),
        (1 / 3, 1 / 2, 2 / 3),
        (2 / 3, 5 / 6, 1.0),
        (1 / 8, 1 / 4, 3 / 8, 1 / 2),
    ),
}
NAMES: tuple[Name, ...] = ("base", "small", "tiny")
# Widths are multiples of it: int8 kernels work on 16 channels at a time.
_ALIGNED = 16


@dataclass(frozen=True)
class SubSpace:
    """The choices of each size, ascending."""

    layers: tuple[int, ...]
    heads: tuple[int, ...]
    hidden: tuple[int, ...]
    ffn: tuple[int, ...]

    @property
    def largest(self) -> dict[str, int]:
        """The sizes of the largest child."""
        return {name: max(getattr(self, name)) for name in ("layers", "heads", "hidden", "ffn")}

    @property
    def smallest(self) -> dict[str, int]:
        """The sizes of the smallest child."""
        return {name: min(getattr(self, name)) for name in ("layers", "heads", "hidden", "ffn")}

    def children(self, teacher: Params) -> list[Params]:
        """All of them, each once; the smallest first and the largest last."""
        names = ("layers", "heads", "hidden", "ffn")
        return [
            teacher.model_copy(update=dict(zip(names, sizes, strict=True)))
            for sizes in product(self.layers, self.heads, self.hidden, self.ffn)
        ]


def sub_space(name: Name, teacher: Params) -> SubSpace:
    """The space of that name for a teacher; of a small one several shares are the same size."""
    layers, heads, hidden, ffn = _SHARES[name]
    return SubSpace(
        _sizes(layers, teacher.layers, 1),
        _sizes(heads, teacher.heads, 1),
        _sizes(hidden, teacher.hidden, _ALIGNED),
        _sizes(ffn, teacher.ffn, _ALIGNED),
    )


def _sizes(shares: tuple[float, ...], whole: int, aligned: int) -> tuple[int, ...]:
    step = aligned if whole % aligned == 0 else 1
    return tuple(sorted({min(whole, max(step, round(s * whole / step) * step)) for s in shares}))
