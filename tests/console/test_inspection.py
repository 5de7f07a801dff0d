"""`squeeze inspect` of a package, as it is read on the screen."""

from __future__ import annotations

import io

from rich.console import Console

from squeeze.console.inspection import show_inspection


def test_a_missed_goal_is_said_once() -> None:
    screen = io.StringIO()
    found = {
        "kind": "package",
        "verdict": {"met": False, "sentence": "goal missed: 3 points lost (goal 1)"},
        "teacher": {"source": "net.onnx", "digest": "0" * 64},
        "arch": None,
        "target": {"name": "board"},
        "calib": {"name": "data", "modality": "image", "assumed": []},
        "signature": {"inputs": [], "outputs": [], "preprocess": {}},
        "host": {"cpu": "a machine", "isa": []},
        "steps": [],
        "artifact_digest": "1" * 64,
    }
    show_inspection(Console(file=screen, width=200), found)
    assert "goal missed: 3 points lost" in screen.getvalue()
    assert screen.getvalue().count("goal missed") == 1
