"""--json is one object on standard output, however a command ends and whatever else is printed meanwhile."""

from __future__ import annotations

import io
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from squeeze import artifact, paths, seal
from squeeze.cli.answer import json_text
from squeeze.interface import Interface, TensorSpec
from squeeze.verification import Golden
from squeeze.workdir import digest_json
from tests.cli.conftest import CLASSES, INPUTS, Made
from tests.cli.run import Json, only_object
from tests.cli.test_start import COMMANDS
from tests.started import run as squeeze
from tests.started import start

PATIENCE_SECONDS = 120

ROOT = Path(__file__).resolve().parents[2]


def package(made: Made, folder: Path) -> Path:
    """A package whose golden outputs are not those of its model: they are ones."""
    x, y = {"x": np.zeros((2, INPUTS), np.float32)}, {"y": np.ones((2, CLASSES), np.float32)}
    stored = io.BytesIO()
    np.savez(stored, **Golden(x, y, y).arrays())
    inputs, outputs = TensorSpec("x", "float32", (INPUTS,)), TensorSpec("y", "float32", (CLASSES,))
    signature = Interface((inputs,), (outputs,)).to_json()
    files = {seal.MODEL: made.model.read_bytes(), seal.GOLDEN: stored.getvalue()}
    files |= {seal.REPORT: b"<html>", seal.BOM: b"{}"}
    return artifact.write(
        folder / "package", {"schema": seal.SCHEMA, "signature": signature}, files
    ).path


@pytest.mark.parametrize("command", COMMANDS)
def test_wrong_use_is_an_object(command: str) -> None:
    done = squeeze(command, "--json", "--no-such-option")
    found = only_object(done.stdout)
    assert done.returncode == found["exit_code"] == 2
    assert "--no-such-option" in found["error"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("compile", "nowhere.onnx", "--calib", "fashion", "-o", "out"),
        ("lower", "nowhere.onnx", "-o", "out.onnx"),
        ("profile", "nowhere.onnx"),
        ("inspect", "nowhere.onnx"),
        ("verify", "nowhere"),
        ("calib", "nowhere.npz"),
        ("completion", "tcsh"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_error_is_an_object(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = squeeze(*arguments, "--json", cwd=tmp_path)
    found = only_object(done.stdout)
    assert done.returncode == found["exit_code"] == 2
    assert found["error"] in done.stderr


@pytest.mark.parametrize("arguments", [("compile", "--help"), ("verify", "-h")], ids=" ".join)
def test_help_is_an_object_too(arguments: tuple[str, ...]) -> None:
    done = squeeze(*arguments, "--json")
    assert done.returncode == 0
    assert "Usage: squeeze" in only_object(done.stdout)["text"]


def test_looks_at_a_model_are_objects(made: Made) -> None:
    found = only_object(squeeze("inspect", made.model, "--json").stdout)
    assert found["kind"] == "model"
    found = only_object(squeeze("profile", made.model, "--runs", "10", "--json").stdout)
    assert found["latency"]["runs"] > 0
    found = only_object(squeeze("calib", made.data, "--json").stdout)
    assert sum(split["samples"] for split in found["splits"].values()) == 400


def test_failed_verify_is_one_object_with_the_checks_and_the_error(
    made: Made, tmp_path: Path
) -> None:
    done = squeeze("verify", package(made, tmp_path), "--json")
    found = only_object(done.stdout)
    assert done.returncode == found["exit_code"] == 7
    assert found["ok"] is False
    assert {check["what"] for check in found["checks"] if check["ok"]} == {"digests"}
    assert "do not ship this file" in found["error"]


@pytest.mark.parametrize("name", [seal.MODEL, seal.GOLDEN, seal.MANIFEST])
@pytest.mark.parametrize("gone", [False, True], ids=["changed", "gone"])
def test_damaged_package_fails_the_check_of_its_bytes(
    made: Made, tmp_path: Path, name: str, gone: bool
) -> None:
    file = package(made, tmp_path) / name
    if gone and name == seal.MANIFEST:
        file.write_text("[]")  # without one it is no package
    elif gone:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes().replace(b"0", b"1", 1) + b" ")
    done = squeeze("verify", file.parent, "--json")
    found = only_object(done.stdout)
    assert done.returncode == found["exit_code"] == 7
    assert [(check["what"], check["ok"]) for check in found["checks"]] == [("digests", False)]
    assert found["ok"] is False
    assert name in found["error"]
    # Who only wants to look at it is told the same.
    assert squeeze("inspect", file.parent).returncode == 7


def test_verify_of_what_is_no_package_is_wrong_use(tmp_path: Path) -> None:
    done = squeeze("verify", tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "not a squeeze package" in done.stderr


def test_numbers_that_json_does_not_have_are_null(made: Made, tmp_path: Path) -> None:
    file = package(made, tmp_path) / seal.MANIFEST
    manifest = json.loads(file.read_text())
    manifest |= {"drop": math.inf, "more": [{"ratio": math.nan, "low": -math.inf}]}
    manifest.pop("digest")
    # As an older version wrote it.
    file.write_text(json.dumps(manifest | {"digest": digest_json(manifest)}))
    assert "Infinity" in file.read_text()
    done = squeeze("inspect", file.parent, "--json")
    found = only_object(done.stdout)
    assert found["drop"] is None, done.stderr
    assert found["more"] == [{"ratio": None, "low": None}]


def test_values_of_numpy_and_paths_are_what_they_say() -> None:
    given = {
        "ok": np.bool_(False),
        "ratio": np.float32(0.5),
        "none": (np.float32(np.nan), None, True),
        "count": np.int64(3),
        "where": Path("a") / "b",
    }
    assert only_object(json_text(given)) == {
        "ok": False,
        "ratio": 0.5,
        "none": [None, None, True],
        "count": 3,
        "where": "a/b",
    }


NOISY = """
import os, subprocess, sys, ctypes
print("from Python")
os.write(1, b"from the file descriptor")
subprocess.run([sys.executable, "-c", "print('from a child')"])
ctypes.CDLL(None).puts(b"from C, in its buffer")
def build():
    sys.exit(0)
"""


def test_users_module_that_prints_and_ends_the_program_leaves_one_object(
    made: Made, tmp_path: Path
) -> None:
    (tmp_path / "noisy.py").write_text(NOISY)
    (tmp_path / "w.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    given = ("--weights", "w.safetensors", "--calib", made.data, "-o", "out")
    done = squeeze("compile", "noisy:build", *given, "--json", cwd=tmp_path)
    found = only_object(done.stdout)
    assert done.returncode == found["exit_code"] != 0
    assert "error" in found
    for sound in ("from Python", "from the file descriptor", "from a child", "from C"):
        assert sound in done.stderr


def compiled(made: Made, folder: Path, *more: str) -> tuple[int, Json]:
    given = ("--calib", made.data, "--recipe", "ptq", "--threads", "1", "-o", folder / "out")
    done = squeeze("compile", made.model, *given, *more, "--json")
    return done.returncode, only_object(done.stdout)


def test_compile_is_one_object_when_the_goal_is_met_and_when_it_is_missed(
    made: Made, tmp_path: Path
) -> None:
    code, found = compiled(made, tmp_path, "--drop", "100")
    assert code == found["exit_code"] == 0
    assert found["goal_met"] is True
    assert "error" not in found
    assert found["package"] == str(tmp_path / "out")
    assert found["artifact_digest"] == artifact.open(tmp_path / "out").digest

    code, found = compiled(made, tmp_path, "--size", "100B")
    assert code == found["exit_code"] == 4
    assert found["goal_met"] is False
    assert "goal missed" in found["error"]
    assert "goal 100 B" in found["error"]
    assert found["artifact_digest"] == artifact.open(tmp_path / "out").digest


def test_several_targets_are_one_object_and_one_screen_with_an_index(
    made: Made, tmp_path: Path
) -> None:
    plain = tmp_path / "plain.toml"
    shipped = (paths.shipped("targets") / "host.toml").read_text()
    for old, new in (
        ('name = "host"', 'name = "plain"'),
        ("custom_ops = true", "custom_ops = false"),
    ):
        assert old in shipped
        shipped = shipped.replace(old, new)
    plain.write_text(shipped)
    given = (
        *("compile", made.model, "--calib", made.data, "--recipe", "ptq", "--threads", "1"),
        *("--target", "host", "--target", plain, "-o", tmp_path / "out"),
    )
    done = squeeze(*given, "--size", "100B", "--json")
    found = only_object(done.stdout)
    assert done.returncode == found["exit_code"] == 4
    assert found["goal_met"] is False
    assert found["error"] in done.stderr
    assert found["index"] == str(tmp_path / "out" / "index.html")
    assert Path(found["index"]).is_file()
    names = {one["target"]["name"]: one for one in found["packages"]}
    assert names.keys() == {"host", "plain"}
    for name, one in names.items():
        assert one["package"] == str(tmp_path / "out" / name)
        assert one["artifact_digest"] == artifact.open(one["package"]).digest
        assert one["goal_met"] is False

    done = squeeze(*given, "--drop", "100")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if line in names] == ["host", "plain"]
    assert sum("latency p50" in line for line in lines) == 2
    assert lines[-1] == f"all targets: {found['index']}"


def test_quantize_is_one_object_also_when_it_refuses(made: Made, tmp_path: Path) -> None:
    given = ("--calib", made.data, "--threads", "1", "-o", tmp_path / "small.onnx", "--json")
    done = squeeze("quantize", made.model, *given)
    found = only_object(done.stdout)
    assert (tmp_path / "small.onnx").exists() == (done.returncode == 0)
    assert done.returncode in (0, 3)
    assert found.get("exit_code", 0) == done.returncode


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopped_says_what_is_kept_in_one_object_and_to_people(
    sent: signal.Signals, made: Made, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    endless = ("--set", "search.evaluations=1000000", "--size", "1KB", "--drop", "100")
    arguments = ("compile", made.model, "--calib", made.data, *endless, "-o", tmp_path / "out")
    process = start(*arguments, "--json", env=os.environ | {"SQUEEZE_CACHE": str(cache)})
    until = time.monotonic() + PATIENCE_SECONDS
    while not (cache.is_dir() and any(cache.glob("*/*"))):
        assert process.works(), process.ended()
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send(sent)
    done = process.ended()
    said, errors = done.stdout, done.stderr
    assert done.returncode == 130, errors
    kept = "stopped. Finished steps are kept: the same command goes on from here"
    assert kept in errors
    assert "Traceback" not in errors
    assert only_object(said) == {"error": kept, "exit_code": 130}
    assert not (tmp_path / "out").exists()


def _as_a_terminal_has_them() -> None:
    """Signals that a shell ignores for what it runs behind it, or below nohup."""
    for one in (signal.SIGINT, signal.SIGHUP):
        signal.signal(one, signal.SIG_DFL)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_quantize_that_is_stopped_leaves_nothing(
    sent: signal.Signals, made: Made, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    out = tmp_path / "small.onnx"
    arguments = ("quantize", made.model, "--calib", made.data, "--threads", "1", "-o", out)
    # Python itself begins it: a process that has its libraries already knows its temporary folder, too.
    with subprocess.Popen(
        [sys.executable, "-m", "squeeze", *map(str, arguments)],
        env=os.environ | {"TMPDIR": str(scratch), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_as_a_terminal_has_them,
    ) as process:
        while not any(scratch.glob("*/partial/*")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(sent)
        if sent != signal.SIGINT:
            process.send_signal(sent)  # as service managers do that ask twice
        _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert errors.strip().splitlines()[-1] == "stopped; nothing was written"
    assert [*scratch.iterdir()] == []
    assert not out.exists()


def test_stopped_inside_exec_ends_with_its_exit_code(made: Made, tmp_path: Path) -> None:
    """Python itself remembers a Ctrl-C that passes through `exec` and would end by SIGINT instead."""
    (tmp_path / "mine.py").write_text(
        'exec("import os, signal; os.kill(os.getpid(), signal.SIGINT)")\n'
        "def metric(outputs, labels):\n    return 0.0\n"
    )
    done = squeeze(
        *("compile", made.model, "--calib", made.data, "--metric", "mine:metric"),
        *("-o", tmp_path / "out", "--json"),
        cwd=tmp_path,
    )
    assert done.returncode == only_object(done.stdout)["exit_code"] == 130, done.stderr
