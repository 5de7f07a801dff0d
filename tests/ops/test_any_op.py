"""Every op on random nodes: the native kernel against the function body in the stock runtime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ops import any_op
from tests.ops.any_op import is_float, random_node
from tests.ops.node_model import most_steps_apart, run_body, run_native


@pytest.mark.parametrize("op_type", any_op.OPS)
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_native_and_body_agree_on_random_nodes(
    library: str, op_type: str, data: st.DataObject
) -> None:
    node = random_node(op_type, lambda low, high: data.draw(st.integers(low, high)))
    native, body = run_native(node), run_body(node)
    if is_float(node):
        assert native.shape == body.shape
        products = (node.inputs[name].size * 4 for name in ("indices", "b") if name in node.inputs)
        depth = next(products, 0)  # 0: nothing is added up
        np.testing.assert_allclose(native, body, rtol=1e-4, atol=1e-4 * np.sqrt(depth))
    else:
        assert most_steps_apart(native, body) <= (0 if op_type == "QMaxPool" else 1)
