"""Names in a recipe that it cannot check itself, because what they name is imported late: said before step 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.errors import ConfigError, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from squeeze.spec import DistillPart, Recipe, SearchPart


def refuse_names(recipe: Recipe) -> None:
    """Raises ConfigError for a loss, an augmentation, a proxy or a family that there is none of."""
    _of_training(recipe.distill)
    _of_search(recipe.search)


def _of_training(part: DistillPart) -> None:
    # What is left at its default needs no look, and torch, which comes with all of them, takes a second.
    if part.loss != "auto":
        from squeeze import losses

        losses.refuse(part.loss)
    if part.augment != "auto":
        from squeeze.guides.augment import AUGMENTS

        _known("distill.augment", part.augment, [*AUGMENTS, "auto"])


def _of_search(part: SearchPart) -> None:
    if part.proxy != type(part).model_fields["proxy"].default:
        from squeeze.search.proxies import PROXIES

        _known("search.proxy", part.proxy, PROXIES)
    if part.families:
        from squeeze.students import FAMILIES

        for name in part.families:
            _known("search.families", name, FAMILIES)


def _known(key: str, name: str, names: Iterable[str]) -> None:
    known = list(names)
    if name not in known:
        raise ConfigError(unknown(key, name, known))
