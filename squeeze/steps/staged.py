"""What a recipe with stages asks for: said before anything is trained, where it is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze import teacher as teachers
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.steps.inheriting import inherits
from squeeze.steps.problem import Source
from squeeze.steps.sharing import inherited_from
from squeeze.steps.staging import staged
from squeeze.steps.staging_work import adopt_pretrained

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.run import Run
    from squeeze.spec import Recipe


def refuse_unstaged(run: Run, case: Case, recipe: Recipe, pretrained: str | None) -> None:
    """Puts the model `pretrained` into `run`; a stage that it is missing for falls away, which the log says.

    Raises ConfigError for stages without their data and for a model that no stage learns from, UnsupportedError for a
    teacher that is no encoder of texts.
    """
    stages = recipe.stages
    asks = any(stage.teacher == "pretrained" for stage in stages)
    if pretrained is not None and not asks:
        raise ConfigError(
            f"--pretrained {pretrained}: recipe '{recipe.name}' has no stage with the pretrained teacher; take "
            "--recipe four-stages, or leave it away"
        )
    if not stages:
        return
    if not recipe.search.evaluations:
        raise ConfigError(
            "stages: no student is made (search.evaluations = 0); leave one of the two away"
        )
    if case.data.modality != "tokens" or not inherits(run, case, recipe):
        raise UnsupportedError(
            f"stages: are for encoders of texts, and {case.teacher.source} is none; take another recipe, such as "
            "balanced"
        )
    left = staged(stages, pretrained=pretrained is not None)
    if not left:
        raise ConfigError(
            "stages: all learn from the pretrained teacher; give it with --pretrained"
        )
    if not case.data.fit.extra and any(stage.data == "general" for stage in left):
        raise ConfigError(
            "stages: those of general data have none; give texts with --extra, or a recipe with stages of the task "
            "alone"
        )
    given = run.supernet
    inherited = inherited_from(run, case) if given is None else given.inherited
    if pretrained is None:
        if asks:
            run.skip("gd", f"no --pretrained: '{left[0].name}' is the first stage")
        return
    source = Source(pretrained, None, teachers.source_digest(pretrained, None))
    run.pretrained = run.step(
        "pretrained", adopt_pretrained, source=source, case=case.blind(), inherited=inherited
    )
