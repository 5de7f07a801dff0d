"""The steps of a compile, in the order of `squeeze/compile.py`; each is kept for the next run by `Run.step`."""

from __future__ import annotations

from squeeze.steps.adapting import adaptive
from squeeze.steps.climbing import fewer_bits
from squeeze.steps.distilling import student
from squeeze.steps.embedding import embedding, refuse_embedding
from squeeze.steps.fewer_samples import fewer
from squeeze.steps.forms import deploy
from squeeze.steps.guiding import guided, refuse_guides
from squeeze.steps.judging import front
from squeeze.steps.keeping import keep_in
from squeeze.steps.lacking import refuse_lacking
from squeeze.steps.opening import begin, finish, fitting, headline, overrides, reach
from squeeze.steps.packaging import package
from squeeze.steps.problem import load
from squeeze.steps.pruning import pruned
from squeeze.steps.puzzling import puzzled
from squeeze.steps.sifting import sifted
from squeeze.steps.staged import refuse_unstaged
from squeeze.steps.unfit import refuse_unfit
from squeeze.steps.weighing import weighed
from squeeze.steps.working import refuse_broken

__all__ = [
    "adaptive",
    "begin",
    "deploy",
    "embedding",
    "fewer",
    "fewer_bits",
    "finish",
    "fitting",
    "front",
    "guided",
    "headline",
    "keep_in",
    "load",
    "overrides",
    "package",
    "pruned",
    "puzzled",
    "reach",
    "refuse_broken",
    "refuse_embedding",
    "refuse_guides",
    "refuse_lacking",
    "refuse_unfit",
    "refuse_unstaged",
    "sifted",
    "student",
    "weighed",
]
