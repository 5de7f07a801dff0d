"""Attention in all its fused forms is taken apart: each compared with the runtime's own kernel on random numbers."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.numpy_helper import from_array

from squeeze.errors import ConfigError
from tests.teacher.test_fused import adopted, domains, run

SAMPLES, QUERIES, KEYS, HEADS, SIZE, VALUE = 3, 5, 7, 2, 4, 6
WIDTH = HEADS * SIZE
RUNTIME, ONNX = "com.microsoft", ""


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed + len(shape)).standard_normal(shape).astype(np.float32)


def holes(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, shape).astype(np.int32)


@dataclass(frozen=True)
class Case:
    """A node, and perhaps others before it. fed: [samples, ...]."""

    op: str
    fed: dict[str, np.ndarray]
    stored: dict[str, np.ndarray] = field(default_factory=dict)
    inputs: str = (
        ""  # in order, "-" for one left out; else those that are fed, then those that are stored
    )
    attributes: dict[str, Any] = field(default_factory=dict)
    domain: str = RUNTIME
    before: tuple[onnx.NodeProto, ...] = ()

    def model(self, opset: int) -> onnx.ModelProto:
        names = self.inputs.split() or [*self.fed, *self.stored]
        given = ["" if name == "-" else name for name in names]
        node = helper.make_node(
            self.op, given, ["y"], "fused", domain=self.domain, **self.attributes
        )
        ends = [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(x.dtype), ["batch", *x.shape[1:]]
            )
            for name, x in self.fed.items()
        ]
        out = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
        tensors = [from_array(x, name) for name, x in self.stored.items()]
        graph = helper.make_graph([*self.before, node], "net", ends, [out], tensors)
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid(RUNTIME, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


X, QKV = {"x": normal(SAMPLES, QUERIES, WIDTH)}, {"w": normal(WIDTH, 24), "b": normal(24, seed=5)}
ENDS, BEGINS = np.array([5, 3, 4], np.int32), np.array([0, 2, 3], np.int32)
CAUSAL = {"num_heads": HEADS, "unidirectional": 1}
ATTENTION = {
    "causal": Case("Attention", X, QKV, "x w b", CAUSAL),
    "causal-mask": Case(
        "Attention",
        {**X, "mask": holes(SAMPLES, QUERIES)},
        *(QKV, "x w b mask", {**CAUSAL, "mask_filter_value": -3.0, "scale": 0.7}),
    ),
    "causal-padded-on-the-left": Case(
        "Attention", {**X, "mask": np.tri(3, 5, 2, np.int32)[:, ::-1]}, QKV, "x w b mask", CAUSAL
    ),
    "causal-lengths": Case("Attention", {**X, "mask": ENDS}, QKV, "x w b mask", CAUSAL),
    "causal-bias": Case(
        "Attention", X, {**QKV, "bias": normal(1, HEADS, 5, 5)}, "x w b - - bias", CAUSAL
    ),
    "ends-and-begins": Case(
        "Attention",
        {**X, "ends": ENDS, "begins": BEGINS},
        *(QKV, "x w b mask", {"num_heads": HEADS}, RUNTIME),
        (helper.make_node("Concat", ["ends", "begins"], ["mask"], axis=0),),
    ),
    "mask-of-each-query": Case(
        "Attention",
        {**X, "mask": holes(SAMPLES, QUERIES, QUERIES)},
        *(QKV, "x w b mask", {"num_heads": HEADS}),
    ),
}

Q, K = normal(SAMPLES, QUERIES, WIDTH), normal(SAMPLES, KEYS, WIDTH, seed=1)
V = normal(SAMPLES, KEYS, HEADS * VALUE, seed=2)
FED = {"q": Q, "k": K, "v": V}
BIAS = {"b": normal(2 * WIDTH + HEADS * VALUE)}
SELF = {"q": Q, "k": Q[:, ::-1], "v": Q + 1}


def multi(
    fed: dict[str, np.ndarray], stored: dict[str, np.ndarray], inputs: str, **more: Any
) -> Case:
    return Case("MultiHeadAttention", fed, stored, inputs, {"num_heads": HEADS, **more})


WITH_HEADS = {
    "q": Q,
    "k": normal(SAMPLES, HEADS, KEYS, SIZE),
    "v": normal(SAMPLES, HEADS, KEYS, SIZE, seed=3),
}
LENGTHS = np.array([7, 3, 0], np.int32)
PACKED = (helper.make_node("Concat", ["mask", "mask", "0", "mask", "0"], ["packed"], axis=0),)
MULTI = {
    "plain": multi(FED, {}, "q k v"),
    "bias": multi(FED, BIAS, "q k v b", scale=0.3),
    "lengths": multi({**FED, "mask": LENGTHS}, BIAS, "q k v b mask"),
    "lengths-of-packed": Case(
        "MultiHeadAttention",
        {**FED, "mask": LENGTHS},
        *({"0": np.zeros(1, np.int32)}, "q k v - packed", {"num_heads": HEADS}, RUNTIME, PACKED),
    ),
    "mask": multi(
        {**FED, "mask": holes(SAMPLES, KEYS)}, {}, "q k v - mask", mask_filter_value=-2.0
    ),
    "mask-of-each-query": multi(
        {**FED, "mask": holes(SAMPLES, QUERIES, KEYS)}, BIAS, "q k v b mask"
    ),
    "bias-of-scores": multi(FED, {"s": normal(1, HEADS, QUERIES, KEYS)}, "q k v - - s"),
    "bias-of-scores-of-all-heads": multi(
        {**FED, "s": normal(SAMPLES, 1, QUERIES, KEYS), "mask": holes(SAMPLES, KEYS)},
        *({}, "q k v - mask s"),
    ),
    "causal": multi(SELF, {}, "q k v", unidirectional=1),
    "causal-mask": multi(
        {**SELF, "mask": holes(SAMPLES, QUERIES)}, {}, "q k v - mask", unidirectional=1
    ),
    "keys-with-heads": multi(WITH_HEADS, {}, "q k v"),
    "keys-with-heads-bias-mask": multi(
        {**WITH_HEADS, "mask": LENGTHS}, {"b": normal(3 * WIDTH)}, "q k v b mask"
    ),
}

FEW = {"q": normal(SAMPLES, QUERIES, 4 * SIZE), "k": K, "v": V}
OF_FOUR = {
    "q": normal(SAMPLES, 4, QUERIES, SIZE),
    "k": normal(SAMPLES, 2, KEYS, SIZE, seed=1),
    "v": normal(SAMPLES, 2, KEYS, VALUE, seed=2),
}
SQUARE = {"q": Q, "k": Q[:, ::-1], "v": Q + 1}
SOME = holes(SAMPLES, 1, QUERIES, KEYS, seed=4).astype(bool)
SOME[0, 0, 1] = False


def standard(
    fed: dict[str, np.ndarray], stored: dict[str, np.ndarray] | None = None, **more: Any
) -> Case:
    numbers = {} if fed["q"].ndim == 4 else {"q_num_heads": 4, "kv_num_heads": 2}
    return Case("Attention", fed, stored or {}, "", {**numbers, **more}, ONNX)


ADDED = {"m": np.where(SOME, normal(SAMPLES, 1, QUERIES, KEYS), -np.inf).astype(np.float32)}
STANDARD = {
    "few-heads-of-keys": standard(FEW),
    "same-heads": standard(FED, q_num_heads=HEADS, kv_num_heads=HEADS, scale=0.3),
    "causal": standard(SQUARE, q_num_heads=HEADS, kv_num_heads=HEADS, is_causal=1),
    "causal-of-more-keys": standard(FEW, is_causal=1),
    "some-keys": standard({**FEW, "m": SOME}),
    "some-keys-causal": standard({**FEW, "m": SOME}, is_causal=1),
    "same-for-all": standard(FEW, {"m": SOME[0, 0]}),
    "added": standard({**FEW, **ADDED}),
    "added-causal": standard({**FEW, **ADDED}, is_causal=1),
    "added-for-each-head": standard(FEW, {"m": normal(4, QUERIES, KEYS)}),
    "capped": standard({**FEW, **ADDED}, softcap=0.7),
    "with-heads": standard(OF_FOUR),
    "with-heads-causal-capped": standard({**OF_FOUR, "m": SOME}, is_causal=1, softcap=0.7),
    "with-heads-same": standard({n: x[:, :2] for n, x in OF_FOUR.items()}, is_causal=1),
}
AT = np.random.default_rng(5).integers(0, 16, (SAMPLES, QUERIES)).astype(np.int64)
TABLES = {"cos": normal(16, SIZE // 2), "sin": normal(16, SIZE // 2, seed=7)}
HEADED = {"x": normal(SAMPLES, 3, QUERIES, 6), "at": AT}
FROM_3 = {**TABLES, "from": np.array([3], np.int64)}
TURNS = {
    "places": Case("RotaryEmbedding", {**X, "at": AT}, TABLES, "x at cos sin"),
    "first-place": Case("RotaryEmbedding", X, FROM_3, "x from cos sin", {"interleaved": 1}),
    "with-heads": Case(
        "RotaryEmbedding",
        *({"x": HEADED["x"][..., :4], "at": AT}, TABLES, "x at cos sin", {"interleaved": 1}),
    ),
    "part-of-a-head": Case(
        "RotaryEmbedding",
        {"x": normal(SAMPLES, QUERIES, 12), "at": AT},
        *(TABLES, "x at cos sin", {"rotary_embedding_dim": 4, "num_heads": 2}),
    ),
    "standard": Case(
        *("RotaryEmbedding", {**X, "at": AT}, TABLES, "x cos sin at", {"num_heads": 2}, ONNX)
    ),
    "standard-part-of-a-head": Case(
        "RotaryEmbedding",
        *(HEADED, TABLES, "x cos sin at", {"rotary_embedding_dim": 4, "interleaved": 1}, ONNX),
    ),
    "standard-own-tables": Case(
        "RotaryEmbedding",
        {**X, "cos": normal(SAMPLES, QUERIES, 2), "sin": normal(SAMPLES, QUERIES, 2, seed=2)},
        *({}, "", {"num_heads": 2}, ONNX),
    ),
}
NORM = {
    "rms": Case("RMSNormalization", X, {"g": normal(WIDTH)}, "", {"epsilon": 0.1}, ONNX),
}
CASES = {
    f"{kind}-{name}": case
    for kind, cases in (
        ("attention", ATTENTION),
        ("multi-head", MULTI),
        ("standard", STANDARD),
        ("rotary", TURNS),
        ("norm", NORM),
    )
    for name, case in cases.items()
}


@pytest.mark.parametrize("case", CASES)
def test_fused_attention_is_taken_apart(tmp_path: Path, case: str) -> None:
    made = CASES[case]
    opset = 23 if made.domain == ONNX else 17
    feed = {name: np.ascontiguousarray(x) for name, x in made.fed.items()}
    teacher = adopted(made.model(opset), feed, tmp_path)
    assert domains(teacher.model) == {""}
    assert made.op not in {node.op_type for node in onnx.load(teacher.model).graph.node}
    assert f"1 of 1 fused nodes ({made.op}) taken apart into standard ones" in teacher.changes[0]
    assert onnx.load(teacher.model).opset_import[0].version == 20
    (wanted,) = run(tmp_path / "net.onnx", feed, ["y"])
    (got,) = run(teacher.model, feed, ["y"])
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


CACHED = {
    "attention-causal": ["present"],
    "multi-head-plain": ["present_key", "present_value"],
    "standard-few-heads-of-keys": ["present_key", "present_value"],
}


@pytest.mark.parametrize("case", CACHED)
def test_attention_with_a_cache_stays_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    made = CASES[case]
    model = made.model(23 if made.domain == ONNX else 17)
    model.graph.node[0].output.extend(CACHED[case])
    with caplog.at_level(logging.WARNING):
        teacher = adopted(model, made.fed, tmp_path)
    assert made.op in {node.op_type for node in onnx.load(teacher.model).graph.node}
    assert teacher.changes == ()
    said = f"1 of 1 fused nodes stay as they are, in float: {made.op} (a cache of past tokens)"
    assert said in caplog.text


@pytest.mark.parametrize("case", ["attention-causal-mask", "standard-causal"])
def test_lengths_stay_free_behind_causal_attention(tmp_path: Path, case: str) -> None:
    made = CASES[case]
    model = made.model(23 if made.domain == ONNX else 17)
    for end in model.graph.input:
        end.type.tensor_type.shape.dim[1].dim_param = "sequence"
    feed = {name: np.ascontiguousarray(x) for name, x in made.fed.items()}
    teacher = adopted(model, feed, tmp_path)
    assert domains(teacher.model) == {""}
    assert set(teacher.interface.free) == {"sequence"}
    for tokens in (1, 2, 2 * QUERIES):
        index = np.arange(tokens) % QUERIES
        other = {name: np.ascontiguousarray(x[:, index]) for name, x in feed.items()}
        (wanted,) = run(tmp_path / "net.onnx", other, ["y"])
        (got,) = run(teacher.model, other, ["y"])
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_packed_queries_keys_and_values_are_refused_as_the_runtime_does(tmp_path: Path) -> None:
    packed = {"q": normal(SAMPLES, QUERIES, HEADS, 3, SIZE)}
    with pytest.raises(ConfigError, match="Packed QKV of shape"):
        adopted(multi(packed, {}, "q").model(17), packed, tmp_path)
