"""The base of every noun that is plain data: strict, immutable, and what of it decides a result."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

# What a file says of itself.
NAMES = frozenset({"name", "schema_version", "summary"})


class Frozen(BaseModel):
    """Base of every noun: immutable, and an unknown key is an error, never ignored.

    `unkeyed`: fields that cannot change a result, such as names; a step that is given this is found without them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    unkeyed: ClassVar[frozenset[str]] = frozenset()

    def key(self) -> dict[str, Any]:  # Any: JSON
        """What of this decides the result of a step, as JSON."""
        plain = self.model_dump(mode="json")
        return {
            name: value.key() if isinstance(value := getattr(self, name), Frozen) else plain[name]
            for name in type(self).model_fields
            if name not in self.unkeyed
        }
