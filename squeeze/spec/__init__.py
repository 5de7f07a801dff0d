"""The frozen nouns: recipe, goal, architecture, measurement. Plain data, strict, no behaviour but parsing.

Recipe = what we want; measurement = what we got; what the device can is in target.py.

frozen         the base of all of them
recipe         goal and recipe; its parts are in `students`, `inherited` and `quantising`
measurement    an architecture, and what one file did
reading        TOML and --set to nouns, and what is said where they are wrong
"""

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
from squeeze.spec.measurement import ArchSpec, Measurement, OutputScore
from squeeze.spec.quantising import QuantPart
from squeeze.spec.reading import load, names, parse, read_toml
from squeeze.spec.recipe import BudgetPart, Goal, Objective, Recipe, load_recipe, recipe_keys
from squeeze.spec.students import DistillPart, MaskedPart, SearchPart, Term

__all__ = [
    "NAMES",
    "STAGES",
    "AdaptivePart",
    "ArchSpec",
    "BudgetPart",
    "DistillPart",
    "Frozen",
    "Goal",
    "MaskedPart",
    "Measurement",
    "Objective",
    "OutputScore",
    "PrunePart",
    "PuzzlePart",
    "QuantPart",
    "Recipe",
    "SearchPart",
    "ShrinkPart",
    "Stage",
    "SupernetPart",
    "Term",
    "load",
    "load_recipe",
    "names",
    "parse",
    "read_toml",
    "recipe_keys",
]
