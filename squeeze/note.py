"""One entry of a log: something that was tried, whether it was kept, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Why of an entry that changed nothing: logs have it, a page for people leaves it out.
NOTHING = "nothing to change"


@dataclass(frozen=True)
class Note:
    """What was tried, whether it was kept, the reason in words, and the numbers behind it (JSON; ratios, points)."""

    name: str
    kept: bool
    why: str
    numbers: Mapping[str, Any] = field(default_factory=dict)  # Any: numbers, or tables of them

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """As it stands in manifests and results of steps."""
        return {
            "name": self.name,
            "kept": self.kept,
            "why": self.why,
            "numbers": dict(self.numbers),
        }
