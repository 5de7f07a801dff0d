"""What people see first: help at once, a welcome, what is there, completion, and one line for wrong use."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.cli.run import only_object, squeeze

HEAVY = ("torch", "onnxruntime", "onnx", "onnx_ir", "onnxscript", "pydantic", "rich", "numpy")
COMMANDS = (
    "calib",
    "compile",
    "completion",
    "doctor",
    "fit",
    "inspect",
    "lower",
    "profile",
    "quantize",
    "recipes",
    "search",
    "sign",
    "targets",
    "verify",
)


@pytest.mark.parametrize(
    "arguments", [["--help"], [], ["compile", "--help"], ["completion", "zsh"]]
)
def test_no_heavy_library_is_loaded_where_none_is_needed(arguments: list[str]) -> None:
    script = (
        "import sys, squeeze, squeeze.cli\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "try:\n    squeeze.cli.main()\nexcept SystemExit as e:\n    assert e.code == 0\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert "squeeze" in done.stdout
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("command", ["compile", "quantize"])
def test_a_model_that_is_not_there_is_said_before_torch_is_loaded(command: str) -> None:
    script = (
        "import sys, squeeze.cli\n"
        f"sys.argv[1:] = [{command!r}, 'none.onnx', '-o', 'out.onnx']\n"
        "try:\n    squeeze.cli.main()\nexcept SystemExit as e:\n    assert e.code == 2\n"
        "print([m for m in ('torch', 'onnxscript') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"
    assert done.stderr.startswith("error: none.onnx: no such file")


def test_help_lists_every_command_in_a_whole_line() -> None:
    done = squeeze("--help", env={**os.environ, "COLUMNS": "80"})
    listed = done.stdout.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert tuple(line.split()[0] for line in listed) == COMMANDS
    assert all(line.endswith(".") and not line.endswith("...") for line in listed)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    done = squeeze(command, "--help")
    assert done.returncode == 0
    assert f"squeeze {command}" in done.stdout


def test_bare_squeeze_says_what_it_is_for_and_how_to_begin() -> None:
    done = squeeze()
    assert done.returncode == 0
    assert done.stderr == ""
    commands = [
        line.split()[1] for line in done.stdout.splitlines() if line.startswith("  squeeze")
    ]
    assert commands == ["compile", "quantize", "profile"]
    assert "examples/" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_targets_and_calibration_sets_are_listed_for_people_and_for_scripts() -> None:
    assert "host" in squeeze("targets").stdout
    targets = only_object(squeeze("targets", "--json").stdout)["targets"]
    assert "host" in {target["name"] for target in targets}
    assert "fashion" in squeeze("calib").stdout
    assert "fashion" in only_object(squeeze("calib", "--json").stdout)["bundled"]


def test_doctor_says_versions_as_json() -> None:
    found = only_object(squeeze("doctor", "--json").stdout)
    words = {entry["name"]: entry for entry in found["entries"]}
    assert sys.version.split()[0] in words["python"]["found"]
    assert all(entry["ok"] or entry["hint"] for entry in found["entries"])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_printed(shell: str) -> None:
    done = squeeze("completion", shell)
    assert done.returncode == 0
    assert "_SQUEEZE_COMPLETE" in done.stdout
    found = only_object(squeeze("completion", shell, "--json").stdout)
    assert found == {"shell": shell, "script": done.stdout.removesuffix("\n")}


def test_completion_completes_commands() -> None:
    environment = {
        **os.environ,
        "_SQUEEZE_COMPLETE": "bash_complete",
        "COMP_WORDS": "squeeze pro",
        "COMP_CWORD": "1",
    }
    assert "profile" in squeeze(env=environment).stdout


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("squeeze compile m --recipe sm", {"smallest"}),
        ("squeeze compile m --target ethos-u5", {"ethos-u55-128"}),
        ("squeeze profile m --target web-w", {"web-wasm", "web-webgpu"}),
        ("squeeze quantize m --calib fa", {"fashion"}),
        ("squeeze targets rpi", {"rpi4", "rpi5"}),
        ("squeeze compile mo", set()),
    ],
)
def test_completion_knows_our_names_and_files(words: str, names: set[str]) -> None:
    environment = {
        **os.environ,
        "_SQUEEZE_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    said = [line.split(",") for line in squeeze(env=environment).stdout.splitlines()]
    assert {value for kind, value in said if kind == "plain"} == names
    assert "file" in [kind for kind, _ in said]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("squeeze compile m --set distill.st", ["distill.steps="]),
        ("squeeze quantize m --set see", ["seed="]),
        ("squeeze quantize m --metric map", ["map", "map50"]),
    ],
)
def test_completion_knows_keys_of_recipes_and_metrics(words: str, said: list[str]) -> None:
    environment = {
        **os.environ,
        "_SQUEEZE_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    lines = squeeze(env=environment).stdout.splitlines()
    assert lines == [f"plain,{one}" for one in said]


@pytest.mark.parametrize(
    "arguments", [["-vv", "inspect", "no.onnx"], ["inspect", "no.onnx", "-vv"]]
)
def test_more_is_said_before_a_command_and_behind_it(arguments: list[str]) -> None:
    script = (
        "import logging, sys, squeeze.cli\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "try:\n    squeeze.cli.main()\nexcept SystemExit as e:\n    assert e.code == 2\n"
        "print(logging.getLogger('squeeze').level)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["10"]


@pytest.mark.parametrize(
    "arguments",
    [["compile"], ["nothing"], ["--json"], ["compile", "--seed", "x"], ["verify", "a", "b"]],
    ids=" ".join,
)
def test_wrong_use_is_one_line_and_exit_code_2(arguments: list[str]) -> None:
    done = squeeze(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def test_reader_that_goes_away_is_no_error_of_ours() -> None:
    for arguments in (["targets"], ["targets", "--json"], ["--help"]):
        process = subprocess.Popen(
            [sys.executable, "-m", "squeeze", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        process.stderr.close()
        process.wait()


def test_signs_that_the_output_cannot_show_are_no_error() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = squeeze("doctor", env=environment)
    assert done.returncode == 0, done.stderr
