"""How often a map is halved: from the size of the input to stem and stage strides; the order of widths; checks of
per-stage parameters."""

from __future__ import annotations

from math import ceil, log2
from typing import TYPE_CHECKING

from squeeze.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.students.family import Genome

# Widths are multiples of 16 where a layer can afford it: int8 kernels work on 16 channels at a time.
WIDTHS = (8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512)

_FINAL_SIZE = 8
_MOST_STAGES = 4


def halvings(size: int, final: int = _FINAL_SIZE) -> int:
    """How many halvings bring `size` to `final` or below it."""
    return max(0, ceil(log2(size / final)))


def image_strides(size: Sequence[int], coarse: bool = False) -> tuple[int, tuple[int, ...]]:
    """Stem stride and stage strides for an image [h, w], so that the shorter side ends at 4 to 8.

    Up to 32 pixels the stem keeps the resolution: 8 -> (1, (1, 2)), 28, 32 -> (1, (1, 2, 2)), 96 -> (2, (1, 2, 2, 2)),
    224 -> (2, (2, 2, 2, 2)), 512 -> (4, (2, 2, 2, 2)). `coarse` doubles the stem stride: a quarter of the work.
    """
    stem, stages = _usual_strides(size)
    return (2 * stem if coarse else stem), stages


def _usual_strides(size: Sequence[int]) -> tuple[int, tuple[int, ...]]:
    total = max(1, halvings(min(size)))
    if total <= 2:
        return 1, (1,) + (2,) * total
    stages = min(total, _MOST_STAGES)
    if total - 1 < stages:
        return 2, (1,) + (2,) * (stages - 1)
    return 2 ** (total - stages), (2,) * stages


def ascending(genome: Genome) -> Genome:
    """A stage is one to two times as wide as the one before it; the stem is no wider than the first."""
    widths: list[int] = sorted(genome["widths"])
    for i in range(1, len(widths)):
        widths[i] = min(widths[i], 2 * widths[i - 1])
    return {**genome, "widths": tuple(widths), "stem": min(genome["stem"], widths[0])}


def check_lengths(family: str, **values: Sequence[object]) -> None:
    """Raises ConfigError unless all per-stage parameters have an entry for each stage."""
    lengths = {name: len(value) for name, value in values.items()}
    if len(set(lengths.values())) > 1:
        got = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        raise ConfigError(f"architecture '{family}': {got}; each needs one entry per stage")


def check_odd(family: str, name: str, kernels: Sequence[int]) -> None:
    """Raises ConfigError for an even kernel: padding could not keep the map centred."""
    for kernel in kernels:
        if kernel % 2 == 0:
            raise ConfigError(
                f"architecture '{family}': {name}: {kernel} is even; use 1, 3, 5, ..."
            )


def check_rank(family: str, size: Sequence[int], allowed: Sequence[int]) -> None:
    """Raises ConfigError when the input does not have the family's number of spatial dimensions."""
    if len(size) not in allowed:
        wanted = " or ".join(map(str, allowed))
        raise ConfigError(
            f"architecture '{family}': input_shape has {len(size)} spatial dimensions; it takes {wanted}"
        )
