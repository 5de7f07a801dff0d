"""A wheel in an environment without this checkout: commands, shipped data, and a fused model's answers."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

import squeeze
from squeeze.runtimes.arm64 import LIBRARY, RUNNER, Arm64
from squeeze.runtimes.runtime import Array, Built
from squeeze.target import load_target
from squeeze.transports.qemu import Qemu
from tests.native.arm64_tools import ROOT, cross_built
from tests.runtimes.small_networks import SCORE_SCALE, int8_network, samples

ARM64_RUNTIME = ROOT / "build" / "arm64-onnxruntime" / "onnxruntime"
# With the library where the wheel has one.
RUN_MODEL = """
import sys
import numpy, onnxruntime
from squeeze import ops
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


@pytest.mark.parametrize("kind", ["any", "x86_64"])
def test_a_wheel_works_in_an_empty_environment(
    kind: str, wheels: dict[str, Path], tmp_path: Path
) -> None:
    if kind not in ("any", platform.machine()):
        pytest.skip(f"this machine is {platform.machine()}")
    wheel = wheels["any" if kind == "any" else f"manylinux_2_17_{kind}"]
    python = empty_environment(tmp_path / "env")
    pip_install(wheel, ["--python", str(python)])
    command = python.with_name("squeeze")
    where = run(tmp_path, python, "-c", "import squeeze; print(squeeze.__file__)")
    assert Path(where.strip()).is_relative_to(tmp_path / "env")

    said = {e["name"]: e for e in json.loads(run(tmp_path, command, "doctor", "--json"))["entries"]}
    assert said["native library"]["ok"] == (kind != "any"), said["native library"]
    assert "native library" in run(tmp_path, command, "doctor")
    names = {t["name"] for t in json.loads(run(tmp_path, command, "targets", "--json"))["targets"]}
    assert names == {path.stem for path in (ROOT / "targets").glob("*.toml")}
    assert '"fashion"' in run(tmp_path, command, "calib", "--json")
    assert "top1" in run(tmp_path, command, "calib", "fashion", "--json")
    assert "--recipe" in run(tmp_path, command, "compile", "--help")

    fused, x, wanted = lowered(tmp_path)
    np.save(tmp_path / "x.npy", x)
    files = [fused, tmp_path / "x.npy", tmp_path / "y.npy"]
    library = run(tmp_path, python, "-c", RUN_MODEL, *files).strip()
    assert library == ("None" if kind == "any" else LIBRARY)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), wanted, atol=1.01 * SCORE_SCALE)


def test_the_wheel_of_arm_is_taken_there_and_its_library_computes_the_same(
    wheels: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_arm = ["--platform", "manylinux_2_17_aarch64", "--only-binary=:all:"]
    site = tmp_path / "site"
    pip_install(wheels["manylinux_2_17_aarch64"], [*of_arm, "--target", str(site)])
    if not ARM64_RUNTIME.is_dir():
        pytest.skip(f"no ONNX Runtime for aarch64 in {ARM64_RUNTIME} (docs/building.md)")
    folder = tmp_path / "arm64"
    folder.mkdir()
    (folder / "onnxruntime").symlink_to(ARM64_RUNTIME)
    (folder / RUNNER).symlink_to(cross_built(RUNNER))
    (folder / LIBRARY).symlink_to(site / "squeeze" / "ops" / LIBRARY)
    monkeypatch.setenv("SQUEEZE_ARM64", str(folder))
    if why := Qemu(["neon"]).missing():
        pytest.skip(why)

    fused, x, wanted = lowered(tmp_path)
    for target in ("rpi4", "rpi5"):  # without and with instructions for dot products
        device = Arm64(load_target(target))
        y = device.run(Built({"m": fused}), {"x": x})["y"]
        np.testing.assert_allclose(y, wanted, atol=1.01 * SCORE_SCALE)
        assert (
            "operators of ai.squeeze ran in our library" in device.cost(Built({"m": fused})).notes
        )
