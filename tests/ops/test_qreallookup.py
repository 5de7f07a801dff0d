"""QRealLookup inside ONNX Runtime: against NumPy, against its body, and with broken nodes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from squeeze import ops
from tests.ops import node_model
from tests.ops.node_model import Array, Node, build, most_steps_apart, session

ISAS = ("portable", "x86_avx2", "x86_avx512vnni")
SIGMOID = ops.Formula((ops.Step("Sigmoid", (0,)), ops.Step("Mul", (0, 1))), biased=True)
f32 = np.float32


def silu(x: Array) -> Array:
    return np.asarray(x / (1 + np.exp(-x)))


def node(
    seed: int, *shape: int, dtype: type = np.uint8, entries: int = 4096, spread: float = 3
) -> Node:
    rng = np.random.default_rng(seed)
    limits = np.iinfo(dtype)
    zero = 30 + limits.min
    places = np.linspace(-12, 8, entries)
    steps = np.rint(silu(places) / 0.03) + zero
    inputs: dict[str, Array] = {
        "x": (spread * rng.standard_normal(shape)).astype(f32),
        "bias": rng.standard_normal(shape[-1:]).astype(f32),
        "x_grid": np.array([-12, 20 / (entries - 1)], f32),
        "table": steps.clip(limits.min, limits.max).astype(dtype),
        "y_scale": np.array(0.03, f32),
        "y_zero_point": np.array(zero, dtype),
    }
    return Node("QRealLookup", inputs, ("x",), {}, 2 if dtype is np.uint8 else 3, SIGMOID)


CASES = {
    "tokens": node(1, 2, 9, 384),
    "s8": node(2, 3, 5, 64, dtype=np.int8),
    "odd-width": node(3, 4, 77),
    "one-number": node(4, 1),
    "no-rows": node(5, 0, 16),
    "many-tasks": node(6, 200, 384),
    "two-entries": node(7, 5, 20, entries=2),
    "most-entries": node(8, 5, 20, entries=65536),
    "beyond-the-ends": node(9, 50, 40, spread=1e6),
}
every_case = pytest.mark.parametrize("name", CASES)


@pytest.mark.parametrize("isa", ISAS)
@every_case
def test_every_isa_equals_numpy_bit_for_bit(
    library: str, name: str, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEEZE_ISA", isa)
    case = CASES[name]
    least, step = case.inputs["x_grid"]
    at = ((case.inputs["x"] + case.inputs["bias"]) - least) * (f32(1) / step)
    place = np.clip(np.rint(at), 0, len(case.inputs["table"]) - 1).astype(np.int64)
    for threads in (1, 2):
        y = node_model.run_native(case, threads=threads)
        np.testing.assert_array_equal(y, case.inputs["table"][place])


@pytest.mark.parametrize("name", [n for n in CASES if n not in ("no-rows", "two-entries")])
def test_body_is_within_one_step(library: str, name: str) -> None:
    case = CASES[name]
    assert most_steps_apart(node_model.run_body(case), node_model.run_native(case)) <= 1


def test_what_is_no_number_is_at_the_first_entry_and_infinite_ones_are_at_the_ends(
    library: str,
) -> None:
    case = node(1, 3)
    numbers = np.array([math.nan, -math.inf, math.inf], f32)
    y = node_model.run_native(case.having(x=numbers))
    table = case.inputs["table"]
    assert y.tolist() == [table[0], table[0], table[-1]]


BROKEN: dict[str, tuple[dict[str, Array], str]] = {
    "grid": ({"x_grid": np.array([0, 0], f32)}, r"x_grid is \(0, 0\), expected a finite"),
    "grid-nan": ({"x_grid": np.array([np.nan, 1], f32)}, "expected a finite number and a positive"),
    "grid-size": ({"x_grid": np.ones(3, f32)}, r"x_grid has the shape \[3\], expected \[2\]"),
    "table": ({"table": np.zeros(1, np.uint8)}, r"table has the shape \[1\], expected one size"),
    "bias": ({"bias": np.zeros((), f32)}, r"bias has the shape \[\], expected one size"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_node_is_refused_with_its_name_and_reason(library: str, name: str) -> None:
    inputs, message = BROKEN[name]
    with pytest.raises(Exception, match=f"QRealLookup 'the node': .*{message}"):
        session(build(CASES["tokens"].having(**inputs), body=False), native=True)


def test_rows_of_another_width_are_refused_when_they_come(library: str) -> None:
    broken = CASES["tokens"].having(x=np.zeros((2, 9, 383), f32))
    with pytest.raises(Exception, match=r"input x is \[2, 9, 383\], bias expects 384"):
        session(build(broken, body=False, loose=True), native=True).run(None, broken.feeds())
