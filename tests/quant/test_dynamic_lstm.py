"""LSTMs on integers against the float layer, in ONNX Runtime; and what stays as it is."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from squeeze.quant.dynamic_lstm import float_gates, use_dynamic_lstm
from squeeze.quant.stored import store_weights
from tests.quant.test_stored import RNG, branches, bytes_of, recurrent, run


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("directions", [1, 2])
def test_an_lstm_on_integers_is_near_the_float_one_and_a_quarter_as_large(
    directions: int, safe: bool
) -> None:
    made, x = recurrent("LSTM", directions), RNG.normal(size=(5, 3, 48)).astype(np.float32)
    wanted, before, gates = run(made, x), bytes_of(made), float_gates(made)
    store_weights(made.graph)  # as it stands in an int8 file
    assert use_dynamic_lstm(made, gates, safe=safe) == 1
    assert bytes_of(made) < 0.33 * before
    (node,) = (n for n in made.graph if n.op_type == "DynamicQuantizeLSTM")
    integers = node.inputs[1].const_value.numpy()
    largest = 63 if safe else 127
    assert np.abs(integers).max() == largest
    # A row's largest weight is at the end of its grid, and its scale is that of the float weights.
    scales = node.inputs[8].const_value.numpy()
    np.testing.assert_allclose(np.abs(gates["y"].w).max(axis=2), largest * scales, rtol=1e-6)
    if not safe:
        return  # sums saturate where the CPU has no VNNI
    got = run(made, x)
    assert np.sqrt(np.mean((got - wanted) ** 2)) < 0.05 * wanted.std()


def test_no_sum_of_two_products_of_safe_weights_leaves_16_bits() -> None:
    made = recurrent("LSTM", 1)
    use_dynamic_lstm(made, float_gates(made), safe=True)
    (node,) = made.graph
    for position in (1, 2):
        integers = node.inputs[position].const_value.numpy().astype(np.int64)
        assert 255 * np.abs(integers).max() * 2 < 2**15


def test_what_is_no_lstm_with_constant_weights_stays() -> None:
    gru, inside = recurrent("GRU", 1), branches()
    assert float_gates(gru) == float_gates(inside) == {}
    made = recurrent("LSTM", 1)
    gates = float_gates(made)
    made.graph[0].attributes["layout"] = ir.AttrInt64("layout", 1)
    assert float_gates(made) == {}
    assert use_dynamic_lstm(gru, gates, safe=True) == 0


def test_an_lstm_that_stays_float_is_not_taken() -> None:
    assert float_gates(recurrent("LSTM", 1), {"y"}) == {}
