"""Texts are run without the padding that they need not have, and give the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze import calib, measure
from squeeze.calib import Calib
from squeeze.interface import Interface, TensorSpec
from squeeze.runtimes import inference

pytest.importorskip("tokenizers", reason="tokenizers: pip install squeeze[hf]")

from tests.calib.text.small import WORDS, ends, loading, tokenizer_json

RNG = np.random.default_rng(0)
NAMES = ("input_ids", "attention_mask")
TABLE = RNG.standard_normal((len(WORDS), 8)).astype(np.float32)
FREE = ((0, "sequence"),)
INTERFACE = Interface(
    tuple(TensorSpec(name, "int64", (10,), free=FREE) for name in NAMES),
    (TensorSpec("words", "float32", (10, 8), free=FREE), TensorSpec("mean", "float32", (8,))),
)


def write(path: Path, *, masked: bool) -> Path:
    """Words [n, t, 8] that are looked up, and their mean: of those in the mask, or of all."""
    counted = "column" if masked else "ones"
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Sub", ["column", "column"], ["zeros"]),
        helper.make_node("Add", ["zeros", "one"], ["ones"]),
        helper.make_node("Mul", ["words", counted], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "tokens"], ["total"], keepdims=0),
        helper.make_node("ReduceSum", [counted, "tokens"], ["count"], keepdims=0),
        helper.make_node("Div", ["total", "count"], ["mean"]),
    ]
    constants = {
        "table": TABLE,
        "last": np.array([2]),
        "tokens": np.array([1]),
        "one": np.float32(1),
    }
    graph = helper.make_graph(
        nodes,
        "words",
        [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "sequence"]) for n in NAMES],
        [
            helper.make_tensor_value_info("words", TensorProto.FLOAT, ["batch", "sequence", 8]),
            helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["batch", 8]),
        ],
        [numpy_helper.from_array(np.asarray(x), n) for n, x in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Calib:
    (tmp_path / "tokenizer.json").write_text(tokenizer_json())
    rng = np.random.default_rng(1)
    lines = [" ".join(rng.choice(list("abcdefgh"), rng.integers(1, 9))) for _ in range(400)]
    (tmp_path / "d.txt").write_text("\n".join(["a b c d e f g h", *lines]))
    text = {"tokenizer": str(tmp_path / "tokenizer.json")}
    return calib.load(str(tmp_path / "d.txt"), text=text, **loading(ends(*NAMES))).fitted(INTERFACE)


def widths(
    model: Path, data: Calib, monkeypatch: pytest.MonkeyPatch
) -> tuple[set[int], dict[str, np.ndarray]]:
    """How wide runs of more than the two samples of a trial were, and what was given for the fit split."""
    seen: set[int] = set()
    infer = inference.infer

    def watched(opened, feed, *more):  # type: ignore[no-untyped-def]
        if len(feed["input_ids"]) > 2:
            seen.add(feed["input_ids"].shape[1])
        return infer(opened, feed, *more)

    monkeypatch.setattr("squeeze.measure.evaluation.infer", watched)
    parts = list(measure.outputs_in_batches(model, data, data.fit, interface=INTERFACE, threads=2))
    return seen, {n: np.concatenate([part[n] for part in parts]) for n in parts[0]}


@pytest.mark.parametrize("masked", [True, False], ids=["masked", "not-masked"])
def test_outputs_are_those_of_the_padded_samples(
    tmp_path: Path, data: Calib, monkeypatch: pytest.MonkeyPatch, masked: bool
) -> None:
    model = write(tmp_path / "m.onnx", masked=masked)
    seen, found = widths(model, data, monkeypatch)
    ids, mask = (np.asarray(data.fit.arrays[name]) for name in NAMES)
    words, mean = ort.InferenceSession(model).run(None, dict(zip(NAMES, (ids, mask), strict=True)))
    np.testing.assert_allclose(found["mean"], mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["words"], words * (mask != 0)[:, :, None])
    # A model that does not look at the mask is given all padding.
    assert {10} < seen <= {4, 8, 10} if masked else seen == {10}


def test_outputs_of_another_runtime_are_without_padding_too(tmp_path: Path, data: Calib) -> None:
    ids, mask = (np.asarray(data.fit.arrays[name]) for name in NAMES)
    opened = ort.InferenceSession(write(tmp_path / "m.onnx", masked=True))
    words, mean = opened.run(None, dict(zip(NAMES, (ids, mask), strict=True)))
    found = measure.without_padding({"words": words, "mean": mean}, data, data.fit, INTERFACE)
    np.testing.assert_array_equal(found["words"], words * (mask != 0)[:, :, None])
    np.testing.assert_array_equal(found["mean"], mean)


def test_fixed_length_is_kept(tmp_path: Path, data: Calib, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = Interface(
        tuple(TensorSpec(name, "int64", (10,)) for name in NAMES),
        (TensorSpec("words", "float32", (10, 8)), TensorSpec("mean", "float32", (8,))),
    )
    monkeypatch.setitem(globals(), "INTERFACE", fixed)
    seen, _ = widths(write(tmp_path / "m.onnx", masked=True), data, monkeypatch)
    assert seen == {10}


def test_ids_alone_tell_what_is_padding_where_we_made_it(tmp_path: Path, data: Calib) -> None:
    """Sums of what is looked up so far, as a decoder has them: no token sees what is behind it."""
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["looked_up"]),
        helper.make_node("CumSum", ["looked_up", "tokens"], ["words"]),
    ]
    graph = helper.make_graph(
        nodes,
        "causal",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])],
        [helper.make_tensor_value_info("words", TensorProto.FLOAT, ["batch", "sequence", 8])],
        [numpy_helper.from_array(TABLE, "table"), numpy_helper.from_array(np.array(1), "tokens")],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "m.onnx")
    alone = Interface(INTERFACE.inputs[:1], INTERFACE.outputs[:1])
    text = {"tokenizer": str(tmp_path / "tokenizer.json")}
    loaded = calib.load(str(tmp_path / "d.txt"), text=text, **loading(ends("input_ids")))
    loaded = loaded.fitted(alone)

    ids = np.asarray(loaded.fit.arrays["input_ids"])
    mask = np.asarray(data.fit.arrays["attention_mask"])  # of the same texts
    sums = np.cumsum(TABLE[ids], axis=1) * (mask != 0)[:, :, None]
    assert 0 < np.mean(mask) < 1
    model = tmp_path / "m.onnx"
    parts = measure.outputs_in_batches(model, loaded, loaded.fit, interface=alone, threads=1)
    found = np.concatenate([part["words"] for part in parts])
    np.testing.assert_allclose(found, sums, rtol=1e-4, atol=1e-5)
    (width,) = {x.shape[1] for x in (ids, mask)}
    padding = measure.padding_of(
        lambda feed: {"words": np.cumsum(TABLE[feed["input_ids"]], axis=1)},
        loaded,
        loaded.fit,
        alone,
    )
    assert padding is not None
    short = np.argsort(mask.sum(axis=1))[:2]
    assert padding.cut({"input_ids": ids[short]})["input_ids"].shape[1] < width
