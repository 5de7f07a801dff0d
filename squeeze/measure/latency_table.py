"""What comparisons on this machine gave, remembered, so that the same compile takes the same decisions again.

Latency is the one input of a compile that differs from run to run. A comparison is therefore looked up before it
is made. The caller's key holds what it compared (digests of models, threads); the table adds what else may change
the outcome: the runtime's version, the processor, the digest of our library. Deleting the file makes every
comparison new.

    table = LatencyTable(paths.state_dir())
    key = {"models": [digest_a, digest_b], "threads": 1}
    value = table.get(key) or table.put(key, {"ratio": ...})

Cases: never measured (None), measured, two processes at once (the first result stays, both get it), damaged or
altered file (said as a warning, begun anew), a folder that cannot be written (said as a warning; nothing is kept).
"""

from __future__ import annotations

import json
import logging
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from squeeze import ops
from squeeze.machine.cpu import host_name, isa
from squeeze.workdir import digest_file, digest_json, write_atomic

logger = logging.getLogger(__name__)

_SCHEMA = 1
_MOST_ENTRIES = 5_000
_LOCK_SECONDS = 30.0

Entry = dict[str, Any]  # Any: whatever JSON can hold


class LatencyTable:
    """One JSON file per machine in `state_dir`. The newest 5,000 comparisons are kept."""

    def __init__(self, state_dir: Path) -> None:
        library = ops.library_path()
        machine = {"host": host_name(), "isa": list(isa())}
        self.path = state_dir / f"latency-{digest_json(machine)[:16]}.json"
        self.environment: Entry = {
            **machine,
            "isa_limit": os.environ.get("SQUEEZE_ISA", ""),
            "library": digest_file(library) if library else "",
            "runtime": f"onnxruntime {version('onnxruntime')}",
        }

    def get(self, key: Entry) -> Entry | None:
        """What was put under `key` (JSON), or None."""
        found = self._read().get(self._name(key))
        return None if found is None else dict(found["value"])

    def put(self, key: Entry, value: Entry) -> Entry:
        """Remembers `value` (JSON) and returns it, or what another process put there first."""
        # Through JSON, so that a first and a second compile go on with equal values.
        value = dict(json.loads(json.dumps(value)))
        name = self._name(key)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_suffix(".lock"), timeout=_LOCK_SECONDS):
                entries = self._read()
                kept = entries.setdefault(name, {"key": key, "value": value})
                newest = dict(list(entries.items())[-_MOST_ENTRIES:])
                record = {"schema": _SCHEMA, "entries": newest, "digest": digest_json(newest)}
                write_atomic(self.path, json.dumps(record, indent=1).encode())
                return dict(kept["value"])
        except (OSError, Timeout) as e:
            logger.warning(
                "%s: cannot be written (%s); the comparison is not remembered, so another compile "
                "may choose differently",
                self.path,
                e,
            )
            return value

    def _name(self, key: Entry) -> str:
        return digest_json({"environment": self.environment, "key": key})

    def _read(self) -> dict[str, Entry]:
        try:
            record = json.loads(self.path.read_bytes())
            entries = record["entries"]
            if record["schema"] != _SCHEMA or record["digest"] != digest_json(entries):
                raise ValueError("its digest does not match")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as e:
            logger.warning("%s: damaged (%s); comparisons are made anew", self.path, e)
            return {}
        return dict(entries)
