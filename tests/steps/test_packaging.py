"""A written package is accepted, its manifest is strict JSON, and its golden outputs are what it is held to."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

import squeeze
from squeeze import artifact, steps
from squeeze.artifact import Artifact
from squeeze.strict_json import strict
from tests.steps.conftest import Loaded, a_recipe


@pytest.fixture
def package(loaded: Loaded, tmp_path: Path) -> Artifact:
    run, case, device = loaded.run, loaded.case, loaded.device
    recipe = a_recipe()
    front = steps.front(run, case, device, recipe.goal)
    front.add(*steps.deploy(run, case, device, case.net, recipe.quant))
    return steps.package(run, case, device, recipe, front, tmp_path / "out", None)


def refuse_constant(word: str) -> None:
    raise AssertionError(f"{word} is not JSON")


def test_package_is_accepted_and_its_manifest_lists_what_goes_in_and_out(package: Artifact) -> None:
    assert all(check.ok for check in squeeze.verify(package.path))
    text = (package.path / artifact.MANIFEST).read_text()
    manifest = json.loads(text, parse_constant=refuse_constant)
    signature = manifest["signature"]
    assert [spec["name"] for spec in signature["inputs"]] == ["x", "z"]
    assert [spec["name"] for spec in signature["outputs"]] == ["kinds", "level"]
    assert isinstance(signature["changes"], list)
    assert [row["output"] for row in manifest["outputs"]] == ["kinds", "level"]
    assert all(row["interval"] is None or len(row["interval"]) == 2 for row in manifest["outputs"])


def test_golden_output_that_was_tampered_with_is_refused(package: Artifact) -> None:
    file = package.path / artifact.GOLDEN
    with np.load(file) as stored:
        arrays = {name: stored[name] for name in stored}
    for name in ("outputs/kinds", "float/kinds"):
        arrays[name] = arrays[name] + 1
    changed = io.BytesIO()
    np.savez(changed, **arrays)
    file.write_bytes(changed.getvalue())
    (damaged,) = squeeze.verify(package.path)
    assert not damaged.ok
    assert "golden.npz: the bytes changed" in damaged.found
    # Sealed anew, digests hold and the recomputation does not.
    unsealed = {k: v for k, v in package.manifest.items() if k not in ("digest", "files")}
    files = {name: (package.path / name).read_bytes() for name in package.manifest["files"]}
    artifact.write(package.path, unsealed, files)
    failed = [check for check in squeeze.verify(package.path) if not check.ok]
    assert failed
    assert all(check.what.endswith("kinds") for check in failed)


def test_numbers_that_are_not_finite_become_null() -> None:
    given = {"a": float("inf"), "b": [float("nan"), 1.5], "c": ({"d": -float("inf")},)}
    assert strict(given) == {"a": None, "b": [None, 1.5], "c": [{"d": None}]}
