"""What we want: a goal, and one part per step; each step is given only its own part."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field, field_validator

from squeeze.spec.frozen import NAMES, Frozen
from squeeze.spec.inherited import (
    STAGES,
    AdaptivePart,
    PrunePart,
    PuzzlePart,
    ShrinkPart,
    Stage,
    SupernetPart,
)
from squeeze.spec.quantising import QuantPart
from squeeze.spec.reading import load, table
from squeeze.spec.students import DistillPart, MaskedPart, SearchPart

Objective = Literal["balanced", "smallest", "fastest"]


class Goal(Frozen):
    """What the artifact has to reach. `None` means no limit; `max_drop` is in points of the metric,
    `max_worst_class_drop` in points of recall of the class that loses most; `max_bits`, of the inner layers' weights,
    is what `quant.bits` asks for."""

    max_latency_ms: float | None = Field(None, gt=0)
    max_bytes: int | None = Field(None, gt=0)
    max_ram_bytes: int | None = Field(None, gt=0)
    max_flash_bytes: int | None = Field(None, gt=0)
    max_bits: Literal[2, 3, 4] | None = None
    max_drop: float = Field(1.5, ge=0)
    max_worst_class_drop: float | None = Field(None, ge=0)
    objective: Objective = "balanced"


class BudgetPart(Frozen):
    """What the compile itself may cost. time_s: seconds of the whole compile, None for as long as it takes."""

    time_s: float | None = Field(None, gt=0)


class Recipe(Frozen):
    """What we want: one part per step; each step is given only its own part."""

    unkeyed: ClassVar[frozenset[str]] = NAMES

    schema_version: Literal[1] = Field(1, alias="schema")
    name: str
    summary: str = ""
    seed: int = Field(0, ge=0, lt=1 << 63)
    goal: Goal = Goal()
    budget: BudgetPart = BudgetPart()
    search: SearchPart = SearchPart()
    masked: MaskedPart = MaskedPart()
    distill: DistillPart = DistillPart()
    supernet: SupernetPart = SupernetPart()
    stages: tuple[Stage, ...] = ()
    shrink: ShrinkPart = ShrinkPart()
    puzzle: PuzzlePart = PuzzlePart()
    prune: PrunePart = PrunePart()
    adaptive: AdaptivePart = AdaptivePart()
    quant: QuantPart = QuantPart()

    @field_validator("stages")
    @classmethod
    def _one_change_at_a_time(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        """Raises ValueError unless they are some of STAGES, one after the other."""
        order = [*STAGES]
        for i, stage in enumerate(stages):
            said = f"{stage.data} data, {stage.teacher} teacher, {stage.loss} loss"
            if stage.name is None:
                raise ValueError(f"none is of {said}; there are {_stages_in_words(order)}")
            before = stages[i - 1].name if i else None
            if before is None:
                continue
            left = order[order.index(before) + 1 :]
            if stage.name not in left[:1]:
                after = (
                    f"only {_stages_in_words(left[:1])} goes on from it"
                    if left
                    else "it is the last"
                )
                raise ValueError(
                    f"stage {i + 1} is of {said}, behind '{before}': one of the three changes at a time, in order; "
                    + after
                )
        return stages

    @property
    def start(self) -> str:
        """Where the weights of a student begin, as `search.start` says. Left to us it is 'anew' where something is
        asked for that only searched students have."""
        for_searched = self.search.families or self.distill.assistants
        return "anew" if self.search.start == "auto" and for_searched else self.search.start

    @property
    def shrink_steps(self) -> int:
        """Of the distillation of the teacher made smaller, which begins near to where it ends."""
        steps = self.shrink.steps
        return max(1, self.distill.steps // 3) if steps is None else steps

    @property
    def trains(self) -> bool:
        """Whether anything may be: a student, a pruned or adaptive network, or weights of few bits."""
        quant = self.quant.enabled and self.quant.steps and self.quant.method != "post-training"
        parts = self.search.evaluations or self.prune.ratio or self.adaptive.compute
        return bool(parts or quant)


def _stages_in_words(names: list[str]) -> str:
    known = (f"'{name}' ({', '.join(STAGES[name])})" for name in names)
    return ", ".join(known)


def load_recipe(source: str | Path, overrides: dict[str, Any] | None = None) -> Recipe:
    """Reads a shipped recipe by name, or a TOML file by path; `overrides` maps dotted keys to values.

    Raises ConfigError with file, key, what we got and what is allowed.
    """
    return load(Recipe, "recipes", source, overrides)


def recipe_keys() -> list[str]:
    """The dotted keys of a recipe that hold values: 'distill.steps', 'quant.bits', 'seed'."""
    found = []
    for name, field in Recipe.model_fields.items():
        inner = table(field.annotation)
        several = inner is Stage  # of which no key names one
        inside = [] if inner is BaseModel or several else list(inner.model_fields)
        found += [f"{name}.{key}" for key in inside] or [name]
    return [key for key in found if key not in NAMES]
