"""The command line: instant help, JSON for scripts, errors in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

HEAVY = ("torch", "onnxruntime", "onnx", "onnx_ir", "onnxscript", "pydantic", "rich", "numpy")


def squeeze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "squeeze", *arguments], check=False, capture_output=True, text=True
    )


def test_help_and_import_load_no_heavy_library() -> None:
    script = (
        "import sys, squeeze, squeeze.cli\n"
        "try:\n    squeeze.cli.cli(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert "squeeze compile teacher.pt2" in done.stdout
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    "command",
    [
        "compile",
        "lower",
        "profile",
        "verify",
        "inspect",
        "targets",
        "calib",
        "doctor",
        "completion",
    ],
)
def test_every_command_has_help(command: str) -> None:
    done = squeeze(command, "--help")
    assert done.returncode == 0
    assert f"squeeze {command}" in done.stdout


def test_targets_are_listed_for_people_and_for_scripts() -> None:
    assert "host" in squeeze("targets").stdout
    found = json.loads(squeeze("targets", "--json").stdout)
    assert "host" in {t["name"] for t in found["targets"]}


def test_doctor_says_versions_as_json() -> None:
    found = json.loads(squeeze("doctor", "--json").stdout)
    words = {e["name"]: e for e in found["entries"]}
    assert sys.version.split()[0] in words["python"]["found"]
    assert all(e["ok"] or e["hint"] for e in found["entries"])


def test_bundled_calibration_sets_are_listed() -> None:
    assert "fashion" in json.loads(squeeze("calib", "--json").stdout)["bundled"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_printed(shell: str) -> None:
    done = squeeze("completion", shell)
    assert done.returncode == 0
    assert "_SQUEEZE_COMPLETE" in done.stdout


def test_completion_completes_commands() -> None:
    environment = {
        **os.environ,
        "_SQUEEZE_COMPLETE": "bash_complete",
        "COMP_WORDS": "squeeze pro",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "squeeze"],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert "profile" in done.stdout


def test_wrong_use_is_one_line_and_exit_code_2() -> None:
    for arguments in (["compile"], ["nothing"], ["compile", "--seed", "x"]):
        done = squeeze(*arguments)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert len(done.stderr.splitlines()) == 1


def test_errors_are_json_too_when_asked() -> None:
    done = squeeze("verify", "nowhere", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["exit_code"] == 2
    assert "not a squeeze package" in json.loads(done.stdout)["error"]
