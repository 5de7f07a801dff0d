"""A JSON file of a model folder, read as data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from squeeze.errors import ConfigError

Json = dict[str, Any]  # Any: JSON

_MOST_BYTES = 64 << 20  # an index of shards of the largest models has some megabytes


def read_table(path: Path) -> Json:
    """The object in it. Raises ConfigError for a file that is missing, no JSON, or holds something else."""
    found = _read(path)
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: holds {type(found).__name__}, wanted a JSON object")
    return found


def read_list(path: Path) -> list[Json]:
    """The list of objects in it. Raises ConfigError as `read_table`."""
    found = _read(path)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ConfigError(f"{path}: wanted a JSON list of objects")
    return found


def _read(path: Path) -> Any:  # Any: JSON
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(f"{path}: larger than {_MOST_BYTES:,} bytes; is it a JSON file?")
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as e:
        raise ConfigError(f"{path}: no such file") from e
    except OSError as e:
        raise ConfigError(f"{path}: cannot be read: {e.strerror}") from e
    except (ValueError, RecursionError) as e:
        raise ConfigError(f"{path}: not a JSON file, or cut off: {str(e)[:120]}") from e
