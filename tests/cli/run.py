"""`squeeze` as people run it, in a process of its own; and its standard output as the one JSON object that it is."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]  # Any: JSON


def squeeze(*arguments: str | Path, **settings: Any) -> subprocess.CompletedProcess[str]:
    """From a bare interpreter. Where it does not matter how a process begins, `tests.started.run` takes its place."""
    return subprocess.run(
        [sys.executable, "-m", "squeeze", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        **settings,
    )


def only_object(text: str) -> Json:
    """`text` as strict JSON: one object and nothing after it, no Infinity and no NaN."""

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    found = json.loads(text, parse_constant=refuse)
    assert isinstance(found, dict)
    return found
