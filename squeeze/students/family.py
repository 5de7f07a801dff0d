"""What a family of students is: which inputs it fits, its space of choices, and its parameters as blocks of layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from squeeze.students.student import Student

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from squeeze.students.student import AnyBlock
    from squeeze.students.student_spec import StudentSpec

# The values of a family's own parameters by name: int, or tuples for per-stage ones. Any: as in ArchSpec.params.
Genome = dict[str, Any]


@dataclass(frozen=True)
class Gene:
    """One choice: parameter `name` (entry `index` of it, when it is per stage) is one of `choices`, the cheapest
    first."""

    name: str
    choices: tuple[int, ...]
    index: int | None = None

    def read(self, genome: Genome) -> int:
        """Its value in `genome`."""
        value = genome[self.name]
        return int(value if self.index is None else value[self.index])

    def write(self, genome: Genome, value: int) -> Genome:
        """A new genome in which it has `value`."""
        if self.index is None:
            return {**genome, self.name: value}
        changed = list(genome[self.name])
        changed[self.index] = value
        return {**genome, self.name: tuple(changed)}


@dataclass(frozen=True)
class Family:
    """One family. `params` is its parameter class, a subclass of StudentSpec that names everything `blocks` reads.

    fits(modality, input_shape); smallest(spec, coarse) is the complete genome with the least of everything,
    `coarse` for budgets that it is too large for at the usual resolution; space(spec) the choices; blocks(params)
    raises ConfigError where values do not belong together. ordered(genome) is the nearest genome, none larger, of a
    shape that is known to train well: scores of untrained networks do not see it. asked: only where `search.families`
    names it.
    """

    name: str
    depthwise: bool
    params: type[StudentSpec]
    fits: Callable[[str, tuple[int, ...]], bool]
    smallest: Callable[[StudentSpec, bool], Genome]
    space: Callable[[StudentSpec], tuple[Gene, ...]]
    # Any family's params go in here, each function takes its own subclass: contravariance that mypy cannot see.
    blocks: Callable[..., Sequence[AnyBlock]]
    ordered: Callable[[Genome], Genome] = dict
    student: type[Student] = Student
    asked: bool = False


def per_stage(name: str, stages: int, choices: tuple[int, ...]) -> tuple[Gene, ...]:
    """One gene per stage with the same choices."""
    return tuple(Gene(name, choices, i) for i in range(stages))
