"""QGemmByRow: each row counted in its own steps, against NumPy integers, against its body, and with broken nodes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from tests.ops.node_model import Array, Node, build, run_body, run_native, session

ISAS = ("portable", "x86_avx2", "x86_avx512vnni")
f32 = np.float32


def node(seed: int, shape: tuple[int, ...], outputs: int, *, most: int = 127) -> Node:
    """Rows that differ a thousandfold in size, one of them all 0."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(shape)
    a *= 10.0 ** rng.integers(-2, 2, (*shape[:-1], 1))
    a.reshape(-1, shape[-1])[-1:] = 0
    inputs: dict[str, Array] = {
        "a": a.astype(f32),
        "b": rng.integers(-most, most + 1, (outputs, shape[-1])).astype(np.int8),
        "b_scale": rng.uniform(0.001, 0.01, outputs).astype(f32),
        "bias": rng.standard_normal(outputs).astype(f32),
    }
    return Node("QGemmByRow", inputs, ("a",), {}, TensorProto.FLOAT)


CASES = {
    "tokens": node(1, (2, 9, 96), 64),
    "one-row": node(2, (1, 77), 33),
    "slices": node(4, (3, 2048), 1100),
    "slices-many-rows": node(5, (70, 1024), 2048),
    "many-tasks": node(6, (2, 300, 64), 48),
    "one-number": node(7, (5, 1), 1),
    "no-rows": node(8, (0, 4, 16), 8),
}
every_case = pytest.mark.parametrize("name", CASES)


def expected(case: Node) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """With integers, and what a step of each row is worth at most in each output."""
    a = case.inputs["a"].astype(np.float64)
    largest = np.maximum(np.abs(a).max(axis=-1, keepdims=True, initial=0), 1e-30)
    steps = np.rint(a * (127 / largest))
    b, scale = case.inputs["b"].astype(np.float64), case.inputs["b_scale"].astype(np.float64)
    by_row = largest / 127
    return steps @ b.T * scale * by_row + case.inputs["bias"], 127 * scale * by_row


@pytest.mark.parametrize("isa", ISAS)
@every_case
def test_every_isa_gives_what_integers_give(
    library: str, name: str, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEEZE_ISA", isa)
    wanted, step = expected(CASES[name])
    found = run_native(CASES[name])
    # A number between two steps may be rounded either way: by one step of its row, and rarely.
    assert (np.abs(found - wanted) <= step + 1e-4 * np.abs(wanted) + 1e-6).all()
    np.testing.assert_allclose(np.median(np.abs(found - wanted)) if found.size else 0, 0, atol=1e-4)


@every_case
def test_every_isa_and_number_of_threads_gives_the_same_bits(
    library: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEEZE_ISA", "portable")
    wanted = run_native(CASES[name])
    for isa in ISAS[1:]:
        monkeypatch.setenv("SQUEEZE_ISA", isa)
        for threads in (1, 2):
            np.testing.assert_array_equal(run_native(CASES[name], threads=threads), wanted)


@pytest.mark.parametrize("opset", [17, 20])
@every_case
def test_body_gives_the_same(library: str, name: str, opset: int) -> None:
    # Weights of 6 bits, whose products in pairs stay within 16 bits: exact on every CPU.
    case = CASES[name].having(b=(CASES[name].inputs["b"] // 2).astype(np.int8))
    if not case.inputs["a"].size:
        pytest.skip("the runtime's MatMulInteger gives no rows another width")
    _, step = expected(case)
    found, wanted = run_body(case, opset=opset), run_native(case)
    assert (np.abs(found - wanted) <= step + 1e-6).all()
    np.testing.assert_allclose(np.median(np.abs(found - wanted)) if found.size else 0, 0, atol=1e-5)


def test_row_does_not_hang_on_the_others(library: str) -> None:
    case = CASES["tokens"]
    whole = run_native(case)
    louder = case.inputs["a"].copy()
    louder[0, 0] *= 1000
    found = run_native(case.having(a=louder))
    np.testing.assert_array_equal(found[0, 1:], whole[0, 1:])
    np.testing.assert_array_equal(found[1], whole[1])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"b": np.ones((2, 3, 4), np.int8)}, "input b has rank 3, expected 2"),
        ({"b_scale": np.ones(63, f32)}, r"input b_scale has the shape \[63\]"),
        ({"bias": np.ones(63, f32)}, r"input bias has the shape \[63\]"),
        ({"b_scale": -np.ones(64, f32)}, r"b_scale\[0\] is -1, expected a number from 0 on"),
    ],
)
def test_broken_node_is_refused_with_its_name_and_reason(
    library: str, inputs: dict[str, Array], message: str
) -> None:
    broken = CASES["tokens"].having(**inputs)
    with pytest.raises(Exception, match=f"QGemmByRow 'the node': .*{message}"):
        session(build(broken, body=False, loose=True), native=True)


def test_matrix_that_does_not_fit_is_refused_when_it_comes(library: str) -> None:
    broken = CASES["tokens"].having(a=np.zeros((2, 9, 95), f32))
    with pytest.raises(Exception, match=r"input a is \[2, 9, 95\], the weights expect 96 values"):
        session(build(broken, body=False, loose=True), native=True).run(None, broken.feeds())
