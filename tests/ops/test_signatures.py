"""SIGNATURES against those who have to agree with it: the native library, the function bodies, and what values are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from squeeze import ops
from squeeze.ops.signatures import Signature
from tests.ops import any_op
from tests.ops.node_model import Node, build, most_steps_apart, run_body, run_native, session

every_op = pytest.mark.parametrize("op_type", any_op.OPS)


def sample(op_type: str) -> Node:
    rng = np.random.default_rng(11)
    return any_op.random_node(op_type, lambda low, high: int(rng.integers(low, high + 1)))


def test_every_op_has_a_signature_and_a_body() -> None:
    bodies = {*ops.FUNCTIONS, *ops.CONV_LOOKUPS, *ops.GEMM_LOOKUPS, *ops.LOOKUPS, *ops.REAL_LOOKUPS}
    assert list(ops.SIGNATURES) == sorted(bodies)


@every_op
def test_the_body_takes_the_inputs_in_order(op_type: str) -> None:
    body = ops.body_of(op_type, ops.DOMAIN, 19, ops.Formula())
    assert tuple(str(v.name) for v in body.inputs) == ops.SIGNATURES[op_type].names


@every_op
def test_the_library_reads_each_constant_where_the_signature_has_it(
    library: str, op_type: str
) -> None:
    """An input that is computed but has to be constant is refused by the name that the library has for its place."""
    node = sample(op_type)
    given = {name: node.inputs[name] for name in ops.SIGNATURES[op_type].names}
    for name, role in ops.SIGNATURES[op_type].inputs.items():
        if role == "activation":
            assert name in node.fed
            continue
        if "Lookup" in op_type and name.startswith("y_"):
            continue  # for the body alone: the library has the table
        broken = replace(node, inputs=given, fed=(*node.fed, name))
        with pytest.raises(Exception, match=f"input {name} must be a constant"):
            session(build(broken, body=False), native=True)


@every_op
def test_a_node_of_the_signature_runs_natively_as_its_body(library: str, op_type: str) -> None:
    node = sample(op_type)
    node = replace(node, inputs={name: node.inputs[name] for name in ops.SIGNATURES[op_type].names})
    native, body = run_native(node), run_body(node)
    if any_op.is_float(node):
        np.testing.assert_allclose(native, body, rtol=1e-4, atol=1e-4)
    else:
        assert most_steps_apart(native, body) <= 1


@every_op
def test_roles_are_what_the_values_are(op_type: str) -> None:
    node, signature = sample(op_type), ops.SIGNATURES[op_type]
    for name, role in signature.inputs.items():
        value = node.inputs[name]
        if role in ("scale", "zero_point"):
            assert value.size == 1
        elif role == "table":
            assert value.ndim == 1
            assert value.size == 256 or "x_grid" in node.inputs
        elif role == "range":
            assert value.shape == (2,)
        elif role in ("bias", "weight_scale"):
            assert value.ndim == 1
        elif role == "weights":
            assert value.dtype == np.int8
        elif role in ("codes", "indices"):
            assert value.dtype == np.uint8
        elif role == "levels":
            assert value.shape == (1 << int(op_type[-1]),)
        elif role == "row_scales":
            assert value.shape == (len(node.inputs["codes"]), 1)
        elif role == "codebooks":
            assert value.shape[1] == 1 << node.attributes["bits"]


def test_positions_and_order_follow_the_inputs() -> None:
    found = Signature("product", {"a": "activation", "s": "scale", "w": "weights", "t": "scale"})
    assert found.names == ("a", "s", "w", "t")
    assert found.positions("scale", "weights") == {1, 2, 3}
    assert (found.position("scale"), found.position("bias")) == (1, None)
    assert found.ordered({"t": 4, "w": 3, "s": 2, "a": 1}) == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="inputs a, s; the op has a, s, w, t"):
        found.ordered({"a": 1, "s": 2})
