"""The wheel for 64-bit Arm: its library in ONNX Runtime for Arm, and all of it in a Python for Arm, both under qemu."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from squeeze.runtimes.arm64 import LIBRARY, RUNNER, Arm64
from squeeze.runtimes.runtime import Built
from squeeze.target import load_target
from squeeze.transports.emulated_cpu import emulated_cpu
from squeeze.transports.qemu import QEMU, Qemu
from tests.native.arm64_tools import ROOT, cross_built
from tests.runtimes.small_networks import SCORE_SCALE
from tests.wheels.installing import RUN_MODEL, lowered, pip_install, run

RUNTIME = ROOT / "build" / "arm64-onnxruntime" / "onnxruntime"
# Of .ci/arm64-python: an interpreter, its system, and what squeeze depends on.
PYTHON = ROOT / "build" / "arm64-python"
# For the programs that it starts it is one of this machine: what runs this file is the shell of this machine.
AS_A_PROGRAM = """#!/bin/sh
export PYTHONHOME={system}/usr PYTHONPATH={path}
exec {qemu} -cpu {cpu} -0 "$0" -L {system} {python} "$@"
"""


@pytest.fixture
def installed(wheels: dict[str, Path], tmp_path: Path) -> Path:
    """The folder that pip put it in, as for a machine with the oldest Linux that the wheel names."""
    site = tmp_path / "site"
    of_arm = ["--platform", "manylinux_2_17_aarch64", "--only-binary=:all:"]
    pip_install(wheels["manylinux_2_17_aarch64"], [*of_arm, "--target", str(site)])
    return site


def test_its_library_computes_the_same_there(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not RUNTIME.is_dir():
        pytest.skip(f"no ONNX Runtime for aarch64 in {RUNTIME} (docs/building.md)")
    folder = tmp_path / "arm64"
    folder.mkdir()
    (folder / "onnxruntime").symlink_to(RUNTIME)
    (folder / RUNNER).symlink_to(cross_built(RUNNER))
    (folder / LIBRARY).symlink_to(installed / "squeeze" / "ops" / LIBRARY)
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


def test_its_commands_run_in_a_python_of_arm(installed: Path, tmp_path: Path) -> None:
    if not (PYTHON / "python").exists():
        pytest.skip(f"no Python for aarch64 in {PYTHON}: .ci/arm64-python (Debian)")
    if why := Qemu(["neon", "dotprod"]).missing():
        pytest.skip(why)
    cpu = emulated_cpu(["neon", "dotprod"])
    python, info = tmp_path / "python", tmp_path / "cpuinfo"
    path = os.pathsep.join(map(str, (installed, PYTHON / "site")))
    interpreter = (PYTHON / "python").resolve()
    python.write_text(
        AS_A_PROGRAM.format(
            system=PYTHON / "root", path=path, qemu=QEMU, cpu=cpu.name, python=interpreter
        ),
        encoding="utf-8",
    )
    python.chmod(0o755)
    info.write_text(cpu.cpuinfo(), encoding="utf-8")
    script = 'mount --bind "$1" /proc/cpuinfo && shift && exec "$@"'
    there = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", info, python]

    where = run(tmp_path, *there, "-c", "import squeeze; print(squeeze.__file__)").strip()
    assert Path(where).is_relative_to(installed)
    said = json.loads(run(tmp_path, *there, "-m", "squeeze", "doctor", "--json"))["entries"]
    found = {entry["name"]: entry for entry in said}
    assert found["platform"]["found"].endswith("aarch64")
    assert found["isa"]["found"] == "arm64_neon, arm64_dotprod"
    assert found["native library"]["ok"], found["native library"]

    fused, x, wanted = lowered(tmp_path)
    np.save(tmp_path / "x.npy", x)
    files = [fused, tmp_path / "x.npy", tmp_path / "y.npy"]
    assert run(tmp_path, *there, "-c", RUN_MODEL, *files).strip() == LIBRARY
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), wanted, atol=1.01 * SCORE_SCALE)
