"""What comparisons on one device gave, remembered, so that the same compile takes the same decisions again.

Latency is the one input of a compile that differs from run to run. A comparison is therefore looked up before it
is made. The caller's key holds what was compared (digests of models, threads); the table adds what else may change
the outcome: what the device says of itself, its runtime and the digest of our library (`Facts.key()`).
Deleting the file makes every comparison new.

    table = LatencyTable(paths.state_dir(), facts.key())
    found = table.compare({"models": [a, b], "threads": 1}, lambda: measure.compare(...))

Cases: never measured, measured, two processes at once (the first result stays, both get it), not steady (given back,
never kept: it would be believed for ever), damaged or altered file (said as a warning, begun anew), a folder that
cannot be written (said as a warning; nothing is kept).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from squeeze.measure.comparison import Comparison
from squeeze.workdir import digest_json, write_atomic

logger = logging.getLogger(__name__)

_SCHEMA = 2  # 1 kept a ratio alone, and those of busy machines too
_MOST_ENTRIES = 5_000
_LOCK_SECONDS = 30.0

Json = dict[str, Any]  # Any: whatever JSON can hold


class LatencyTable:
    """One JSON file per processor in `state_dir`. The newest 5,000 comparisons are kept.

    environment: JSON, what a comparison depends on besides its key; "host" and "isa" in it name the file.
    """

    def __init__(self, state_dir: Path, environment: Mapping[str, Any]) -> None:  # Any: JSON
        processor = {"host": environment["host"], "isa": environment["isa"]}
        self.path = state_dir / f"latency-{digest_json(processor)[:16]}.json"
        self.environment = dict(environment)

    def compare(self, key: Json, work: Callable[[], Comparison]) -> Comparison:
        """The comparison under `key` (JSON): known, or what `work` finds, which is remembered when it is steady."""
        return self.get(key) or self.put(key, work())

    def get(self, key: Json) -> Comparison | None:
        """What was put under `key`, or None."""
        return self._read().get(self._name(key))

    def put(self, key: Json, found: Comparison) -> Comparison:
        """Remembers a steady comparison and returns it, or what another process put there first."""
        if not found.steady:
            return found
        name = self._name(key)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_suffix(".lock"), timeout=_LOCK_SECONDS):
                entries = self._read()
                kept = entries.setdefault(name, found)
                newest = {n: asdict(c) for n, c in list(entries.items())[-_MOST_ENTRIES:]}
                record = {"schema": _SCHEMA, "entries": newest, "digest": digest_json(newest)}
                write_atomic(self.path, json.dumps(record, indent=1).encode())
                return kept
        except (OSError, Timeout) as e:
            logger.warning(
                "%s: cannot be written (%s); the comparison is not remembered, so another compile "
                "may choose differently",
                self.path,
                e,
            )
            return found

    def _name(self, key: Json) -> str:
        return digest_json({"environment": self.environment, "key": key})

    def _read(self) -> dict[str, Comparison]:
        try:
            record = json.loads(self.path.read_bytes())
            if record["schema"] != _SCHEMA:
                raise ValueError(f"schema {record['schema']}, this squeeze keeps {_SCHEMA}")
            if record["digest"] != digest_json(record["entries"]):
                raise ValueError("its digest does not match")
            return {name: Comparison(**entry) for name, entry in record["entries"].items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
            logger.warning("%s: not readable (%s); comparisons are made anew", self.path, e)
            return {}
