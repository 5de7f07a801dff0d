"""Samples of text are calibrated with in parts of like length, without the padding that nobody needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze import calib, graph, measure, runtimes
from squeeze.calib import Calib
from squeeze.feed import Array, Feed, Padding, Passes
from squeeze.interface import Interface, TensorSpec
from squeeze.quant.insert import Layer
from squeeze.quant.output_error import output_errors
from squeeze.quant.ranges.observe import observe
from squeeze.quant.repair.bias_correction import mean_shifts
from tests.calib.text.conftest import write  # noqa: F401 (a fixture)
from tests.calib.text.small import WORDS, ends, loading

PAD = 0
TABLE = np.arange(len(WORDS), dtype=np.float32)[:, None] * np.float32([1, -1])
TABLE[PAD] = 1000
IDS = np.array([[1, 0, 0, 0, 0, 0, 0, 0], [1, 2, 3, 1, 2, 3, 0, 0], [3, 0, 0, 0, 0, 0, 0, 0]])
FEED = {"ids": IDS, "mask": (IDS != PAD).astype(np.int64)}
PADDING = Padding("mask", ("ids", "mask"))


def test_parts_are_of_like_length_and_as_wide_as_their_longest() -> None:
    short, long = PADDING.parts({**FEED, "number": np.array([7, 8, 9])}, 2)
    assert short["ids"].tolist() == [[1, 0, 0, 0], [3, 0, 0, 0]]  # a multiple of four
    assert long["ids"].tolist() == [[1, 2, 3, 1, 2, 3, 0, 0]]
    assert (short["number"].tolist(), long["number"].tolist()) == ([7, 9], [8])
    assert short["mask"].shape == (2, 4)


def test_no_samples_are_no_parts() -> None:
    assert not list(PADDING.parts({name: x[:0] for name, x in FEED.items()}, 2))


def model(path: Path, *, masked: bool) -> Path:
    """[n, length] ids and mask -> the sum of the rows of TABLE, [n, 2]; of the padding, too, unless it is masked."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["words"]),
        helper.make_node("Cast", ["mask"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["floats", "two"], ["column"]),
        helper.make_node("Mul", ["words", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept" if masked else "words", "one"], ["y"], keepdims=0),
    ]
    made = helper.make_graph(
        nodes,
        "sum",
        [helper.make_tensor_value_info(n, TensorProto.INT64, ["n", "t"]) for n in ("ids", "mask")],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [
            numpy_helper.from_array(TABLE, "table"),
            numpy_helper.from_array(np.array([1]), "one"),
            numpy_helper.from_array(np.array([2]), "two"),
        ],
    )
    whole = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(whole, path)
    return path


def interface(width: int) -> Interface:
    taken = [TensorSpec(n, "int64", (width,), free=((0, "t"),)) for n in ("ids", "mask")]
    return Interface(tuple(taken), (TensorSpec("y", "float32", (2,)),))


@pytest.mark.parametrize(
    ("padding", "largest"), [(PADDING, 3.0), (None, 1000.0)], ids=["without", "with"]
)
def test_ranges_are_of_tokens(tmp_path: Path, padding: Padding | None, largest: float) -> None:
    ids = np.repeat([[1, 2, 3, 1, 0, 0, 0, 0], [3, 2, 1, 1, 0, 0, 0, 0]], 4, axis=0)
    feed = {"ids": ids, "mask": (ids != PAD).astype(np.int64)}
    passes = Passes(interface(8), lambda: iter((feed,)), padding=padding)
    told: list[int] = []
    loaded = graph.load(model(tmp_path / "m.onnx", masked=True))
    seen = observe(loaded, ["words", "y"], passes, 8, histograms=False, tick=told.append)
    assert (seen["words"].high, seen["words"].low) == (largest, -3.0)
    assert seen["y"].high == 7.0  # 1 + 2 + 3 + 1
    assert told == [8]


def test_errors_of_outputs_are_those_with_all_padding(tmp_path: Path) -> None:
    loaded = graph.load(model(tmp_path / "m.onnx", masked=True))
    other = graph.load(model(tmp_path / "m.onnx", masked=True))
    table = ir.tensor(TABLE + np.float32([0.5, 0]), name="table")
    other.graph.initializers["table"].const_value = table
    found = [
        output_errors(loaded, [other], Passes(interface(8), lambda: iter((FEED,)), padding=p), 3)
        for p in (PADDING, None)
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


def test_corrections_of_biases_are_means_of_tokens(tmp_path: Path) -> None:
    loaded, other = (graph.load(model(tmp_path / "m.onnx", masked=True)) for _ in range(2))
    moved = TABLE + np.float32([0.5, -0.25])
    moved[PAD] = 0
    other.graph.initializers["table"].const_value = ir.tensor(moved, name="table")
    names = dict.fromkeys(("weight_name", "scale_name", "bias_name", "bias_scale_name"), "")
    sizes = {"rank": 3, "channels": 2, "axis": 1, "x_scale": 1.0}
    layer = Layer("words", "words", **sizes, **names, bias=np.zeros(2), weight_scales=np.ones(2))  # type: ignore[arg-type]
    ids = np.repeat([[1, 2, 3, 1, 0, 0, 0, 0], [3, 2, 1, 1, 2, 3, 1, 2]], 8, axis=0)
    feed = {"ids": ids, "mask": (ids != PAD).astype(np.int64)}
    for padding, exact in ((PADDING, [-0.5, 0.25]), (None, [249.625, 250.1875])):
        passes = Passes(interface(8), lambda: iter((feed,)), padding=padding)
        (shift,) = mean_shifts(loaded, other, [layer], passes, 16)
        np.testing.assert_allclose(shift, exact, rtol=1e-6)


@pytest.mark.parametrize("masked", [True, False])
def test_padding_is_left_away_where_the_model_does_not_see_it(
    write: object,  # noqa: F811
    tmp_path: Path,
    masked: bool,
) -> None:
    lines = "\n".join(["a", "b", "c d a b c d"] * 6)
    path = write("d.txt", lines)  # type: ignore[operator]
    data: Calib = calib.load(
        str(path),
        text={"tokenizer": str(path.parent / "tokenizer.json"), "max_length": 8},
        **loading(ends("ids", "mask", output="y", width=2)),
    )
    file = model(tmp_path / "m.onnx", masked=masked)
    fitted = data.fitted(interface(8))
    session = runtimes.session(file)
    found = measure.padding_of(
        lambda feed: runtimes.infer(session, feed, interface(8)),
        fitted,
        fitted.calibrate,
        interface(8),
    )
    assert found == (PADDING if masked else None)


@pytest.mark.parametrize(
    ("name", "mask", "found"),
    [
        ("mask", FEED["mask"], PADDING),
        ("mask", FEED["mask"][:, ::-1], None),
        ("other", FEED["mask"], None),
    ],
    ids=["behind", "in-front", "no-mask"],
)
def test_a_mask_among_arrays_tells_lengths_too(
    tmp_path: Path, name: str, mask: Array, found: Padding | None
) -> None:
    file = tmp_path / "m.onnx"
    whole = onnx.load(model(file, masked=True))
    whole.graph.input[1].name = whole.graph.node[1].input[0] = name
    onnx.save(whole, file)
    known = interface(8)
    specs = (known.inputs[0], replace(known.inputs[1], name=name))
    known = Interface(specs, known.outputs)
    np.savez(
        tmp_path / "d.npz", ids=np.repeat(IDS, 4, axis=0), **{name: np.repeat(mask, 4, axis=0)}
    )
    data = calib.load(str(tmp_path / "d.npz"), inputs=["ids", name]).fitted(known)
    session = runtimes.session(file)

    def infer(feed: Feed) -> dict[str, Array]:
        return runtimes.infer(session, feed, known)

    assert measure.padding_of(infer, data, data.calibrate, known) == found
