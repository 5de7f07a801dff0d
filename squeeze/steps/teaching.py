"""What of `[distill]` does not fit this teacher, this data or the rest of the recipe: said before anything is searched
or trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.errors import ConfigError
from squeeze.guides.answers import coded_for
from squeeze.steps.answering import untrainable
from squeeze.steps.inheriting import inherits

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.run import Run
    from squeeze.spec import Recipe


def refuse_unteachable(run: Run, case: Case, recipe: Recipe) -> None:
    """Raises ConfigError for a codec that does not fit what the teacher says, and for assistants of students that have
    no use for them."""
    part = recipe.distill
    learns = recipe.trains and not untrainable(case, maps=True)
    if part.codec != "full" and learns:
        coded_for(part.codec, case.teacher, case.data)
    if part.assistants and (why := _no_assistants(run, case, recipe)):
        raise ConfigError(
            f"distill.assistants: teach students that are searched and begin anew, and {why}; set it to 0"
        )


def _no_assistants(run: Run, case: Case, recipe: Recipe) -> str:
    """Why no student begins anew; empty where one may."""
    if recipe.search.evaluations == 0:
        return f"recipe '{recipe.name}' searches none (search.evaluations = 0)"
    if inherits(run, case, recipe) or run.supernet is not None:
        return "this one is a part of a network that is trained with the teacher"
    if recipe.search.start == "inherit":
        return "this one is the teacher made smaller (search.start = 'inherit')"
    return ""
