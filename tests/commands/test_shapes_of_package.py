"""A package is profiled on sizes that its data had, where nobody says others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from squeeze import seal
from squeeze.commands.across import across
from squeeze.commands.profile import profile_model
from squeeze.interface import Interface, TensorSpec
from tests.calib.text.small import WIDTH, encoder

SAID = "inputs have the sizes of the package's data: input_ids 1x7, attention_mask 1x7"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Of an encoder whose texts had 7 tokens, beside its model."""
    encoder(tmp_path / "m.onnx")
    tokens = [
        TensorSpec(name, "int64", (7,), free=((0, "sequence"),))
        for name in ("input_ids", "attention_mask")
    ]
    known = Interface(tuple(tokens), (TensorSpec("embedding", "float32", (WIDTH,)),))
    files = {seal.MODEL: (tmp_path / "m.onnx").read_bytes()}
    files |= {name: b"{}" for name in (seal.GOLDEN, seal.REPORT, seal.BOM)}
    manifest = {"schema": seal.SCHEMA, "signature": known.to_json(), "device": None, "name": "p"}
    (tmp_path / "out").mkdir()
    for name, content in files.items():
        (tmp_path / "out" / name).write_bytes(content)
    (tmp_path / "out" / seal.MANIFEST).write_text(json.dumps(seal.sealed(manifest, files)))
    return tmp_path / "out"


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "against"])
def test_a_package_is_profiled_as_its_data_were(package: Path, beside: bool) -> None:
    model = package.parent / "m.onnx"
    given = {"against": package} if beside else {}
    found = profile_model(model if beside else package, runs=10, **given)
    for report in (found, found["against"] if beside else found):
        assert [one["shape"] for one in report["inputs"].values()] == [[1, 7], [1, 7]]
    assert found["assumed"] == [SAID]


def test_what_is_asked_for_goes_before_it(package: Path) -> None:
    found = profile_model(package, runs=10, shape={"input_ids": (1, 3)})
    assert [one["shape"] for one in found["inputs"].values()] == [[1, 3], [1, 3]]
    assert SAID not in found["assumed"]


def test_other_inputs_than_those_of_the_package_are_sized_as_always(
    package: Path, tmp_path: Path
) -> None:
    import onnx
    from onnx import compose

    other = compose.add_prefix(onnx.load(package.parent / "m.onnx"), "my_")
    onnx.save(other, tmp_path / "other.onnx")
    found = profile_model(tmp_path / "other.onnx", runs=10, against=package)
    assert [one["shape"] for one in found["against"]["inputs"].values()] == [[1, 7], [1, 7]]
    assert any("'my_input_ids' is" in text for text in found["assumed"])


def test_a_package_costs_on_targets_what_its_data_cost(package: Path) -> None:
    found = across(package, ["host"], runs=10, operators=False, first_look=True)
    short = across(
        package, ["host"], runs=10, operators=False, first_look=True, shape={"input_ids": (1, 7)}
    )
    assert found["macs"] == short["macs"]
    assert found["assumed"] == [SAID]
