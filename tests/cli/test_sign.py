"""`squeeze sign` and `squeeze verify --key` as people and scripts run them."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from squeeze import artifact, seal, verification
from squeeze.interface import Interface, TensorSpec
from squeeze.steps.golden_file import npz
from tests.cli.conftest import CLASSES, INPUTS, Made
from tests.cli.run import only_object
from tests.started import run as squeeze

if find_spec("model_signing") is None:
    pytest.skip("model-signing is not installed", allow_module_level=True)
from tests.key_files import key_files


@pytest.fixture
def package(made: Made, tmp_path: Path) -> Path:
    inputs, outputs = TensorSpec("x", "float32", (INPUTS,)), TensorSpec("y", "float32", (CLASSES,))
    interface = Interface((inputs,), (outputs,))
    x = np.random.default_rng(1).normal(size=(4, INPUTS)).astype(np.float32)
    answers = verification.answers(made.model, {"x": x}, interface)
    golden = verification.Golden({"x": x}, answers, answers, {})
    files = {seal.MODEL: made.model.read_bytes(), seal.GOLDEN: npz(golden.arrays())}
    files |= {seal.REPORT: b"<html>", seal.BOM: b"{}"}
    manifest = {"schema": seal.SCHEMA, "signature": {**interface.to_json(), "preprocess": {}}}
    return artifact.write(tmp_path / "out", manifest, files).path


def test_signed_package_is_accepted_and_another_key_is_code_7(
    package: Path, tmp_path: Path
) -> None:
    ours, other = key_files(tmp_path, "ours"), key_files(tmp_path, "other")
    done = squeeze("sign", package, "--key", ours.private)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{package / 'model.sig'}: signed with {ours.private}")
    done = squeeze("verify", package, "--key", ours.public, "--json")
    assert done.returncode == 0
    checks = {check["what"]: check for check in only_object(done.stdout)["checks"]}
    assert checks["signature"]["found"] == f"all 5 files signed with {ours.public}"
    assert "optimised" in checks
    done = squeeze("verify", package, "--key", other.public, "--json")
    found = only_object(done.stdout)
    assert done.returncode == found["exit_code"] == 7
    assert [check["ok"] for check in found["checks"]] == [True, False]
    assert "signed with another key" in found["error"]
    # Who asks for no key is not told that there is no such thing.
    plain = only_object(squeeze("verify", package, "--json").stdout)
    assert "was not checked" in plain["checks"][1]["found"]


def test_password_of_an_encrypted_key_is_in_the_environment(package: Path, tmp_path: Path) -> None:
    ours = key_files(tmp_path, "ours", password=b"pass")
    done = squeeze("sign", package, "--key", ours.private, "--json")
    found = only_object(done.stdout)
    assert done.returncode == found["exit_code"] == 2
    assert "SQUEEZE_KEY_PASSWORD" in found["error"]
    knowing = {**os.environ, "SQUEEZE_KEY_PASSWORD": "pass"}
    done = squeeze("sign", package, "--key", ours.private, "--json", env=knowing)
    assert only_object(done.stdout) == {
        "package": str(package),
        "signature": str(package / "model.sig"),
    }
    assert squeeze("verify", package, "--key", ours.public).returncode == 0


@pytest.mark.parametrize("verb", ["sign", "verify"])
def test_wrong_key_is_one_line_and_code_2(package: Path, tmp_path: Path, verb: str) -> None:
    (tmp_path / "key.pem").write_text("junk")
    done = squeeze(verb, package, "--key", tmp_path / "key.pem")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "openssl" in done.stderr
