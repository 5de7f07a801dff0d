"""Values as strict JSON: what is written for other programs has no Infinity, no NaN, and no type but JSON's own."""

from __future__ import annotations

import math
from typing import Any


def strict(value: Any) -> Any:  # Any: JSON
    """Numbers of NumPy become Python's, those that JSON does not have become None, tuples lists, paths and the like
    text."""
    if isinstance(value, dict):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, int | str) else str(value)
