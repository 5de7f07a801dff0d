"""Scores of an untrained student: higher is better, the student is left as it was found.

A proxy is a function score(student, panel) -> float in a file of its own. `depth`, `macs` and `params` are the
baselines that any other has to beat.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.search.proxies import depth, diswot, macs, naswot, params, synflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from squeeze.search.panel import Panel
    from squeeze.students import Student

PROXIES: dict[str, Callable[[Student, Panel], float]] = {
    "depth": depth.score,
    "diswot": diswot.score,
    "macs": macs.score,
    "naswot": naswot.score,
    "params": params.score,
    "synflow": synflow.score,
}
