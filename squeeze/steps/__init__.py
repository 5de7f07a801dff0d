"""The steps of a compile, in the order of `squeeze/compile.py`; each is kept for the next run by `Run.step`."""

from __future__ import annotations

from squeeze.steps.deploy import deploy
from squeeze.steps.judge import Judged, judge
from squeeze.steps.load import baseline, load_inputs
from squeeze.steps.package import package
from squeeze.steps.student import distilled, exporter, searched, wanted

__all__ = [
    "Judged",
    "baseline",
    "deploy",
    "distilled",
    "exporter",
    "judge",
    "load_inputs",
    "package",
    "searched",
    "wanted",
]
