"""What to try where a goal is missed: limits that the file holds, another recipe, a longer training and its time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from squeeze.goal import checks
from squeeze.quantities import show_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.goal import Check, Reached
    from squeeze.spec import Recipe

Json = dict[str, Any]  # Any: JSON
_MORE_TIME = 2  # times what was asked, which trains on where it is left over
_LONGER = 4  # times the steps: a training that is twice as long seldom shows


def advice(recipe: Recipe, reached: Reached, log: Sequence[Json]) -> list[str]:
    """Options to add to the same command, each with what it does; empty where every limit holds, or nothing is known
    that would help. reached: by the file that was shipped; log: of its steps."""
    missed = [check for check in checks(recipe.goal, reached) if not check.ok]
    limits = [limit for check in missed if (limit := _holding(check))]
    found = [f"{' '.join(limits)} (holds)"] if limits and len(limits) == len(missed) else []
    whats = {check.what for check in missed}
    if "latency_ms" in whats and recipe.goal.objective != "fastest":
        found.append("--recipe fastest")
    if "bytes" in whats and recipe.goal.objective != "smallest":
        found.append("--recipe smallest")
    trained = next((s for s in log if s["name"] == "distill" and s["status"] != "skipped"), None)
    if whats & {"drop", "class_drop"} and trained is not None:
        asked = recipe.budget.time_s
        longer = None if asked is None else f"--time {math.ceil(_MORE_TIME * asked)}s"
        found.append(longer or _longer(recipe.distill.steps, trained))
    return found


def _longer(steps: int, trained: Json) -> str:
    # A reused step took its time in another run.
    took = _LONGER * trained["seconds"]
    about = f" (about {show_seconds(took)})" if trained["status"] != "reused" else ""
    return f"--set distill.steps={_LONGER * steps}{about}"


def _holding(check: Check) -> str | None:
    """The limit as an option, a little above what was reached."""
    if not math.isfinite(check.got):
        return None  # beside a teacher without any error
    if check.what == "drop":
        return f"--drop {math.ceil(10 * check.got) / 10:g}"
    if check.what == "class_drop":
        return f"--worst-class-drop {math.ceil(10 * check.got) / 10:g}"
    if check.what == "latency_ms":
        return f"--latency {_above(check.got):g}ms"
    option = {"bytes": "--size", "ram_bytes": "--ram", "flash_bytes": "--flash"}.get(check.what)
    return None if option is None else f"{option} {_above(check.got / 1000):g}KB"


def _above(value: float) -> float:
    """The next number of two digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return round(math.ceil(value / unit - 1e-9) * unit, 12)
