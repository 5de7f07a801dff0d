"""Fields that many parts of a CycloneDX document have, and the references inside of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]  # Any: JSON

MODEL, TEACHER, DATA, RUNTIME, OPS = "model", "teacher", "data", "runtime", "squeeze-ops"


def hashes(digest: str) -> list[Json]:
    return [{"alg": "SHA-256", "content": digest}]


def licences(expression: str | None) -> Json:
    return {} if expression is None else {"licenses": [{"expression": expression}]}


def properties(facts: Mapping[str, Any]) -> list[Json]:  # Any: JSON
    """Those that the format has no field for; what is None is left out."""
    return [
        {"name": f"squeeze:{name}", "value": number(v) if isinstance(v, float) else str(v)}
        for name, v in facts.items()
        if v is not None
    ]


def number(value: float) -> str:
    """The format wants text."""
    return f"{value:.6g}"
