"""Sizes that a graph computes are followed where ONNX's own inference stops, so that its products are counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import parser
from onnx.helper import make_tensor_value_info
from onnx.numpy_helper import from_array

from squeeze.account.weigh import complexity

# A table of positions cut by the length of the text, as torch's exporters write it.
NEW = "n = Shape<start = 1, end = 2>(ids)"
OLD = """
    s = Shape(ids)
    i = Constant<value = int64 {1}>()
    g = Gather(s, i)
    n = Unsqueeze(g, zero)
"""


@pytest.mark.parametrize("length", [NEW, OLD], ids=["new-exporter", "old-exporter"])
def test_product_behind_a_computed_length_is_counted(tmp_path: Path, length: str) -> None:
    model = parser.parse_model(
        f"""
        <ir_version: 9, opset_import: ["" : 20]>
        net (int64[batch, sequence] ids) => (float[batch, sequence, 5] y)
        {{
            {length}
            p = Slice(positions, zero, n, one)
            e = Gather(table, p)
            w = Gather(table, ids)
            x = Add(w, e)
            y = MatMul(x, weight)
        }}
        """
    )
    tensors = {
        "positions": np.arange(8)[None],
        "zero": np.zeros(1, np.int64),
        "one": np.ones(1, np.int64),
        "table": np.zeros((9, 4), np.float32),
        "weight": np.zeros((4, 5), np.float32),
    }
    model.graph.initializer.extend(from_array(x, name) for name, x in tensors.items())
    # As exporters state it, and of no use.
    model.graph.value_info.append(make_tensor_value_info("n", onnx.TensorProto.INT64, None))
    onnx.save(model, tmp_path / "net.onnx")
    found = complexity(tmp_path / "net.onnx", {"ids": (2, 6)})
    assert found.unknown == ()
    assert found.macs == 6 * 4 * 5  # tokens x inputs x outputs, of one sample
