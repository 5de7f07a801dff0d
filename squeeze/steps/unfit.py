"""What a problem that was loaded is refused for, before anything of it is searched or trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.steps.class_goal import refuse_classless
from squeeze.steps.masking import refuse_unmasked
from squeeze.steps.teaching import refuse_unteachable
from squeeze.steps.working import refuse_broken

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.run import Run
    from squeeze.spec import Recipe


def refuse_unfit(run: Run, case: Case, recipe: Recipe, *, accept_baseline: bool) -> None:
    """Raises ConfigError or UnsupportedError for a teacher that does not work on the data (`accept_baseline`: go on
    with it), and for a recipe that does not fit the two."""
    refuse_broken(run, case, accept=accept_baseline)
    refuse_classless(case, recipe.goal)
    refuse_unteachable(run, case, recipe)
    refuse_unmasked(run, case, recipe)
