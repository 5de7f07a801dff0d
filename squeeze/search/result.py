"""What a search found: plain JSON, for the cache, the manifest and the report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from squeeze.spec import ArchSpec
from squeeze.strict_json import strict

Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class SearchResult:
    """arch: the pick, or None with the reason. taus: Kendall's tau between proxy and baselines.

    A candidate has family, params, score, values (by proxy name), parameters, macs, estimate_bytes, estimate_ratio,
    measured_ratio (or None), on_front, picked; the best score first.
    """

    arch: ArchSpec | None
    reason: str
    candidates: list[Json]
    evaluated: int
    taus: dict[str, float | None]
    bounds: dict[str, float]

    def to_json(self) -> Json:
        """Plain JSON; a number that is not finite becomes null."""
        found: Json = strict(asdict(self) | {"arch": None})
        if self.arch is not None:
            found["arch"] = self.arch.model_dump(mode="json")
        return found

    @classmethod
    def from_json(cls, data: Json) -> SearchResult:
        """The inverse of to_json."""
        arch = data["arch"]
        return cls(**{**data, "arch": None if arch is None else ArchSpec.model_validate(arch)})
