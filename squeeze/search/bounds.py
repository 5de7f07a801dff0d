"""What a candidate may cost: from the goal where it says so, else from the recipe's speedup and shrink."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from squeeze.search import estimate

if TYPE_CHECKING:
    from squeeze.spec import Goal, SearchPart
    from squeeze.students import ArchCost
    from squeeze.teacher import Teacher

# Kept free below a limit of the goal: estimates err, and the artifact must meet it.
_LATENCY_RESERVE = 0.9
_BYTES_RESERVE = 0.95
_NO_LIMIT = 1 << 62
# 4 bits lose nothing after a short training, 3 and 2 bits half a point and one (docs/quantisation.md).
_AUTO_BITS = (4, 3, 2)
# A student never does more than this share of the teacher's work, or it would not be worth its training.
_MACS_SHARE = 0.4
_PARAMS_SHARE = 0.6


@dataclass(frozen=True)
class Bounds:
    """Limits of a candidate. The latencies are measured, as shares of the teacher's; the others are estimates.

    latency_ratio: what is aimed at. demanded: by the goal, so that nothing beyond it may be picked; else the recipe
    wishes it. bytes_wished: the same of bytes. bits: of the weights in the file that has these bytes;
    fewer_bits: what may be tried after them.
    """

    bytes: int
    macs: int
    params: int
    ram_bytes: int
    latency_ratio: float
    demanded: bool
    bytes_wished: bool
    bits: int = 8
    fewer_bits: tuple[int, ...] = ()

    def admit(self, cost: ArchCost) -> bool:
        """Whether the estimates are inside; latency is not among them."""
        return (
            cost.macs <= self.macs
            and cost.params <= self.params
            and self.bytes_of(cost) <= self.bytes
            and estimate.int8_ram_bytes(cost) <= self.ram_bytes
        )

    def numbers(self) -> dict[str, float]:
        """The limits that a search keeps to, for its result."""
        found = asdict(self)
        del found["fewer_bits"]
        return {name: float(limit) for name, limit in found.items()}

    def bytes_of(self, cost: ArchCost) -> int:
        """Guessed bytes of the file."""
        return estimate.file_bytes(cost, estimate.stored(self.bits))

    def filled(self, cost: ArchCost) -> float:
        """The share of the tightest of these limits that is used."""
        return max(
            cost.macs / self.macs,
            cost.params / self.params,
            self.bytes_of(cost) / self.bytes,
            estimate.int8_ram_bytes(cost) / self.ram_bytes,
        )


def bounds_of(teacher: Teacher, part: SearchPart, goal: Goal, teacher_latency_ms: float) -> Bounds:
    """The limits for students of `teacher`, which needs `teacher_latency_ms` for one sample.

    A student for a device whose memory is limited is worth its training by that alone, so that nothing is wished of its
    speed and size there.
    """
    teacher_bytes = teacher.model.stat().st_size
    bits, *fewer = _bits(part) if goal.max_bytes is not None else (8,)
    for_memory = goal.max_ram_bytes is not None or goal.max_flash_bytes is not None
    most_bytes = teacher_bytes if for_memory else teacher_bytes / part.shrink
    if goal.max_bytes is not None:
        # Fewer bits are shared out to what just fits: nothing is kept free for that.
        most_bytes = (_BYTES_RESERVE if bits == 8 else 1.0) * goal.max_bytes
    if goal.max_flash_bytes is not None:
        most_bytes = min(most_bytes, _BYTES_RESERVE * goal.max_flash_bytes)
    ratio = 1.0 if for_memory else 1 / part.speedup
    if goal.max_latency_ms is not None:
        ratio = _LATENCY_RESERVE * goal.max_latency_ms / teacher_latency_ms
    return Bounds(
        bytes=max(1, int(min(most_bytes, teacher_bytes))),
        macs=max(1, int((1.0 if for_memory else _MACS_SHARE) * teacher.macs)),
        params=max(1, int((1.0 if for_memory else _PARAMS_SHARE) * teacher.params)),
        ram_bytes=goal.max_ram_bytes or _NO_LIMIT,
        latency_ratio=min(1.0, ratio),
        demanded=goal.max_latency_ms is not None,
        bytes_wished=goal.max_bytes is None and not for_memory,
        bits=bits,
        fewer_bits=tuple(fewer),
    )


def _bits(part: SearchPart) -> tuple[int, ...]:
    """Of the weights of a student for a demanded size, one after the other."""
    return _AUTO_BITS if part.bits == "auto" else (part.bits,)
