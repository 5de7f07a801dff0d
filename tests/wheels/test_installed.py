"""A wheel in an environment without this checkout: commands, shipped data, and a fused model's answers."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import numpy as np
import pytest

from squeeze.ops.library import FILE_NAME
from tests.native.arm64_tools import ROOT
from tests.runtimes.small_networks import SCORE_SCALE
from tests.wheels.installing import RUN_MODEL, empty_environment, lowered, pip_install, run


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
    assert library == ("None" if kind == "any" else FILE_NAME)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), wanted, atol=1.01 * SCORE_SCALE)
