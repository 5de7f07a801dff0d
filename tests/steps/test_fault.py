"""What is said of a step that failed and has something else to give: faults are to be reported, refusals are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from squeeze.errors import UnsupportedError
from squeeze.steps.fault import told

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("error", "why", "after"),
    [
        (UnsupportedError("node 'a': no"), "node 'a': no", ""),
        (KeyError("a"), "KeyError: 'a'", "; please report this line"),
    ],
)
def test_only_faults_are_to_be_reported(
    error: Exception, why: str, after: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert told("int8 failed", error, tmp_path) == why
    assert caplog.messages == [f"int8 failed: {why}{after}"]
