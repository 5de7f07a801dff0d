"""QAddNorm inside ONNX Runtime: against NumPy, against its body, and with broken nodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.ops import node_model
from tests.ops.node_model import Array, Node, build, most_steps_apart, session

ISAS = ("portable", "x86_avx2", "x86_avx512vnni")
f32 = np.float32


def node(
    op_type: str,
    seed: int,
    a: tuple[int, ...],
    b: tuple[int, ...] | None = None,
    *,
    dtype: type = np.uint8,
    far: float = 0.0,
) -> Node:
    rng = np.random.default_rng(seed)
    width = a[-1]
    inputs: dict[str, Array] = {
        "a": (rng.standard_normal(a) + far).astype(f32),
        "b": rng.standard_normal(a if b is None else b).astype(f32),
        "bias": rng.standard_normal(width).astype(f32),
        "norm_scale": rng.standard_normal(width).astype(f32),
        "norm_shift": rng.standard_normal(width).astype(f32),
        "y_scale": np.array(0.03, f32),
        "y_zero_point": np.array(100 + np.iinfo(dtype).min, dtype),
    }
    if op_type == "QAddNormScaled":
        inputs["norm_factor"] = rng.standard_normal(width).astype(f32)
    if op_type == "QAddRmsNormSum":
        del inputs["norm_shift"]
    return Node(op_type, inputs, ("a", "b"), {"epsilon": 1e-5}, 2 if dtype is np.uint8 else 3)


CASES = {
    "tokens": node("QAddNorm", 1, (2, 9, 384)),
    "s8": node("QAddNorm", 2, (3, 5, 64), dtype=np.int8),
    "odd-width": node("QAddNorm", 3, (2, 3, 77)),
    "narrow": node("QAddNorm", 4, (5, 3)),
    "one-number": node("QAddNorm", 5, (4, 1)),
    "one-row": node("QAddNorm", 6, (130,)),
    "no-rows": node("QAddNorm", 7, (0, 4, 16)),
    "same-for-all-images": node("QAddNorm", 8, (3, 7, 40), (1, 7, 40)),
    "either-way": node("QAddNorm", 9, (3, 1, 4, 40), (1, 7, 4, 40)),
    "far-from-zero": node("QAddNorm", 10, (6, 384), far=100.0),
    "many-tasks": node("QAddNorm", 11, (2, 120, 384)),
    "sum": node("QAddNormSum", 12, (2, 9, 100)),
    "sum-s8": node("QAddNormSum", 13, (2, 9, 384), dtype=np.int8),
    "scaled": node("QAddNormScaled", 14, (2, 9, 384)),
    "scaled-odd-width": node("QAddNormScaled", 15, (2, 3, 77), dtype=np.int8),
    "root": node("QAddRmsNormSum", 16, (2, 9, 384), far=1.0),
    "root-s8-odd-width": node("QAddRmsNormSum", 17, (2, 3, 77), dtype=np.int8),
    "root-many-tasks": node("QAddRmsNormSum", 18, (2, 120, 384), (1, 120, 384)),
}
every_case = pytest.mark.parametrize("name", CASES)


def streams(case: Node) -> tuple[Array, Array]:
    """The sum and the normalised numbers, in float64."""
    wide = {name: value.astype(np.float64) for name, value in case.inputs.items()}
    total = wide["a"] + wide["b"] + wide["bias"]
    centred = case.op_type != "QAddRmsNormSum"
    away = total - total.mean(axis=-1, keepdims=True) if centred else total
    variance = (away**2).mean(axis=-1, keepdims=True)
    norm = away / np.sqrt(variance + case.attributes["epsilon"])
    return total, norm * wide["norm_scale"] + wide.get("norm_shift", 0)


def outputs(case: Node, *, native: bool) -> tuple[Array, Array]:
    """y and what goes on in float."""
    model = build(case, body=not native)
    stream = model.graph.output.add()
    stream.name = model.graph.node[0].output[1]
    stream.type.tensor_type.elem_type = 1
    y, numbers = session(model, native=native).run(None, case.feeds())
    return y, numbers


@pytest.mark.parametrize("isa", ISAS)
@every_case
def test_every_isa_gives_what_float64_gives(
    library: str, name: str, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEEZE_ISA", isa)
    case = CASES[name]
    y, stream = outputs(case, native=True)
    total, norm = streams(case)
    wanted_stream = total if case.op_type.endswith("Sum") else norm
    wanted_stream = wanted_stream * case.inputs.get("norm_factor", f32(1))
    np.testing.assert_allclose(stream, wanted_stream, rtol=2e-5, atol=3e-4)
    zero = case.inputs["y_zero_point"]
    limits = np.iinfo(zero.dtype)
    steps = np.rint(norm / case.inputs["y_scale"]) + float(zero)
    wanted = np.clip(steps, limits.min, limits.max).astype(zero.dtype)
    assert most_steps_apart(y, wanted) <= 1
    assert (y != wanted).mean() < 0.02 if y.size else True


@every_case
def test_every_isa_and_number_of_threads_gives_the_same_bytes(
    library: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEEZE_ISA", "portable")
    wanted = node_model.run_native(CASES[name])
    for isa in ISAS[1:]:
        monkeypatch.setenv("SQUEEZE_ISA", isa)
        for threads in (1, 2):
            y = node_model.run_native(CASES[name], threads=threads)
            np.testing.assert_array_equal(y, wanted)


@pytest.mark.parametrize("opset", [14, 17, 20])
@every_case
def test_body_is_within_one_step(library: str, name: str, opset: int) -> None:
    native = node_model.run_native(CASES[name])
    assert most_steps_apart(node_model.run_body(CASES[name], opset=opset), native) <= 1


def test_body_gives_the_same_stream(library: str) -> None:
    for name in ("tokens", "sum", "scaled", "root"):
        _, native = outputs(CASES[name], native=True)
        _, body = outputs(CASES[name], native=False)
        np.testing.assert_allclose(native, body, rtol=1e-5, atol=1e-5)


def test_body_is_the_plain_nodes(tmp_path: Path) -> None:
    assert node_model.fused(CASES["tokens"], tmp_path) == {
        "Add": 2,
        "LayerNormalization": 1,
        "QuantizeLinear": 1,
    }
    root = node_model.fused(CASES["root"], tmp_path)
    assert root == {"Add": 2, "SimplifiedLayerNormalization": 1, "QuantizeLinear": 1}


BROKEN: dict[str, tuple[dict[str, Array], dict[str, object], str]] = {
    "epsilon": ({}, {"epsilon": -1.0}, "attribute epsilon must be positive and finite, got -1"),
    "no-epsilon": ({}, {"epsilon": None}, "attribute epsilon is missing or no number"),
    "scale": ({"y_scale": np.array(0, f32)}, {}, "input y_scale must be positive and finite"),
    "shift": ({"norm_shift": np.ones(383, f32)}, {}, r"input norm_shift has the shape \[383\]"),
    "bias": ({"bias": np.ones((1, 384), f32)}, {}, r"input bias has the shape \[1, 384\]"),
    "factor": ({"norm_factor": np.ones(383, f32)}, {}, r"norm_factor has the shape \[383\]"),
    "matrix": ({"norm_scale": np.ones((2, 384), f32)}, {}, r"norm_scale has the shape \[2, 384\]"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_node_is_refused_with_its_name_and_reason(library: str, name: str) -> None:
    inputs, attributes, message = BROKEN[name]
    case = CASES["scaled" if name == "factor" else "tokens"]
    broken = case.having(**inputs).saying(**attributes)
    with pytest.raises(Exception, match=f"{case.op_type} 'the node': .*{message}"):
        session(build(broken, body=False), native=True)


@pytest.mark.parametrize("b", [(2, 9, 383), (2, 8, 384), (9, 384)])
def test_tensors_that_do_not_fit_are_refused_when_they_come(
    library: str, b: tuple[int, ...]
) -> None:
    broken = CASES["tokens"].having(b=np.zeros(b, f32))
    with pytest.raises(Exception, match=r"inputs a and b are \[2, 9, 384\] and \["):
        session(build(broken, body=False, loose=True), native=True).run(None, broken.feeds())
