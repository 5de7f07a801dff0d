"""How a folder of sentence-transformers says that one vector is made of many: the config.json of its Pooling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]  # Any: JSON

MODULE, FOLDER = "Pooling", "1_Pooling"
# In the order in which several are joined.
POOLINGS = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len": "pooling_mode_mean_sqrt_len_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}


def poolings(config: Json) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those of POOLINGS that are asked for, and what else is, as it is written there.

    Newer files say "pooling_mode", one or a list; older ones have a switch for each.
    """
    if (named := config.get("pooling_mode")) is not None:
        asked = [*named] if isinstance(named, list) else [named]
        names = {name: name for name in POOLINGS}
    else:
        asked = [k for k, v in config.items() if k.startswith("pooling_mode_") and v is True]
        names = POOLINGS
    found = tuple(name for name, key in names.items() if key in asked)
    return found, tuple(str(one) for one in asked if one not in names.values())
