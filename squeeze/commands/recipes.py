"""`squeeze recipes`: those that are shipped, and which loss a training takes in which situation."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from typing import Any

from squeeze.spec import NAMES, load_recipe, names

Json = dict[str, Any]  # Any: JSON


def list_recipes() -> Json:
    """Every shipped recipe: "name", "summary", and what it "sets" that is not a default."""
    return {"schema": 1, "recipes": [_entry(name) for name in names("recipes")]}


def explain_losses() -> Json:
    """ "situations": when, loss (as TOML), others, avoid, why, measured. "measured_in": where its numbers are.

    "losses": name, space ("for"), needs of teacher and student, of the student alone, options with their defaults, and
    what it teaches ("towards").
    """
    from squeeze.losses import LOSSES, USUAL
    from squeeze.losses.situations import SITUATIONS

    losses = [
        {
            "name": name,
            "for": kind.space if kind.beside is None else f"{kind.space}, {kind.beside}",
            "usual": name in USUAL.values(),
            "needs": sorted(kind.needs),
            "of_student": sorted(kind.of_student),
            "learns": kind.prepares,
            "weight": kind.weight,
            "options": _options(kind),
            "towards": _first_sentence(kind),
        }
        for name, kind in LOSSES.items()
    ]
    return {
        "schema": 1,
        "situations": [asdict(s) for s in SITUATIONS],
        "measured_in": "benchmarks/results/losses.json, docs/losses.md",
        "losses": losses,
    }


def _entry(name: str) -> Json:
    recipe = load_recipe(name)
    told = recipe.model_dump(mode="json", exclude_unset=True, exclude=set(NAMES))
    sets: Json = {}
    for part, values in told.items():
        if isinstance(values, dict):
            sets |= {f"{part}.{key}": value for key, value in values.items()}
        else:
            sets[part] = values
    return {"name": recipe.name, "summary": recipe.summary, "sets": sets}


def _options(kind: type) -> Json:
    parameters = inspect.signature(kind).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _first_sentence(kind: type) -> str:
    """Of its module, which says what the loss is about, and whose it is."""
    module = inspect.getmodule(kind)
    text = " ".join((module.__doc__ or "").split()) if module else ""
    return text.rstrip(".")
