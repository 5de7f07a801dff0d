"""Python in a process of its own: what it is given, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from squeeze.errors import MeasureError
from squeeze.runtimes.child import in_child


def test_it_has_the_job_and_our_modules_and_nothing_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "onnx.py").write_text("raise SystemExit('read from the folder')")
    script = "import onnx, squeeze; print(json.dumps([job['number'], squeeze.__name__]))"
    ended = in_child(script, {"number": 7}, tmp_path, 600)
    assert (ended.code, json.loads(ended.out), ended.said) == (0, [7, "squeeze"], "")


def test_a_crash_is_told_by_its_signal(tmp_path: Path) -> None:
    ended = in_child("import os; os.kill(os.getpid(), 11)", {}, tmp_path, 600)
    assert ended.why == "it crashed (SIGSEGV)"


def test_an_error_is_told_by_its_last_line(tmp_path: Path) -> None:
    ended = in_child("raise ValueError('no such thing')", {}, tmp_path, 600)
    assert ended.code == 1
    assert ended.why == "ValueError: no such thing"
    assert in_child("sys.exit(3)", {}, tmp_path, 600).why == "it ended with code 3"


def test_what_never_ends_is_ended(tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match=r"not done within 0\.5 s"):
        in_child("import time; time.sleep(3600)", {}, tmp_path, 0.5)
