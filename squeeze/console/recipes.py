"""The screens of `squeeze recipes`: a line a recipe, and the losses by situation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze.console.table import show_table
from squeeze.console.text import shown

if TYPE_CHECKING:
    from rich.console import Console

Json = dict[str, Any]  # Any: JSON


def show_recipes(console: Console, found: Json) -> None:
    """What each is for, and what it sets."""
    rows = [
        (r["name"], ", ".join(_set(k, v) for k, v in r["sets"].items()), r["summary"])
        for r in found["recipes"]
    ]
    show_table(console, ("recipe", "sets", "what"), rows)
    console.print()
    console.print(
        shown("change one: --set KEY=VALUE; which loss, and why: squeeze recipes explain")
    )


def _set(key: str, value: Any) -> str:  # Any: JSON
    """Of tables that follow each other only how many they are."""
    return f"{len(value)} {key}" if isinstance(value, list) else f"{key}={value}"


def show_losses(console: Console, found: Json) -> None:
    """What to take when, then every loss."""
    rows = [
        (s["when"], s["loss"], ", ".join(s["others"]), ", ".join(s["avoid"]), _reason(s))
        for s in found["situations"]
    ]
    show_table(console, ("situation", "distill.loss", "or", "not", "why"), rows)
    console.print(
        shown(
            '"auto" is the default and takes the loss that its row names; others are taken when asked for'
        )
    )
    console.print(shown(f"measured: {found['measured_in']}; all else by what papers report"))
    console.print()
    losses = [(x["name"], x["for"], _needs(x), x["towards"]) for x in found["losses"]]
    show_table(console, ("loss", "for", "needs", "towards"), losses)
    console.print()
    console.print(
        shown(
            "in a recipe: loss = NAME, or [distill.loss] with NAME = WEIGHT; else --set distill.loss=NAME, or "
            "--set 'distill.loss={NAME = WEIGHT, ...}'; docs/losses.md"
        )
    )


def _reason(situation: Json) -> str:
    measured = situation["measured"]
    return f"{situation['why']}. Measured: {measured}" if measured else str(situation["why"])


def _needs(loss: Json) -> str:
    found = [*loss["needs"], *(f"{tap} (student)" for tap in loss["of_student"])]
    return ", ".join(found) or "logits"
