"""What the written file says of itself: read with onnx alone, held against folders, NumPy and the manifest."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import squeeze
from squeeze import seal
from squeeze.artifact import Artifact
from squeeze.commands.inspect import inspect_model
from squeeze.commands.quantize import quantize_file
from squeeze.contract import PREFIX, Contract, build_key, read

Image = pytest.importorskip(
    "PIL.Image", reason="pillow is not installed: pip install 'squeeze[images]'"
)
OWN = {"author": "somebody", "names": "{0: 'a'}", "squeeze.version": "of an earlier file"}
CLASSES = ("blue", "green", "red")


@dataclass(frozen=True)
class Colours:
    """A classifier of the mean colour [n, 3, 8, 8] -> [n, 3], and a folder of images whose class is that."""

    model: Path
    folder: Path


def classifier(path: Path) -> None:
    """Blue, green, red from the last channel to the first, behind a convolution that int8 pays for."""
    random = np.random.default_rng(0)
    mix = random.normal(0, 0.05, (32, 3, 3, 3)).astype(np.float32)
    mix[:3, :, 1, 1] += np.eye(3, dtype=np.float32)[::-1]
    again = random.normal(0, 0.01, (32, 32, 3, 3)).astype(np.float32)
    again[:3, :3, 1, 1] += np.eye(3, dtype=np.float32)
    head = np.zeros((32, 3), np.float32)
    head[:3] = 8 * np.eye(3, dtype=np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "W"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("Conv", ["r", "V"], ["d"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["d"], ["s"]),
            helper.make_node("GlobalAveragePool", ["s"], ["g"]),
            helper.make_node("Flatten", ["g"], ["f"]),
            helper.make_node("MatMul", ["f", "H"], ["m"]),
            helper.make_node("Softmax", ["m"], ["y"]),
        ],
        "colours",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [
            numpy_helper.from_array(mix, "W"),
            numpy_helper.from_array(again, "V"),
            numpy_helper.from_array(head, "H"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, OWN)
    onnx.save(model, path)


def images(folder: Path, size: tuple[int, int] = (8, 8), each: int = 24) -> None:
    """`each` images of (height, width) a class, its channel brighter than the others."""
    random = np.random.default_rng(1)
    for i, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for j in range(each):
            pixels = random.integers(0, 120, (*size, 3))
            pixels[..., 2 - i] += 100
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{j:02}.png")


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Colours:
    folder = tmp_path_factory.mktemp("colours")
    classifier(folder / "model.onnx")
    images(folder / "pets")
    return Colours(folder / "model.onnx", folder / "pets")


@pytest.fixture(scope="module")
def package(colours: Colours, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return compiled(colours, tmp_path_factory.mktemp("package"))


def compiled(colours: Colours, folder: Path, out: str = "out", **asked: Any) -> Artifact:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SQUEEZE_STATE", str(folder / "state"))
        made = squeeze.compile(
            str(colours.model),
            str(colours.folder),
            out=folder / out,
            recipe="ptq",
            drop=100.0,
            threads=1,
            overrides={"goal.objective": "smallest"},  # a pick that no clock decides
            cache=folder / "cache",
            **asked,
        )
    assert isinstance(made, Artifact)
    return made


def entries(file: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(file).metadata_props}


def told(file: Path) -> dict[str, Any]:
    found = entries(file)
    return {k.removeprefix(PREFIX): json.loads(v) for k, v in found.items() if k.startswith(PREFIX)}


def test_file_says_what_goes_in_and_out_and_what_was_measured(
    package: Artifact, colours: Colours
) -> None:
    found = told(package.model)
    assert found == package.manifest["contract"]
    assert found["version"] == squeeze.__version__
    assert found["classes"] == list(CLASSES) == package.manifest["calib"]["class_names"]
    (takes,), (gives,) = found["inputs"], found["outputs"]
    assert (takes["name"], takes["holds"]) == ("x", "image")
    assert takes["stored"] == {"dtype": "uint8", "shape": [8, 8, 3]}
    assert gives == {"name": "y", "means": "probabilities of classes"}
    assert found["made_from"] == {
        "teacher": package.manifest["teacher"]["digest"],
        "data": package.manifest["calib"]["digest"],
    }
    (measured,) = found["measured"]
    student = package.manifest["measurements"]["student"]
    assert measured["value"] == pytest.approx(student["metric"], rel=1e-5)
    assert measured["drop"] == pytest.approx(package.manifest["verdict"]["drop"], abs=1e-5)
    assert (measured["metric"], measured["samples"]) == ("top1", student["n"])


def test_preprocessing_that_the_file_tells_is_the_one_it_needs(
    package: Artifact, colours: Colours
) -> None:
    """By hand from the metadata alone: stored pixels to a name of a class, for every image."""
    found = told(package.model)
    known = found["inputs"][0]["preprocess"]
    assert known["layout"] == "NHWC->NCHW"
    session = ort.InferenceSession(package.model, providers=["CPUExecutionProvider"])
    right = []
    for name in CLASSES:
        for path in sorted((colours.folder / name).iterdir()):
            pixels = np.asarray(Image.open(path)).transpose(2, 0, 1)[None]
            x = (pixels * known["scale"] - known["mean"][0]) / known["std"][0]
            (y,) = session.run(None, {"x": x.astype(known["dtype"])})
            right.append(found["classes"][int(y.argmax())] == name)
    assert np.mean(right) > 0.9


def test_entries_of_the_users_own_file_stay_and_come_first(package: Artifact) -> None:
    found = entries(package.model)
    own = {k: v for k, v in OWN.items() if not k.startswith(PREFIX)}
    assert dict(list(found.items())[: len(own)]) == own
    assert found["squeeze.version"] == json.dumps(squeeze.__version__)


def test_few_samples_that_judge_are_told(package: Artifact) -> None:
    samples = package.manifest["measurements"]["student"]["n"]
    assert f"only {samples} samples judge: the 95 %" in package.manifest["notes_for_people"][-1]


def test_told_sizes_are_of_the_file_with_its_contract(package: Artifact) -> None:
    measured, picked = package.manifest["measurements"], package.manifest["verdict"]["picked"]
    size = package.model.stat().st_size
    assert measured["candidates"][picked]["file_bytes"] == size
    account = package.manifest["size"]
    assert account is None or account["file_bytes"] == size
    bare = onnx.load(package.model)
    del bare.metadata_props[:]
    assert size > len(bare.SerializeToString())


def test_package_that_is_written_again_has_the_same_bytes(
    package: Artifact, colours: Colours
) -> None:
    """Of the same steps, for what a clock decided in them may fall otherwise."""
    again = compiled(colours, package.path.parent, "again")
    assert again.model.read_bytes() == package.model.read_bytes()
    assert again.digest == package.digest
    assert all(check.ok for check in squeeze.verify(again.path))


def test_report_and_calib_show_the_names_of_the_classes(
    package: Artifact, colours: Colours
) -> None:
    from squeeze import calib

    assert "0: blue, 1: green, 2: red" in (package.path / seal.REPORT).read_text()
    assert calib.describe(calib.load(str(colours.folder)))["class_names"] == list(CLASSES)


def test_inspect_shows_the_contract_of_a_file_and_of_a_package(package: Artifact) -> None:
    found = inspect_model(package.model)
    assert found["contract"] == told(package.model)
    assert found["metadata"]["author"] == "somebody"
    assert inspect_model(package.path)["contract"] == told(package.model)


def test_quantised_file_has_its_contract_too(
    colours: Colours, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEEZE_STATE", str(tmp_path / "state"))
    out = tmp_path / "small.onnx"
    found = quantize_file(
        colours.model, out, calib=str(colours.folder), drop=100.0, aim="size", threads=1
    )
    assert told(out) == found["contract"]
    assert told(out)["classes"] == list(CLASSES)
    assert entries(out)["author"] == "somebody"
    assert found["bytes"]["after"] == out.stat().st_size
    assert told(out)["measured"][0]["drop"] == pytest.approx(found["drop"], abs=1e-5)


def test_room_is_kept_for_what_is_known_last() -> None:
    model = onnx.ModelProto(ir_version=9).SerializeToString()
    made = Contract({"a": 1}, {"last": [-1234570000000000.0]}, {"own": "text", "squeeze.a": "0"})
    sizes = {len(made.written(model, {"last": [value]})) for value in (0.5, -123456.0, None)}
    assert sizes == {len(model) + made.size_bytes}
    written = onnx.ModelProto.FromString(made.written(model, {"last": [0.5]}))
    assert read(written) == ({"a": 1, "last": [0.5]}, {"own": "text"})
    with pytest.raises(ValueError, match=r"squeeze\.last: "):
        made.written(model, {"last": [0.5] * 9})


def test_key_of_a_build_moves_with_what_it_was_given() -> None:
    assert build_key(a=1, b=2) == build_key(b=2, a=1) != build_key(a=1, b=3)
