"""Arrays in a folder, each sealed with its digest, so that a kill or a damaged file costs only that array.

`answers.json` holds what the arrays are for and the digest of each; a `.npy` without a matching seal counts as missing.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze.workdir import digest_bytes, digest_file, write_atomic

logger = logging.getLogger(__name__)

RECORD = "answers.json"

Json = dict[str, Any]  # Any: JSON


def read(folder: Path) -> Json:
    """The record: `identity` and `files`. Raises OSError or ValueError when it is missing or damaged."""
    record = json.loads((folder / RECORD).read_bytes())
    if not isinstance(record, dict) or not isinstance(record.get("files"), dict):
        raise ValueError(f"{RECORD} is damaged")
    return record


class Ledger:
    """The arrays of a folder that were made for `identity`; those made for anything else count as missing."""

    def __init__(self, folder: Path, identity: Json) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.identity = folder, json.loads(json.dumps(identity))
        self.files: dict[str, str] = {}
        self.verified: set[str] = set()
        if not (folder / RECORD).exists():
            return
        try:
            record = read(folder)
        except (OSError, ValueError) as e:
            logger.warning("%s: damaged (%s); made again", folder / RECORD, e)
            return
        if record.get("identity") == self.identity:
            self.files = dict(record["files"])

    def intact(self, name: str) -> bool:
        """Whether `name` is there with the bytes that were sealed. Damage is said, once."""
        if name in self.verified:
            return True
        if name not in self.files:
            return False
        try:
            same = digest_file(self.folder / name) == self.files[name]
        except OSError:
            same = False
        if same:
            self.verified.add(name)
        else:
            logger.warning("%s: damaged; made again", self.folder / name)
            del self.files[name]
        return same

    def keep(self, name: str, make: Callable[[], NDArray[np.generic]]) -> None:
        """Makes, writes and seals `name`, unless it is intact."""
        if self.intact(name):
            return
        stream = io.BytesIO()
        np.save(stream, make(), allow_pickle=False)
        data = stream.getvalue()
        write_atomic(self.folder / name, data)
        self.files[name] = digest_bytes(data)
        self.verified.add(name)
        self._write()

    def drop(self, names: list[str]) -> None:
        """Removes arrays; from the record first, so that a kill in between is no damage."""
        for name in names:
            self.files.pop(name, None)
        self._write()
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def _write(self) -> None:
        record = {"identity": self.identity, "files": self.files}
        text = json.dumps(record, indent=1, sort_keys=True)
        write_atomic(self.folder / RECORD, text.encode())
