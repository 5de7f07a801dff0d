"""A file with its preprocessing inside: raw pixels of stored images in, the same answers as by hand outside."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import squeeze
from squeeze import artifact, seal
from squeeze.artifact import Artifact
from squeeze.calib import Preprocess
from squeeze.commands.quantize import quantize_file
from squeeze.errors import ConfigError, UnsupportedError
from tests import started
from tests.steps.test_contract import CLASSES, Colours, Image, classifier, compiled, images, told

TOML = """
schema = 1
name = "pets"
data = "pets"

[preprocess]
resize = [8, 8]
layout = "NHWC->NCHW"
scale = "1/255"
mean = [0.1, 0.2, 0.3]
std = [1.0, 0.9, 0.8]
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Colours:
    """Images of 12 by 10 for the model that takes 8 by 8."""
    folder = tmp_path_factory.mktemp("large")
    classifier(folder / "model.onnx")
    images(folder / "pets", (12, 10))
    (folder / "pets.toml").write_text(TOML)
    return Colours(folder / "model.onnx", folder / "pets.toml")


@pytest.fixture(scope="module")
def package(large: Colours, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return compiled(large, tmp_path_factory.mktemp("embedded"), embed_preprocess=True)


@pytest.fixture(scope="module")
def plain(large: Colours, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return compiled(large, tmp_path_factory.mktemp("plain"))


def pixels(large: Colours) -> np.ndarray:
    """All images as they are stored, [n, 12, 10, 3], in the order of their classes."""
    folder = large.folder.with_suffix("")
    paths = [path for name in CLASSES for path in sorted((folder / name).iterdir())]
    return np.stack([np.asarray(Image.open(path)) for path in paths])


def run(file: Path, x: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": x})
    return y


def by_hand(x: np.ndarray, *, pillow: bool = False) -> np.ndarray:
    """What the TOML says, with Pillow's resize or with ours."""
    if pillow:
        small = np.stack([np.asarray(Image.fromarray(p).resize((8, 8), 2)) for p in x])
    else:
        small = Preprocess(resize=(8, 8), layout="NHWC->NHWC", scale=1.0, dtype="float32").apply(x)
    scaled = (small / 255 - [0.1, 0.2, 0.3]) / [1.0, 0.9, 0.8]
    return scaled.transpose(0, 3, 1, 2).astype(np.float32)


def test_raw_pixels_give_what_the_float_model_gives_by_hand(
    package: Artifact, large: Colours
) -> None:
    x = pixels(large)
    (takes,) = ort.InferenceSession(package.model).get_inputs()
    assert (takes.name, takes.type, takes.shape[1:]) == ("x", "tensor(uint8)", [12, 10, 3])
    got, wanted = run(package.model, x), run(large.model, by_hand(x))
    assert np.abs(got - wanted).max() < 0.05  # what int8 does, at most
    np.testing.assert_array_equal(got.argmax(1), np.repeat(range(3), len(x) // 3))


def test_pillow_outside_gives_nearly_what_the_graph_gives_inside(
    package: Artifact, plain: Artifact, large: Colours
) -> None:
    x = pixels(large)
    assert package.manifest["verdict"]["picked"] == plain.manifest["verdict"]["picked"]
    inside = run(package.model, x)
    np.testing.assert_allclose(inside, run(plain.model, by_hand(x)), atol=0.01)
    np.testing.assert_allclose(inside, run(plain.model, by_hand(x, pillow=True)), atol=0.03)


def test_package_says_what_its_file_takes_and_verify_runs_it(package: Artifact) -> None:
    (takes,) = told(package.model)["inputs"]
    assert takes["preprocess"]["layout"] == "as-is"
    assert takes["preprocess"]["dtype"] == "uint8"
    assert takes["embedded"]["resize"] == [8, 8]
    assert takes["embedded"]["mean"] == [0.1, 0.2, 0.3]
    signature = package.manifest["signature"]
    assert signature["inputs"][0]["dtype"] == "uint8"
    assert signature["inputs"][0]["shape"] == [12, 10, 3]
    assert signature["embedded"]["x"]["resize"] == [8, 8]
    assert any("uint8, in your file float32" in text for text in signature["changes"])
    page = (package.path / seal.REPORT).read_text()
    assert "inside the file" in page
    checks = squeeze.verify(package.path)
    assert [check.what for check in checks if check.ok] == [check.what for check in checks]
    assert len(checks) >= 4


def test_golden_inputs_are_raw_and_tampered_ones_are_found(package: Artifact) -> None:
    with np.load(package.path / seal.GOLDEN) as stored:
        arrays = {name: stored[name] for name in stored}
    assert arrays["inputs/x"].dtype == np.uint8
    assert arrays["inputs/x"].shape[1:] == (12, 10, 3)
    np.testing.assert_allclose(
        run(package.model, arrays["inputs/x"]), arrays["outputs/y"], atol=1e-3
    )
    assert _failed(package, {**arrays, "inputs/x": 255 - arrays["inputs/x"]})


def test_package_without_it_has_the_samples_before_and_after(plain: Artifact) -> None:
    with np.load(plain.path / seal.GOLDEN) as stored:
        arrays = {name: stored[name] for name in stored}
    assert arrays["stored/x"].dtype == np.uint8
    np.testing.assert_allclose(arrays["inputs/x"], by_hand(arrays["stored/x"]), atol=1e-5)
    failed = _failed(plain, {**arrays, "stored/x": 255 - arrays["stored/x"]})
    assert failed == ["preprocessing of x"]


def _failed(package: Artifact, arrays: dict[str, np.ndarray]) -> list[str]:
    """What `verify` refuses where the golden file was changed and the package sealed anew; it is put back."""
    unsealed = {k: v for k, v in package.manifest.items() if k not in ("digest", "files")}
    files = {name: (package.path / name).read_bytes() for name in package.manifest["files"]}
    changed = io.BytesIO()
    np.savez(changed, **arrays)
    artifact.write(package.path, unsealed, {**files, seal.GOLDEN: changed.getvalue()})
    failed = [check.what for check in squeeze.verify(package.path) if not check.ok]
    artifact.write(package.path, unsealed, files)
    return failed


def test_what_is_told_is_of_the_file_as_written(package: Artifact) -> None:
    """The operators that are timed and the bytes that are counted have the preprocessing among them."""
    manifest, picked = package.manifest, package.manifest["verdict"]["picked"]
    assert picked != "teacher"
    assert manifest["measurements"]["student"]["file_bytes"] == package.model.stat().st_size
    assert {"Transpose", "Cast"} & {row["op"] for row in manifest["layers"]} or any(
        node.op_type == "Transpose" for node in onnx.load(package.model).graph.node
    )
    assert manifest["why_not"]["teacher"]


def test_limit_of_bytes_has_room_for_contract_and_preprocessing(
    large: Colours, plain: Artifact, tmp_path: Path
) -> None:
    """The bits of the layers are chosen so that the written file is inside, all that is in it counted."""
    int8 = plain.manifest["measurements"]["candidates"]["kept-int8"]["file_bytes"]
    made = compiled(large, tmp_path, embed_preprocess=True, size_bytes=int8 - 1500)
    assert made.model.stat().st_size <= int8 - 1500
    assert made.goal_met


def test_quantise_embeds_too(
    large: Colours, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEEZE_STATE", str(tmp_path / "state"))
    out = tmp_path / "small.onnx"
    found = quantize_file(
        large.model, out, calib=str(large.folder), drop=100.0, threads=1, embed_preprocess=True
    )
    x = pixels(large)
    assert np.abs(run(out, x) - run(large.model, by_hand(x))).max() < 0.05
    assert found["interface"]["inputs"][0]["dtype"] == "uint8"
    assert found["bytes"]["after"] == out.stat().st_size


def test_what_cannot_be_embedded_is_said_in_one_line(large: Colours, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--embed-preprocess: without data nobody knows"):
        squeeze.compile(str(large.model), out=tmp_path / "out", embed_preprocess=True)
    ready = tmp_path / "ready.npz"
    np.savez(ready, x=by_hand(pixels(large)))
    with pytest.raises(ConfigError, match="stored as the model takes them, so there is nothing"):
        squeeze.compile(
            str(large.model),
            str(ready),
            out=tmp_path / "out",
            recipe="ptq",
            cache=tmp_path / "cache",
            embed_preprocess=True,
        )
    assert not (tmp_path / "out").exists()
    out = tmp_path / "q.onnx"
    done = started.run("quantize", str(large.model), "-o", str(out), "--embed-preprocess")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "--embed-preprocess: without data" in done.stderr
    assert not out.exists()


def test_another_devices_file_does_not_embed(large: Colours, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    with pytest.raises(UnsupportedError, match=r"for target 'litert-cpu' leave it away"):
        squeeze.compile(
            str(large.model),
            str(large.folder),
            "litert-cpu",
            out=tmp_path / "out",
            embed_preprocess=True,
        )


def test_images_of_another_size_are_told_how_to_be_resized(large: Colours, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="resize there another height and width of images"):
        squeeze.compile(
            str(large.model),
            str(large.folder.with_suffix("")),
            out=tmp_path / "out",
            recipe="ptq",
            cache=tmp_path / "cache",
        )
