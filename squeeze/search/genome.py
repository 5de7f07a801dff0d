"""Moves in a family's space: random genomes, mutation, crossover, and bringing a genome inside limits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from squeeze import students
from squeeze.students import FAMILIES

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from squeeze.spec import ArchSpec
    from squeeze.students import ArchCost
    from squeeze.students.family import Gene, Genome
    from squeeze.students.student_spec import StudentSpec

# Genes that are numbers of channels.
_CHANNELS = ("stem", "widths", "width", "head")
# Moves without success after which a genome counts as full, and moves in all.
_PATIENCE = 16
_MOST_MOVES = 400


@dataclass(frozen=True)
class Space:
    """A family's choices for one spec."""

    family: str
    spec: StudentSpec
    genes: tuple[Gene, ...]
    smallest: Genome

    def arch(self, genome: Genome) -> ArchSpec:
        """The complete ArchSpec of a genome."""
        return students.arch_of(self.family, self.spec, genome)

    def cost(self, genome: Genome) -> ArchCost:
        """The cost of a genome."""
        return students.cost(self.arch(genome))

    @property
    def least(self) -> ArchCost:
        """The cost of the smallest genome."""
        return self.cost(self.smallest)

    def draw(self, rng: random.Random) -> Genome:
        """Every gene drawn on its own."""
        genome = self.smallest
        for gene in self.genes:
            genome = gene.write(genome, rng.choice(gene.choices))
        return self._ordered(genome)

    def mutate(self, genome: Genome, rng: random.Random) -> Genome:
        """One or two genes move by up to two choices."""
        for _ in range(rng.choice((1, 2))):
            gene = rng.choice(self.genes)
            at = _position(gene, genome) + rng.choice((-2, -1, 1, 2))
            genome = gene.write(genome, gene.choices[min(max(at, 0), len(gene.choices) - 1)])
        return self._ordered(genome)

    def cross(self, one: Genome, two: Genome, rng: random.Random) -> Genome:
        """Each gene from either parent."""
        genome = one
        for gene in self.genes:
            if rng.random() < 0.5:
                genome = gene.write(genome, gene.read(two))
        return self._ordered(genome)

    def fit(
        self,
        genome: Genome,
        inside: Callable[[ArchCost], bool],
        full: Callable[[ArchCost], bool],
        rng: random.Random,
    ) -> Genome:
        """Shrinks `genome` by random steps until `inside`, then grows it until `full` or nothing more fits.

        The least of this space must be inside.
        """
        cost = self.cost(genome)
        while not inside(cost):
            genome = self._step(genome, -1, rng)
            cost = self.cost(genome)
        failures = 0
        for _ in range(_MOST_MOVES):
            if full(cost) or failures >= _PATIENCE:
                break
            larger = self._step(genome, 1, rng)
            found = self.cost(larger)
            if larger != genome and inside(found):
                genome, cost, failures = larger, found, 0
            else:
                failures += 1
        return genome

    def _ordered(self, genome: Genome) -> Genome:
        return FAMILIES[self.family].ordered(genome)

    def _step(self, genome: Genome, direction: int, rng: random.Random) -> Genome:
        movable = [g for g in self.genes if 0 <= _position(g, genome) + direction < len(g.choices)]
        if not movable:
            return genome
        gene = rng.choice(movable)
        return self._ordered(gene.write(genome, gene.choices[_position(gene, genome) + direction]))


def space_of(family: str, spec: StudentSpec, *, coarse: bool = False, alignment: int = 1) -> Space:
    """The space of a family for one input and output; `coarse` at half the usual resolution.

    alignment: numbers of channels are multiples of it, but for the fewest that there can be.
    """
    found = FAMILIES[family]
    smallest = found.smallest(spec, coarse)
    genes = tuple(_aligned(gene, smallest, alignment) for gene in found.space(spec))
    return Space(family, spec, genes, smallest)


def _aligned(gene: Gene, smallest: Genome, alignment: int) -> Gene:
    if gene.name not in _CHANNELS:
        return gene
    least = gene.read(smallest)
    kept = tuple(c for c in gene.choices if c % alignment == 0 or c == least)
    return replace(gene, choices=kept)


def _position(gene: Gene, genome: Genome) -> int:
    return gene.choices.index(gene.read(genome))
