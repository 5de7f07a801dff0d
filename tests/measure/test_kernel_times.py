"""Times of what the runtime made of a graph, by the names of the graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from squeeze.measure.kernel_times import kernel_times

LEFT, RIGHT = "the name is kept", "and this one"


def write(path: Path) -> None:
    """Two convolutions with a Relu between that the runtime fuses into the first. Their channels fill its layout, which
    rounds them up to 8 or, with AVX-512, to 16."""
    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "v"], ["a"], name=LEFT, pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w"], ["y"], name=RIGHT),
    ]
    graph = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 32, 16, 16])],
        [
            numpy_helper.from_array(random.normal(size=(16, 3, 3, 3)).astype(np.float32), "v"),
            numpy_helper.from_array(random.normal(size=(32, 16, 1, 1)).astype(np.float32), "w"),
        ],
    )
    imports = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)


def test_kernels_have_the_names_sizes_and_times_of_the_file(tmp_path: Path) -> None:
    write(tmp_path / "m.onnx")
    feeds = {"x": np.ones((2, 3, 16, 16), np.float32)}
    found = kernel_times(tmp_path / "m.onnx", feeds, threads=1, runs=5)
    # The runtime names what it fuses or lays out anew after the node or after the value that it makes.
    first, second = (k for k in found if "Conv" in k.op)
    assert first.name in (LEFT, "b")
    assert second.name in (RIGHT, "y")
    assert (first.elements, second.elements) == (2 * 16 * 16 * 16, 2 * 32 * 16 * 16)
    assert [k.elements for k in found if "y" in k.makes] == [2 * 32 * 16 * 16]
    assert all(k.us >= 0 for k in found)
    assert sum(k.us for k in found) > 0
    assert "Relu" not in {k.op for k in found}  # it is in the first convolution
