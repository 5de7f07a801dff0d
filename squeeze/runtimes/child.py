"""Python in a process of its own, for compilers and interpreters that may crash, print, or never end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from squeeze.errors import MeasureError


@dataclass(frozen=True)
class Ended:
    """How it ended: `code` is negative where a signal ended it."""

    code: int
    out: str
    said: str

    @property
    def why(self) -> str:
        """In a few words, for one that failed: the signal, or the last line that it said."""
        if self.code < 0:
            return f"it crashed ({signal.Signals(-self.code).name})"
        lines = [line.strip() for line in self.said.splitlines() if line.strip()]
        return lines[-1] if lines else f"it ended with code {self.code}"


def in_child(
    script: str,
    job: Mapping[str, Any],  # Any: JSON
    folder: Path,
    timeout_s: float,
) -> Ended:
    """Runs `script` in `folder` with `job` as the variable of that name, and the modules that this process finds.

    The interpreter is isolated: it takes nothing from the environment or the folder. Raises MeasureError when it has
    not ended within `timeout_s`.
    """
    first = "import json, sys; job = json.load(sys.stdin); sys.path[:] = job['path']\n"
    whole = {**job, "path": [str(Path(entry).resolve()) for entry in sys.path]}
    try:
        ended = subprocess.run(
            [sys.executable, "-I", "-c", first + script],
            input=json.dumps(whole),
            capture_output=True,
            cwd=folder,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        raise MeasureError(f"not done within {timeout_s:g} s") from e
    return Ended(ended.returncode, ended.stdout, ended.stderr)
