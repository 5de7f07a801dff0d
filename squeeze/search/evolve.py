"""Steady-state evolution at several latency levels at once: each level keeps the best that are inside it as parents.

Levels make the outcome independent of measured times (which wander), yet give candidates around the bound to measure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from squeeze.search import estimate
from squeeze.search.score import Candidate, combined, values_of

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from squeeze.progress import Progress
    from squeeze.search.bounds import Bounds
    from squeeze.search.genome import Space
    from squeeze.search.panel import Panel
    from squeeze.spec import Objective, SearchPart
    from squeeze.students import ArchCost
    from squeeze.students.family import Genome

LEVEL_STEP = 1.3
# Levels reach from this many times the bound down to this share of it: estimates may be that far off.
_ABOVE, _BELOW = 4.0, 0.4
# A candidate should use this share of its tightest limit; accuracy follows size.
_FULL = 0.9
_REACH_SAMPLES = 12
_CROSSOVER = 0.3
_TOURNAMENT = 3
_ATTEMPTS = 8
# A small space is used up: after so many rounds of all levels without anything new the evolution ends.
_FRUITLESS_ROUNDS = 2
# Of four evaluations one goes to the families behind the likeliest one.
_FIRST_FAMILY_SHARE = 4


@dataclass
class Evolution:
    """The state of one search.

    spaces: for each family, the likeliest first, its space at the usual resolution and a coarser one for levels that
    the first can't reach. ms_to_ratio turns guessed milliseconds into a share of the teacher's latency.
    """

    spaces: Sequence[tuple[Space, ...]]
    panels: Sequence[Panel]
    bounds: Bounds
    part: SearchPart
    objective: Objective
    ms_to_ratio: float
    rng: random.Random
    seed: int
    progress: Progress
    history: list[Candidate] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def run(self, levels: Sequence[float], evaluations: int) -> None:
        """Adds up to `evaluations` candidates to the history; those at a level have at most that guessed ratio."""
        start, fruitless = len(self.history), 0
        first = min(self.part.population, max(1, evaluations // 2))
        for turn in range(evaluations):
            level = levels[turn % len(levels)]
            place = self._place(turn)
            found = self._fresh(level, place, evolved=turn >= first)
            fruitless = 0 if found else fruitless + 1
            if found is not None:
                self._evaluate(*found, place)
            elif fruitless > _FRUITLESS_ROUNDS * len(levels):
                return
            self.progress.update(
                turn + 1, evaluations, f"{len(self.history) - start} architectures scored"
            )

    def levels(self) -> list[float]:
        """Guessed latency ratios around the bound, the highest first; none when no space is inside the other limits.

        Only those that some candidate can reach: no higher than the largest that the other limits admit, no lower than
        the smallest of a space. One level just above that smallest where all are beyond 4x the bound.
        """
        admitted = [s for spaces in self.spaces for s in spaces if self.bounds.admit(s.least)]
        if not admitted:
            return []
        least = min(self._ratio(s.least) for s in admitted)
        reach = least
        for turn in range(_REACH_SAMPLES):
            space = admitted[turn % len(admitted)]
            genome = self._fitted(space, space.draw(self.rng), float("inf"))
            reach = max(reach, self._ratio(space.cost(genome)))
        bound = self.bounds.latency_ratio
        level = max(min(_ABOVE * bound, reach), LEVEL_STEP * least)
        lowest = max(_BELOW * min(bound, reach), least)
        found = []
        while level >= lowest:
            found.append(level)
            level /= LEVEL_STEP
        return found

    def scores(self) -> list[float]:
        """The combined score of each candidate in the history."""
        return combined(self.history, self.part.proxy, self.objective)

    def _place(self, turn: int) -> int:
        others = len(self.spaces) - 1
        if others and turn % _FIRST_FAMILY_SHARE == _FIRST_FAMILY_SHARE - 1:
            return 1 + turn // _FIRST_FAMILY_SHARE % others
        return 0

    def _fresh(self, level: float, place: int, *, evolved: bool) -> tuple[Space, Genome] | None:
        """A genome inside the level that was not evaluated yet; None when none was found."""
        space = next((s for s in self.spaces[place] if self._inside(s.least, level)), None)
        if space is None:
            return None
        parents = self._parents(space, level) if evolved else []
        for attempt in range(_ATTEMPTS):
            # Where all children are known already, chance finds what the parents can't.
            child = self._child(space, parents if attempt < _ATTEMPTS / 2 else [])
            genome = self._fitted(space, child, level)
            key = json.dumps([space.family, genome], sort_keys=True)
            if key not in self._seen:
                self._seen.add(key)
                return space, genome
        return None

    def _child(self, space: Space, parents: list[Genome]) -> Genome:
        if len(parents) < 2:
            return space.draw(self.rng)
        # Parents are ordered, the best first: the lowest index of a few drawn wins the tournament.
        drawn = [self.rng.randrange(len(parents)) for _ in range(_TOURNAMENT)]
        child = parents[min(drawn)]
        if self.rng.random() < _CROSSOVER:
            child = space.cross(child, self.rng.choice(parents), self.rng)
        return space.mutate(child, self.rng)

    def _parents(self, space: Space, level: float) -> list[Genome]:
        scored = zip(self.scores(), self.history, strict=True)
        inside = [(s, c) for s, c in scored if c.space is space and c.estimate_ratio <= level]
        inside.sort(key=lambda pair: -pair[0])
        return [c.genome for _, c in inside[: max(2, self.part.population // 4)]]

    def _inside(self, cost: ArchCost, level: float) -> bool:
        return self.bounds.admit(cost) and self._ratio(cost) <= level

    def _fitted(self, space: Space, genome: Genome, level: float) -> Genome:
        def inside(cost: ArchCost) -> bool:
            return self._inside(cost, level)

        def full(cost: ArchCost) -> bool:
            return max(self.bounds.filled(cost), self._ratio(cost) / level) >= _FULL

        return space.fit(genome, inside, full, self.rng)

    def _ratio(self, cost: ArchCost) -> float:
        return self.ms_to_ratio * estimate.latency_ms(cost)

    def _evaluate(self, space: Space, genome: Genome, place: int) -> None:
        arch = space.arch(genome)
        cost = space.cost(genome)
        self.history.append(
            Candidate(
                space,
                genome,
                arch,
                cost,
                self.bounds.bytes_of(cost),
                self._ratio(cost),
                place,
                values_of(arch, self.panels, self.part.proxy, self.seed),
            )
        )
