"""Wheels put into environments without this checkout, and a model to run there."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import onnxruntime as ort

import squeeze
from squeeze.runtimes.runtime import Array
from tests.runtimes.small_networks import int8_network, samples

# With the library where the wheel has one.
RUN_MODEL = """
import sys
from squeeze import ops
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
if ops.library_path():
    options.register_custom_ops_library(str(ops.library_path()))
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
numpy.save(sys.argv[3], session.run(None, {"x": numpy.load(sys.argv[2])})[0])
print(ops.library_path() and ops.library_path().name)
"""


def pip_install(wheel: Path, into: list[str]) -> None:
    """From this file alone."""
    alone = ["--disable-pip-version-check", "--no-deps", "--no-index", "--no-compile"]
    pip = [sys.executable, "-m", "pip"]
    where, options = (into, []) if into[0] == "--python" else ([], into)
    done = subprocess.run(
        [*pip, *where, "install", *alone, *options, str(wheel)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def empty_environment(folder: Path) -> Path:
    """A Python that has what squeeze depends on, and no squeeze: of a .pth file's folder no .pth file is read."""
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    dependencies = [p for p in sys.path if p.endswith(("site-packages", "dist-packages"))]
    (site / "dependencies.pth").write_text("\n".join(dependencies), encoding="utf-8")
    return folder / "bin" / "python"


def run(folder: Path, *command: str | Path) -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SQUEEZE_"))}
    env |= {"SQUEEZE_STATE": str(folder / "state"), "SQUEEZE_CACHE": str(folder / "cache")}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def lowered(folder: Path) -> tuple[Path, Array, Array]:
    """A model with our ops, samples, and what the runtime says of them by the same model without our ops."""
    plain, fused, x = int8_network(folder / "plain.onnx"), folder / "fused.onnx", samples(4)
    squeeze.lower(plain, fused, measured=False)
    session = ort.InferenceSession(str(plain), providers=["CPUExecutionProvider"])
    return fused, x, session.run(None, {"x": x})[0]
