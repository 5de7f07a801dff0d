"""The bill of materials of a package: valid CycloneDX, true, and the same for the same compile."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from onnx import TensorProto, helper

import squeeze
from squeeze import bom, calib, paths, seal, steps
from squeeze.artifact import Artifact
from squeeze.errors import ConfigError
from tests.steps.conftest import Loaded, Problem, a_recipe

Json = dict[str, Any]  # Any: JSON

# What a second compile measures or is told otherwise.
_OF_A_RUN = {"command", "name", "steps", "latency_ratio", "latency_ratio_spread", "host", "why_not"}
_TIMED = {
    *("latency_p50_ms", "latency_p90_ms", "latency_p99_ms", "peak_ram_bytes", "runs", "host"),
    *("us", "share", "sentence", "source"),
}


@pytest.fixture
def package(loaded: Loaded, tmp_path: Path) -> Artifact:
    run, case, device = loaded.run, loaded.case, loaded.device
    recipe = a_recipe()
    front = steps.front(run, case, device, recipe.goal)
    front.add(*steps.deploy(run, case, device, case.net, recipe.quant))
    return steps.package(run, case, device, recipe, front, tmp_path / "out", None, "Apache-2.0")


def valid(document: bytes) -> Json:
    """The document, which CycloneDX's own library accepts."""
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(document.decode())
    assert error is None, error
    found = json.loads(document)
    assert isinstance(found, dict)
    return found


def sha256(path: Path) -> list[Json]:
    return [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}]


def properties(component: Json) -> dict[str, str]:
    return {row["name"]: row["value"] for row in component["properties"]}


def timed_again(value: Any) -> Any:  # Any: JSON
    """A part of a manifest with other times, places and words."""
    if isinstance(value, dict):
        return {k: f"another {k}" if k in _TIMED else timed_again(v) for k, v in value.items()}
    return [timed_again(v) for v in value] if isinstance(value, list) else value


def other_run(manifest: Json) -> Json:
    """The manifest of another run of the same compile, for a teacher and data in another folder."""
    again: Json = timed_again(manifest)
    again |= {key: f"another {key}" for key in _OF_A_RUN}
    again["cpus"] = manifest["cpus"]  # how the metric there is known is no place
    again["teacher"]["source"] = f"/elsewhere/{Path(manifest['teacher']['source']).name}"
    return again


def files_of(package: Artifact) -> dict[str, bytes]:
    """All but the document itself."""
    names = set(package.manifest["files"]) - {seal.BOM}
    return {name: (package.path / name).read_bytes() for name in sorted(names)}


def test_document_is_valid_and_listed(package: Artifact) -> None:
    found = valid((package.path / seal.BOM).read_bytes())
    assert found["specVersion"] == "1.6"
    assert seal.BOM in package.manifest["files"]
    assert "serialNumber" not in found
    assert "timestamp" not in found["metadata"]
    # The validator does refuse something.
    broken = copy.deepcopy(found)
    broken["metadata"]["component"]["type"] = "model"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(broken)) is not None


def test_digests_are_those_of_the_files(package: Artifact, problem: Problem) -> None:
    found = valid((package.path / seal.BOM).read_bytes())
    model = found["metadata"]["component"]
    assert model["hashes"] == sha256(package.path / seal.MODEL)
    assert {one["name"] for one in model["components"]} == {seal.GOLDEN}
    for one in model["components"]:
        assert one["hashes"] == sha256(package.path / one["name"])
    (teacher,) = model["pedigree"]["ancestors"]
    assert teacher["name"] == "two.onnx"
    assert teacher["hashes"] == sha256(problem.model)
    assert model["name"].startswith("two-")


def test_data_are_told_by_split_and_the_model_refers_to_them(
    package: Artifact, loaded: Loaded
) -> None:
    found = valid((package.path / seal.BOM).read_bytes())
    (data,) = (one for one in found["components"] if one["type"] == "data")
    splits = loaded.case.data.splits
    assert {one["name"]: properties(one) for one in data["components"]} == {
        name: {"squeeze:samples": str(len(split)), "squeeze:digest": split.digest}
        for name, split in splits.items()
    }
    parameters = found["metadata"]["component"]["modelCard"]["modelParameters"]
    assert [row["ref"] for row in parameters["datasets"]] == [
        one["bom-ref"] for one in data["components"]
    ]


def test_card_has_each_output_with_its_interval_and_what_was_lost(package: Artifact) -> None:
    found = valid((package.path / seal.BOM).read_bytes())
    card = found["metadata"]["component"]["modelCard"]
    rows = card["quantitativeAnalysis"]["performanceMetrics"]
    splits = package.manifest["calib"]["splits"]
    judged, chosen = splits["evaluate"]["samples"], splits["calibrate"]["samples"]
    for output in package.manifest["outputs"]:
        where = f"{judged} evaluation samples, output {output['output']}"
        (row,) = (row for row in rows if row["slice"] == where)
        assert float(row["value"]) == pytest.approx(output["student"], rel=1e-5)
        assert output["interval"] is not None
        bounds = row["confidenceInterval"]
        assert float(bounds["lowerBound"]) == pytest.approx(output["interval"][0], rel=1e-5)
        assert float(bounds["upperBound"]) == pytest.approx(output["interval"][1], rel=1e-5)
    lost = {row["slice"]: float(row["value"]) for row in rows if row["type"].endswith(" lost")}
    drops = package.manifest["drops"][package.manifest["verdict"]["picked"]]
    assert lost[f"{judged} evaluation samples"] == pytest.approx(drops["evaluate"], rel=1e-5)
    assert lost[f"{chosen} calibration samples"] == pytest.approx(drops["calibrate"], rel=1e-5)
    # As the file takes them: x is [n, 8] in the graph that the test made.
    assert card["modelParameters"]["inputs"][0] == {"format": "x: float32 [n, 8]"}


def test_libraries_are_told_with_their_versions(package: Artifact) -> None:
    found = valid((package.path / seal.BOM).read_bytes())
    tools = {one["name"]: one["version"] for one in found["metadata"]["tools"]["components"]}
    assert tools["squeeze"] == squeeze.__version__
    assert tools["onnx"] == onnx.__version__
    assert {"numpy", "python", "torch"} < set(tools)
    needed = {one["bom-ref"]: one["name"] for one in found["components"] if "version" in one}
    (dependency,) = found["dependencies"]
    assert needed[dependency["dependsOn"][0]] == "onnxruntime"


def test_same_compile_gives_the_same_bytes_whatever_was_timed(package: Artifact) -> None:
    files, written = files_of(package), (package.path / seal.BOM).read_bytes()
    assert bom.render(package.manifest, files) == written
    again = other_run(package.manifest)
    assert again != package.manifest
    assert bom.render(again, {**files, seal.REPORT: b"another"}) == written
    # What was compiled is in it.
    assert bom.render(package.manifest, {**files, seal.GOLDEN: b"another"}) != written


def changed(manifest: Json, dotted: str, value: Any) -> Json:
    new = copy.deepcopy(manifest)
    *parents, leaf = dotted.split(".")
    table = new
    for parent in parents:
        table = table[parent]
    table[leaf] = value
    return new


_CPU = {"cpu": "x86 without VNNI", "source": "emulated", "metric_name": "top1", "samples": 40}


@pytest.mark.parametrize(
    ("dotted", "value", "shown"),
    [
        ("arch", {"family": "resnet", "params": {"widths": [8, 16]}}, '"resnet"'),
        ("teacher.kind", "factory", "squeeze:kind"),
        ("teacher.of_one_file", False, "squeeze:digest"),
        ("licence", None, "CycloneDX"),
        ("calib.licence", "MIT", '"expression": "MIT"'),
        ("cpus", {"cpus": [{**_CPU, "metric": 93.5}]}, "x86 without VNNI (emulated)"),
        ("cpus", {"cpus": [{**_CPU, "metric": None}]}, "CycloneDX"),
        ("cpus", None, "CycloneDX"),
        ("size", None, "CycloneDX"),
        ("measurements.student.runtime", "ethos-u", '"ethos-u"'),
        ("measurements.student.outputs", [], "CycloneDX"),
        ("signature.changes", ["the batch is 1 \x1b[2K"], "the batch is 1"),
        ("calib.name", "a set \u202e", "a set"),
    ],
)
def test_whatever_a_package_is_the_document_is_valid(
    package: Artifact, dotted: str, value: Any, shown: str
) -> None:
    document = bom.render(changed(package.manifest, dotted, value), files_of(package))
    valid(document)
    assert shown in document.decode()


def test_metric_that_has_no_value_or_interval_is_left_out(package: Artifact) -> None:
    rows = package.manifest["measurements"]["student"]["outputs"]
    plain = [{**rows[0], "interval": None}, {**rows[1], "value": None}]
    manifest = changed(package.manifest, "measurements.student.outputs", plain)
    card = valid(bom.render(manifest, files_of(package)))["metadata"]["component"]["modelCard"]
    told = card["quantitativeAnalysis"]["performanceMetrics"]
    assert [row["slice"].partition("output ")[2] for row in told if ", output" in row["slice"]] == [
        rows[0]["output"]
    ]
    assert "confidenceInterval" not in told[0]


@pytest.mark.parametrize("ours", [False, True], ids=["plain", "custom operators"])
def test_our_library_is_an_optional_part_of_files_with_our_operators(
    package: Artifact, ours: bool
) -> None:
    end = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8])]
    graph = helper.make_graph([], "g", end, end)
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid("ai.squeeze", 1)] * ours)]
    model = helper.make_model(graph, opset_imports=opsets).SerializeToString()
    document = bom.render(package.manifest, {**files_of(package), seal.MODEL: model})
    found = valid(document)
    optional = [one["name"] for one in found["components"] if one.get("scope") == "optional"]
    assert optional == ["squeeze"] * ours


@pytest.mark.parametrize(
    ("runtime", "version", "source", "told"),
    [
        (
            "ethos-u",
            "ethos-u-vela 5.2.0",
            "cycles",
            {"name": "ethos-u-vela", "version": "5.2.0", "purl": "pkg:pypi/ethos-u-vela@5.2.0"},
        ),
        (
            "onnxruntime",
            "1.31.1",
            "measured",
            {"name": "onnxruntime", "version": "1.31.1", "purl": "pkg:pypi/onnxruntime@1.31.1"},
        ),
        (
            "ncnn",
            "ncnn 1.0, pnnx 2",
            "emulated",
            {"name": "ncnn", "version": "ncnn 1.0, pnnx 2"},
        ),
        ("estimate", "roofline of the target file", "estimate", {"name": "onnxruntime"}),
    ],
)
def test_runtime_is_named_as_its_package_is(
    package: Artifact, runtime: str, version: str, source: str, told: Json
) -> None:
    manifest = copy.deepcopy(package.manifest)
    manifest["measurements"]["student"] |= {
        "runtime": runtime,
        "runtime_version": version,
        "source": source,
    }
    found = valid(bom.render(manifest, files_of(package)))
    (one,) = (one for one in found["components"] if one["bom-ref"] == "runtime")
    assert one == {"type": "library", "bom-ref": "runtime", **told}


def test_licences_are_spelled_as_spdx_does(package: Artifact, tmp_path: Path) -> None:
    found = valid((package.path / seal.BOM).read_bytes())
    assert found["metadata"]["component"]["licenses"] == [{"expression": "Apache-2.0"}]
    assert calib.load("fashion").licence == "MIT"
    toml = tmp_path / "set.toml"
    text = (paths.shipped("calib") / "fashion.toml").read_text()
    data = paths.shipped("calib") / "fashion.npz"
    text = text.replace("fashion.npz", str(data))
    toml.write_text(text.replace('"MIT"', '"mit or LicenseRef-Ours"'))
    assert calib.load(str(toml)).licence == "MIT OR LicenseRef-Ours"
    toml.write_text(text.replace('"MIT"', '"mine"'))
    with pytest.raises(ConfigError, match=r"set\.toml: licence: got 'mine', allowed: an SPDX"):
        calib.load(str(toml))


def test_licence_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--licence: got 'GPL', allowed: an SPDX expression"):
        squeeze.compile("nowhere.onnx", out=tmp_path / "out", licence="GPL")
