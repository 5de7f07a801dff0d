"""Peaks that were worked out by hand, and what ONNX Runtime really takes when it frees every value at once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze.account.liveness import Alive, liveness
from squeeze.account.operations import operations
from squeeze.errors import MeasureError
from squeeze.measure.memory import can_measure

node = helper.make_node
RANDOM = np.random.default_rng(0)


def saved(
    path: Path,
    nodes: list[onnx.NodeProto],
    takes: dict[str, list[int | str]],
    gives: dict[str, list[int | str]],
    stored: dict[str, np.ndarray] | None = None,
    kinds: dict[str, int] | None = None,
) -> Path:
    kind = {**dict.fromkeys((*takes, *gives), TensorProto.FLOAT), **(kinds or {})}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(n, kind[n], s) for n, s in takes.items()],
        [helper.make_tensor_value_info(n, kind[n], s) for n, s in gives.items()],
        [numpy_helper.from_array(v, n) for n, v in (stored or {}).items()],
    )
    model = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 20)])
    onnx.save(model, path)
    return path


def weights(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


def pool(x: str, y: str) -> onnx.NodeProto:
    return node("MaxPool", [x], [y], name=f"pool_{y}", kernel_shape=[3, 3], pads=[1] * 4)


def test_a_chain_holds_what_one_operation_reads_and_writes(tmp_path: Path) -> None:
    # x 400 bytes, a 1600, b 800, y 40: at b there are x, a and b
    path = saved(
        tmp_path / "m.onnx",
        [
            node("MatMul", ["x", "w1"], ["a"], name="one"),
            node("MatMul", ["a", "w2"], ["b"], name="two"),
            node("MatMul", ["b", "w3"], ["y"], name="three"),
        ],
        {"x": ["n", 100]},
        {"y": ["n", 10]},
        {"w1": weights(100, 400), "w2": weights(400, 200), "w3": weights(200, 10)},
    )
    found = liveness(path)
    assert [(m.name, m.bytes) for m in found.moments] == [
        ("one", 400 + 1600),
        ("two", 400 + 1600 + 800),
        ("three", 400 + 800 + 40),
    ]
    assert (found.peak.name, found.peak.op, found.peak.bytes) == ("two", "MatMul", 2800)
    assert found.alive == (Alive("a", 1600), Alive("b", 800), Alive("x", 400))
    assert (found.input_bytes, found.weight_bytes) == (400, 4 * (40_000 + 80_000 + 2000))
    assert liveness(path, {"x": (3, 100)}).peak.bytes == 3 * 2800


def test_a_residual_stays_until_it_is_added(tmp_path: Path) -> None:
    # x, a, b and c: 1200 bytes each; the addition has memory of its own
    path = saved(
        tmp_path / "m.onnx",
        [
            pool("x", "a"),
            pool("a", "b"),
            pool("b", "c"),
            node("Add", ["c", "a"], ["d"], name="add"),
            node("GlobalAveragePool", ["d"], ["y"], name="mean"),
        ],
        {"x": [1, 3, 10, 10]},
        {"y": [1, 3, 1, 1]},
    )
    found = liveness(path)
    assert [m.bytes for m in found.moments] == [2400, 3600, 4800, 4800, 2400 + 12]
    assert found.peak.name == "pool_c"
    assert [held.name for held in found.alive] == ["a", "b", "c", "x"]


def test_a_float_convolution_adds_its_residual_in_place(tmp_path: Path) -> None:
    size = 4 * 3 * 10 * 10
    path = saved(
        tmp_path / "m.onnx",
        [
            pool("x", "r"),
            node("Conv", ["r", "w"], ["a"], name="first", pads=[1] * 4),
            node("Relu", ["a"], ["b"]),
            node("Conv", ["b", "w"], ["c"], name="second", pads=[1] * 4),
            node("Add", ["c", "r"], ["d"]),
            node("Relu", ["d"], ["e"]),
            node("GlobalAveragePool", ["e"], ["y"], name="mean"),
        ],
        {"x": [1, 3, 10, 10]},
        {"y": [1, 3, 1, 1]},
        {"w": weights(3, 3, 3, 3)},
    )
    found = liveness(path)
    # x and r; x, r and b; the second writes onto r
    assert [m.name for m in found.moments] == ["pool_r", "first", "second", "mean"]
    assert [m.bytes for m in found.moments] == [2 * size, 3 * size, 3 * size, 2 * size + 12]


def test_a_convolution_does_not_write_over_what_it_reads(tmp_path: Path) -> None:
    size = 4 * 3 * 10 * 10
    path = saved(
        tmp_path / "m.onnx",
        [
            pool("x", "r"),
            node("Conv", ["r", "w"], ["a"], name="conv", pads=[1] * 4),
            node("Add", ["r", "a"], ["b"]),
            node("GlobalAveragePool", ["b"], ["y"], name="mean"),
        ],
        {"x": [1, 3, 10, 10]},
        {"y": [1, 3, 1, 1]},
        {"w": weights(3, 3, 3, 3)},
    )
    assert [m.bytes for m in liveness(path).moments] == [2 * size, 3 * size, 2 * size + 12]


def test_constants_behind_a_convolution_are_inside_of_it(tmp_path: Path) -> None:
    size = 4 * 3 * 10 * 10
    path = saved(
        tmp_path / "m.onnx",
        [
            node("Conv", ["x", "w"], ["a"], name="conv", pads=[1] * 4),
            node("BatchNormalization", ["a", *["k"] * 4], ["b"]),
            node("Mul", ["b", "k3"], ["c"]),
            node("Add", ["k3", "c"], ["d"]),
            node("Sum", ["d", "x"], ["e"]),
            node("Relu", ["e"], ["f"]),
            node("Mul", ["f", "k3"], ["g"], name="later"),
            node("GlobalAveragePool", ["g"], ["y"], name="mean"),
        ],
        {"x": [1, 3, 10, 10]},
        {"y": [1, 3, 1, 1]},
        {"w": weights(3, 3, 3, 3), "k": weights(3) ** 2, "k3": weights(3, 1, 1)},
    )
    found = liveness(path)
    assert [m.name for m in found.moments] == ["conv", "later", "mean"]
    assert [m.bytes for m in found.moments] == [2 * size, 3 * size, 2 * size + 12]


def test_branches_that_meet_in_a_concatenation(tmp_path: Path) -> None:
    # x 400, l 800, r 1200, both 2000; the activation writes in place
    path = saved(
        tmp_path / "m.onnx",
        [
            node("MatMul", ["x", "w2"], ["l"]),
            node("MatMul", ["x", "w3"], ["r"]),
            node("Concat", ["l", "r"], ["both"], name="join", axis=1),
            node("Sigmoid", ["both"], ["s"]),
            node("MatMul", ["s", "w1"], ["y"], name="last"),
        ],
        {"x": [1, 100]},
        {"y": [1, 1]},
        {"w2": weights(100, 200), "w3": weights(100, 300), "w1": weights(500, 1)},
    )
    found = liveness(path)
    assert [m.bytes for m in found.moments] == [1200, 2400, 4400, 2400, 2404]
    assert found.peak.name == "join"


def test_reshaping_costs_nothing_but_in_front_of_an_output(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "m.onnx",
        [
            pool("x", "a"),
            node("Shape", ["a"], ["s"]),  # known, so that a need not stay for it
            node("Reshape", ["a", "flat"], ["b"]),
            node("Relu", ["b"], ["c"]),
            node("Flatten", ["c"], ["y"], name="end"),
        ],
        {"x": [1, 3, 10, 10]},
        {"y": [1, 300]},
        {"flat": np.array([1, 300], np.int64)},
    )
    found = liveness(path)
    assert [(m.op, m.bytes) for m in found.moments] == [
        ("MaxPool", 2400),
        ("Reshape", 2400),
        ("Relu", 2400),
        ("Flatten", 3600),
    ]


def test_a_value_that_is_an_output_is_never_written_over(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "m.onnx",
        [pool("x", "a"), node("Relu", ["a"], ["b"]), pool("b", "y")],
        {"x": [1, 3, 10, 10]},
        {"a": [1, 3, 10, 10], "y": [1, 3, 10, 10]},
    )
    assert [m.bytes for m in liveness(path).moments] == [2400, 3600, 4800]


def test_the_larger_branch_of_an_if_counts_beside_what_is_alive_around_it(tmp_path: Path) -> None:
    def branch(name: str, width: int) -> onnx.GraphProto:
        return helper.make_graph(
            [
                node("MatMul", ["a", f"{name}_in"], [f"{name}_h"]),
                node("MatMul", [f"{name}_h", f"{name}_out"], [f"{name}_y"]),
            ],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, [1, 10])],
            [
                numpy_helper.from_array(weights(50, width), f"{name}_in"),
                numpy_helper.from_array(weights(width, 10), f"{name}_out"),
            ],
        )

    path = saved(
        tmp_path / "m.onnx",
        [
            node("MatMul", ["x", "w"], ["a"], name="before"),
            node(
                "If",
                ["which"],
                ["b"],
                name="choice",
                then_branch=branch("small", 30),
                else_branch=branch("large", 300),
            ),
            node("Neg", ["b"], ["y"]),
        ],
        {"which": [], "x": [1, 100]},
        {"y": [1, 10]},
        {"w": weights(100, 50)},
        {"which": TensorProto.BOOL},
    )
    found = liveness(path)
    # inputs 1 + 400, a 200; in the branch: 1200 between its products, and its output of 40 bytes
    assert [m.bytes for m in found.moments] == [601, 601 + 1240, 401 + 80]
    assert found.peak.name == "choice"
    assert found.weight_bytes == 4 * (5000 + 50 * 330 + 10 * 330)


def quantised(x: str, y: str) -> list[onnx.NodeProto]:
    return [
        node("QuantizeLinear", [x, "s", "z"], [f"{y}_codes"], name=f"codes_{y}"),
        node("DequantizeLinear", [f"{y}_codes", "s", "z"], [y], name=f"floats_{y}"),
    ]


def test_an_int8_layer_reads_and_writes_codes(tmp_path: Path) -> None:
    codes = 3 * 10 * 10
    path = saved(
        tmp_path / "m.onnx",
        [
            *quantised("x", "q"),
            node("DequantizeLinear", ["w", "s", "zw"], ["w_float"]),
            node("Conv", ["q", "w_float"], ["a"], name="conv", pads=[1] * 4),
            node("Relu", ["a"], ["b"]),
            *quantised("b", "c"),
            node("MaxPool", ["c"], ["d"], name="pool", kernel_shape=[3, 3], pads=[1] * 4),
            *quantised("d", "y"),
        ],
        {"x": [1, 3, 10, 10]},
        {"y": [1, 3, 10, 10]},
        {
            "s": np.array(0.1, np.float32),
            "z": np.array(128, np.uint8),
            "zw": np.array(0, np.int8),
            "w": np.ones((3, 3, 3, 3), np.int8),
        },
    )
    found = liveness(path)
    floats = 4 * codes
    assert [(m.name, m.bytes) for m in found.moments] == [
        ("codes_q", floats + codes),
        ("conv", floats + 2 * codes),
        ("pool", floats + 2 * codes),
        ("floats_y", floats + codes + floats),
    ]


def test_a_float_layer_between_int8_ones_computes_with_floats(tmp_path: Path) -> None:
    codes = 3 * 10 * 10
    path = saved(
        tmp_path / "m.onnx",
        [
            *quantised("x", "q"),
            node("Conv", ["q", "w"], ["a"], name="conv", pads=[1] * 4),
            *quantised("a", "y"),
        ],
        {"x": [1, 3, 10, 10]},
        {"y": [1, 3, 10, 10]},
        {
            "s": np.array(0.1, np.float32),
            "z": np.array(128, np.uint8),
            "w": weights(3, 3, 3, 3),
        },
    )
    found = operations(path).operations
    assert [(o.name, o.integer) for o in found if o.macs] == [("conv", False)]
    floats = 4 * codes
    assert [(m.name, m.bytes) for m in liveness(path).moments] == [
        ("codes_q", floats + codes),
        ("floats_q", 2 * floats + codes),
        ("conv", 3 * floats),
        ("codes_y", 2 * floats + codes),
        ("floats_y", 2 * floats + codes),
    ]


def test_sizes_that_do_not_follow_are_named(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "m.onnx",
        [node("NonZero", ["x"], ["found"]), node("Cast", ["found"], ["y"], to=TensorProto.FLOAT)],
        {"x": [10]},
        {"y": [1, "k"]},
    )
    found = liveness(path)
    assert found.unknown == ("found: size unknown", "y: size unknown")
    assert found.peak.bytes == 40


def test_what_is_no_model_is_said(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")
    with pytest.raises(MeasureError, match="not an ONNX file"):
        liveness(tmp_path / "m.onnx")


# Every value is a piece of the system's of its own, given back at once. On one core, for Linux counts a process's pages
# for each core apart, and its sums are wrong by up to some 64 pages a core.
_CHILD = r"""
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numpy as np, onnxruntime as ort
def status():
    lines = (line.split() for line in open("/proc/self/status") if line.endswith(" kB\n"))
    return {words[0]: int(words[1]) * 1024 for words in lines}
options = ort.SessionOptions()
options.enable_cpu_mem_arena = options.enable_mem_pattern = False
options.intra_op_num_threads = 1
opened = ort.InferenceSession(sys.argv[1], options)
feed = {i.name: np.ones(i.shape, np.float32) for i in opened.get_inputs()}
opened.run(None, feed)
open("/proc/self/clear_refs", "w").write("5")
before = status()["VmRSS:"]
opened.run(None, feed)
print(status()["VmHWM:"] - before)
"""


def taken_by_the_runtime(model: Path) -> int:
    environment = {
        **os.environ,
        "MALLOC_MMAP_THRESHOLD_": "16384",
        "MALLOC_TOP_PAD_": "0",
        "MALLOC_TRIM_THRESHOLD_": "0",
    }
    child = subprocess.run(
        [sys.executable, "-c", _CHILD, str(model)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(child.stdout)


def chain(path: Path) -> Path:
    nodes = [pool("x", "a"), pool("a", "b"), node("GlobalAveragePool", ["b"], ["y"])]
    return saved(path, nodes, {"x": [1, 8, 256, 256]}, {"y": [1, 8, 1, 1]})


# Of 16 channels: the runtime's layout for convolutions fills up to 8 of them or, with AVX-512, to 16.
def residual(path: Path) -> Path:
    nodes = [
        node("Conv", ["x", "w0"], ["a"]),
        node("Relu", ["a"], ["r"]),
        node("Conv", ["r", "w1"], ["b"], pads=[1] * 4),
        node("Relu", ["b"], ["c"]),
        node("Conv", ["c", "w2"], ["d"], pads=[1] * 4),
        node("Add", ["d", "r"], ["e"]),
        node("Relu", ["e"], ["f"]),
        node("GlobalAveragePool", ["f"], ["y"]),
    ]
    stored = {"w0": weights(16, 16, 1, 1), "w1": weights(16, 16, 3, 3), "w2": weights(16, 16, 3, 3)}
    return saved(path, nodes, {"x": [1, 16, 256, 256]}, {"y": [1, 16, 1, 1]}, stored)


def folded(path: Path) -> Path:
    nodes = [
        node("Conv", ["x", "w0"], ["r"]),
        node("Conv", ["r", "w1"], ["a"], pads=[1] * 4),
        node("BatchNormalization", ["a", *["k"] * 4], ["b"]),
        node("Mul", ["b", "k3"], ["c"]),
        node("Add", ["c", "k3"], ["d"]),
        node("Sum", ["d", "r"], ["e"]),
        node("Relu", ["e"], ["f"]),
        node("GlobalAveragePool", ["f"], ["y"]),
    ]
    stored = {"w0": weights(16, 16, 1, 1), "w1": weights(16, 16, 3, 3)}
    stored |= {"k": weights(16) ** 2, "k3": weights(16, 1, 1)}
    return saved(path, nodes, {"x": [1, 16, 256, 256]}, {"y": [1, 16, 1, 1]}, stored)


def joined(path: Path) -> Path:
    nodes = [
        node("Conv", ["x", "w0"], ["a"]),
        node("Conv", ["a", "w1"], ["b"]),
        node("Conv", ["a", "w2"], ["c"]),
        node("Concat", ["b", "c"], ["d"], axis=1),
        node("Sigmoid", ["d"], ["e"]),
        node("GlobalAveragePool", ["e"], ["y"]),
    ]
    stored = {name: weights(16, 16, 1, 1) for name in ("w0", "w1", "w2")}
    return saved(path, nodes, {"x": [1, 16, 256, 256]}, {"y": [1, 32, 1, 1]}, stored)


def attention(path: Path) -> Path:
    nodes = [
        node("MatMul", ["x", "wq"], ["q"]),
        node("MatMul", ["x", "wk"], ["k"]),
        node("Transpose", ["k"], ["t"], perm=[0, 2, 1]),
        node("MatMul", ["q", "t"], ["s"]),
        node("Softmax", ["s"], ["p"], axis=-1),
        node("MatMul", ["p", "x"], ["o"]),
        node("ReduceMean", ["o"], ["y"], keepdims=0),
    ]
    stored = {"wq": weights(64, 64), "wk": weights(64, 64)}
    return saved(path, nodes, {"x": [1, 1024, 64]}, {"y": []}, stored)


@pytest.mark.skipif(not can_measure(), reason="no /proc, from which memory is read")
@pytest.mark.parametrize("op", ["Abs", "Elu", "Neg", "Relu", "Sigmoid", "Softmax", "Sqrt", "Tanh"])
def test_the_runtime_writes_in_place_where_we_say_so(op: str, tmp_path: Path) -> None:
    model = saved(
        tmp_path / "m.onnx",
        [
            node("Transpose", ["x"], ["a"], perm=[0, 2, 1]),
            node(op, ["a"], ["b"]),
            node("GatherElements", ["b", "first"], ["y"]),
        ],
        {"x": [8, 512, 1024]},
        {"y": [1, 1, 1]},
        {"first": np.zeros((1, 1, 1), np.int64)},
    )
    found = liveness(model)
    expected = found.peak.bytes - found.input_bytes
    assert taken_by_the_runtime(model) == pytest.approx(expected, rel=0.1)


@pytest.mark.skipif(not can_measure(), reason="no /proc, from which memory is read")
@pytest.mark.parametrize(
    "build", [chain, residual, folded, joined, attention], ids=lambda f: f.__name__
)
def test_the_runtime_takes_as_much(build: Callable[[Path], Path], tmp_path: Path) -> None:
    model = build(tmp_path / "m.onnx")
    found = liveness(model)
    expected = found.peak.bytes - found.input_bytes
    # Whole pages, what stays in the allocator's heap, and the kernels' own scratch memory.
    assert taken_by_the_runtime(model) == pytest.approx(expected, rel=0.1)
