"""An encoder with fewer heads and channels, and what that saves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from squeeze.note import Note
from squeeze.students.encoder import Encoder, without

if TYPE_CHECKING:
    from squeeze.prune.encoders.planning import Plan


@dataclass(frozen=True)
class Cut:
    """removed: layers that shrank, with their heads and channels before and after. macs: of one sample."""

    module: Encoder
    removed: dict[str, tuple[int, int]]
    macs_before: int
    macs_after: int
    notes: tuple[Note, ...] = ()

    @property
    def ratio(self) -> float:
        """The share of the MACs that went."""
        return 1 - self.macs_after / self.macs_before


def cut(encoder: Encoder, stays: Plan, tokens: int) -> Cut:
    """A copy of `encoder` with what `stays`. tokens: of a sample, of which the MACs are."""
    made = without(encoder, stays.heads, stays.ffn)
    removed: dict[str, tuple[int, int]] = {}
    for i, (was, now) in enumerate(zip(encoder.params.widths, made.params.widths, strict=True)):
        for name, before, after in (("heads", was.heads, now.heads), ("ffn", was.ffn, now.ffn)):
            if after != before:
                removed[f"layers.{i}.{name}"] = (before, after)
    return Cut(made, removed, encoder.params.costs(tokens).macs, made.params.costs(tokens).macs)
