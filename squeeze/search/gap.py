"""How far a student is from its teacher, and the networks in between that are taught in turn: assistants (Mirzadeh et
al., "Improved Knowledge Distillation via Teacher Assistant", AAAI 2020).

Far is more than five times fewer parameters, or ten times fewer multiplications. Sizes of assistants are geometric, so
that no network is more than 2.5 times as large as the one that it teaches: about what a student learns best from (Zhang
et al., "Towards the Law of Capacity Gap in Distilling Language Models", 2023).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from squeeze import students
from squeeze.search.genome import space_of
from squeeze.students.student_spec import StudentSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from squeeze.search.genome import Space
    from squeeze.spec import ArchSpec
    from squeeze.students import ArchCost
    from squeeze.students.family import Gene, Genome
    from squeeze.teacher import Teacher

_PARAMS, _MACS = 5.0, 10.0
_RATIO = 2.5  # between a network and the one that it teaches


@dataclass(frozen=True)
class Gap:
    """How many times fewer parameters and multiply-accumulates a student has than its teacher."""

    params: float
    macs: float

    @classmethod
    def between(cls, teacher: Teacher, cost: ArchCost) -> Gap:
        """Of a teacher and what a student costs."""
        return cls(teacher.params / cost.params, teacher.macs / max(1, cost.macs))

    @property
    def wide(self) -> bool:
        """Whether a student learns badly over it."""
        return self.params > _PARAMS or self.macs > _MACS

    @property
    def by_macs(self) -> bool:
        """Whether it is wide in multiplications alone; sizes are those then, else parameters."""
        return self.params <= _PARAMS and self.macs > _MACS

    @property
    def ratio(self) -> float:
        """Between the two sizes."""
        return self.macs if self.by_macs else self.params

    @property
    def assistants(self) -> int:
        """How many networks it takes in between; none where it is not wide."""
        return teachings(self.ratio) - 1 if self.wide else 0

    def words(self) -> str:
        """What it is, and what helps."""
        return (
            f"{self.params:.1f}x fewer parameters and {self.macs:.1f}x fewer MACs than the teacher may cost accuracy "
            f"(distill.assistants = 'auto' trains {self.assistants} in between)"
        )


def teachings(ratio: float) -> int:
    """How many times somebody teaches, where none is more than 2.5 times as large as its student: once at least."""
    # What is 2.5 to a whole power shall not be a step more by its last bit.
    return max(1, math.ceil(math.log(ratio) / math.log(_RATIO) - 1e-9))


def sizes(small: float, large: float, between: int) -> list[float]:
    """`between` sizes in equal ratios, the largest first, without the ends."""
    steps = between + 1
    return [small * (large / small) ** (k / steps) for k in range(between, 0, -1)]


def assistants(teacher: Teacher, arch: ArchSpec, between: int) -> list[ArchSpec]:
    """Up to `between` networks of the student's own family from the teacher's size down to its own, the largest first.

    They are the student with everything that adds parameters moved alike towards the most that its family has. Fewer,
    where the family ends below a size, so that two of them would be the same.
    """
    own = students.cost(arch)
    gap = Gap.between(teacher, own)

    def size(cost: ArchCost) -> int:
        return cost.macs if gap.by_macs else cost.params

    way = [(math.log(size(students.cost(one))), one) for one in _grown(arch)]
    found: list[ArchSpec] = []
    last = math.inf
    for wanted in sizes(size(own), gap.ratio * size(own), between):
        near, one = min(way, key=lambda at: abs(at[0] - math.log(wanted)))
        if math.log(size(own)) < near < last:
            found.append(one)
            last = near
    return found


def _grown(arch: ArchSpec) -> Iterator[ArchSpec]:
    """The student on its way to the largest of its family, one choice at a time."""
    known = StudentSpec.model_fields
    spec = StudentSpec(**{name: arch.params[name] for name in known})
    genome = {name: value for name, value in arch.params.items() if name not in known}
    space = space_of(arch.family, spec)
    yield arch
    for gene, choice in _moves(space, genome):
        genome = gene.write(genome, choice)
        yield space.arch(students.FAMILIES[arch.family].ordered(genome))


def _moves(space: Space, genome: Genome) -> list[tuple[Gene, int]]:
    """Every larger choice of what adds parameters, in an order in which all of it gets on alike."""
    found = []
    for place, gene in enumerate(space.genes):
        # A layer that this student does not have.
        if gene.index is not None and gene.index >= len(genome[gene.name]):
            continue
        above = [choice for choice in gene.choices if choice > gene.read(genome)]
        if above and _adds(space, gene, genome, above[-1]):
            found += [(k / len(above), place, gene, choice) for k, choice in enumerate(above, 1)]
    return [(gene, choice) for _, _, gene, choice in sorted(found, key=lambda one: one[:2])]


def _adds(space: Space, gene: Gene, genome: Genome, choice: int) -> bool:
    """Whether more of it are more parameters: not so of strides and patches."""
    return space.cost(gene.write(genome, choice)).params > space.cost(genome).params
