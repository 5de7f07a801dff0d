"""Teachers that do not work are refused, with what would make them: a network of two layers whose colours are known.

Images have the colours of ImageNet's mean, and a little more of the one that is their label, so that only a
network whose input is less that mean tells them apart: its outputs are the means of the channels.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from squeeze.commands.quantize import quantize_file
from squeeze.errors import ConfigError, UnsupportedError
from tests import started

COUNT = 300
RNG = np.random.default_rng(0)
LABELS = np.tile(np.arange(3), COUNT // 3)
BASE = np.asarray([0.485, 0.456, 0.406]) * 255


def images() -> np.ndarray:
    x = np.tile(BASE.round(), (COUNT, 8, 8, 1)) + RNG.integers(-2, 3, (COUNT, 8, 8, 3))
    x[np.arange(COUNT), :, :, LABELS] += 5
    return x.astype(np.uint8)


IMAGES = images()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logits are the means of the channels: a pooling, and a Gemm of the unit matrix."""
    eye = np.eye(3, dtype=np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor("w", TensorProto.FLOAT, [3, 3, 1, 1], eye.ravel())],
    )
    path = tmp_path_factory.mktemp("model") / "means.onnx"
    onnx.save(
        helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), path
    )
    return path


def data(folder: Path, labels: np.ndarray = LABELS, x: np.ndarray = IMAGES) -> str:
    np.savez(folder / "data.npz", x=x, y=labels)
    return str(folder / "data.npz")


def refused(model: Path, source: str, **given: object) -> str:
    with pytest.raises(ConfigError) as caught:
        quantize_file(model, Path(source).with_name("out.onnx"), calib=source, threads=1, **given)  # type: ignore[arg-type]
    assert not Path(source).with_name("out.onnx").exists()
    return str(caught.value)


def test_the_preprocessing_that_it_was_trained_with_is_named(model: Path, tmp_path: Path) -> None:
    said = refused(model, data(tmp_path))
    # Red is the most of every image, and one label of three.
    assert "the teacher does not work on these data: 33.33 % top-1" in said
    assert "with --preprocess imagenet" in said
    assert "the teacher has 100.00 % top-1 on" in said
    assert "as it is now 33." in said
    assert "--accept-baseline goes on" in said


def test_reversed_channels_are_named(model: Path, tmp_path: Path) -> None:
    said = refused(model, data(tmp_path, x=IMAGES[..., ::-1]), preprocess="imagenet")
    assert "with --preprocess imagenet-bgr" in said


def test_few_samples_that_are_all_right_are_no_fault(model: Path, tmp_path: Path) -> None:
    few = slice(0, 15)
    with pytest.raises(UnsupportedError, match="gain too little"):
        quantize_file(
            model,
            tmp_path / "out.onnx",
            calib=data(tmp_path, LABELS[few], IMAGES[few]),
            preprocess="imagenet",
            threads=1,
        )


def test_another_order_of_classes_is_named(model: Path, tmp_path: Path) -> None:
    said = refused(model, data(tmp_path, (LABELS + 1) % 3), preprocess="imagenet")
    assert "0.00 % top-1" in said
    assert "it answers 0 for label 1, 1 for label 2, 2 for label 0; number the labels" in said


def test_order_of_classes_is_named_though_few_samples_calibrate(
    model: Path, tmp_path: Path
) -> None:
    data(tmp_path, (LABELS + 1) % 3)
    few = tmp_path / "few.toml"  # two of each class
    few.write_text('schema = 1\nname = "few"\ndata = "data.npz"\n[splits]\ncalibrate = 0.02\n')
    said = refused(model, str(few), preprocess="imagenet")
    assert "another order than the teacher's: it answers 0 for label 1, 1 for label 2" in said


def test_both_at_once(model: Path, tmp_path: Path) -> None:
    said = refused(model, data(tmp_path, (LABELS + 1) % 3))
    assert "tells the classes apart, in another order" in said


def test_labels_that_mean_nothing_have_no_remedy(model: Path, tmp_path: Path) -> None:
    said = refused(model, data(tmp_path, RNG.permutation(LABELS)), preprocess="imagenet")
    assert "none of the usual preprocessings makes it work" in said


def test_it_goes_on_where_that_is_accepted(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # A model of 75 bytes of weights gains nothing from int8, which is said only after all of it was done.
    with caplog.at_level(logging.WARNING), pytest.raises(UnsupportedError, match="gain too little"):
        quantize_file(
            model,
            tmp_path / "out.onnx",
            calib=data(tmp_path),
            threads=1,
            accept_baseline=True,
        )
    assert "does not work on these data" in caplog.text
    assert "going on as asked" in caplog.text


def test_a_network_that_answers_alike_is_refused_without_labels(
    model: Path, tmp_path: Path
) -> None:
    dead = onnx.load(model)
    dead.graph.initializer[0].CopyFrom(
        helper.make_tensor("w", TensorProto.FLOAT, [3, 3, 1, 1], np.zeros(9, np.float32))
    )
    onnx.save(dead, tmp_path / "dead.onnx")
    np.save(tmp_path / "data.npy", IMAGES)
    said = refused(tmp_path / "dead.onnx", str(tmp_path / "data.npy"))
    assert "its output 'y' is the same for every sample" in said


def test_one_that_works_a_little_is_told_of_what_is_better(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    strong = IMAGES.astype(np.int64)
    half = np.flatnonzero(LABELS != 0)[::2]
    strong[half, :, :, LABELS[half]] += 40  # told apart without a mean, too
    with caplog.at_level(logging.WARNING), pytest.raises(UnsupportedError, match="gain too little"):
        quantize_file(
            model,
            tmp_path / "out.onnx",
            calib=data(tmp_path, x=strong.astype(np.uint8)),
            threads=1,
        )
    assert "with --preprocess imagenet" in caplog.text


def test_options_of_the_command_line(model: Path, tmp_path: Path) -> None:
    source = data(tmp_path)
    here = ("quantize", str(model), "--calib", source, "-o", str(tmp_path / "out.onnx"))
    bad = started.run(*here, "--mean", "0.4,x", "--threads", "1")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert "--mean: got '0.4,x'; a number, or one for each channel" in bad.stderr
    good = started.run(
        *(*here, "--scale", "1/255", "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"),
        *("--for", "size", "--threads", "1", "--json"),
    )
    if good.returncode == 0:
        assert json.loads(good.stdout)["metric"]["before"] == 100
    else:
        assert "gain too little" in good.stderr


def test_the_line_that_makes_labels_of_outputs_is_told(tmp_path: Path) -> None:
    """y = the sum of x; labels are 20 less 3 times that, which is worse than their mean."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])
        for name, size in (("x", 4), ("y", 1))
    ]
    ones = helper.make_tensor("w", TensorProto.FLOAT, [4, 1], np.ones(4, np.float32))
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    graph = helper.make_graph(nodes, "sum", ends[:1], ends[1:], [ones])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opset), tmp_path / "m.onnx")
    x = RNG.standard_normal((COUNT, 4)).astype(np.float32)
    said = refused(
        tmp_path / "m.onnx", data(tmp_path, (20 - 3 * x.sum(axis=1)).astype(np.float32), x)
    )
    assert "mean squared error" in said
    assert "labels are about -3 times output 'y' + 20" in said
