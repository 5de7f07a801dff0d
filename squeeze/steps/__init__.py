"""The steps of a compile, in the order of `squeeze/compile.py`; each is kept for the next run by `Run.step`."""

from __future__ import annotations

from squeeze.steps.check import check
from squeeze.steps.deploy import deploy, keep
from squeeze.steps.judge import Judged, judge
from squeeze.steps.ladder import Ladder, ladder
from squeeze.steps.ladder import wanted as ladder_wanted
from squeeze.steps.load import baseline, load_inputs
from squeeze.steps.package import package
from squeeze.steps.proof import old_cpus, size_account
from squeeze.steps.prune import pruned
from squeeze.steps.student import distilled, exporter, searched, wanted

__all__ = [
    "Judged",
    "Ladder",
    "baseline",
    "check",
    "deploy",
    "distilled",
    "exporter",
    "judge",
    "keep",
    "ladder",
    "ladder_wanted",
    "load_inputs",
    "old_cpus",
    "package",
    "pruned",
    "searched",
    "size_account",
    "wanted",
]
