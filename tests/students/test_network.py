"""Networks of ONNX nodes: every operator computes what ONNX Runtime does, and descriptions survive JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from squeeze import students
from squeeze.errors import ConfigError
from squeeze.export import from_ir, to_ir
from squeeze.spec import ArchSpec
from squeeze.students.functions import FUNCTIONS
from tests.graph.small import Array, floats, model, node, run

IMAGE, SIGNAL, VECTOR = (4, 7, 6), (3, 11), (12,)
Case = tuple[list[onnx.NodeProto], dict[str, Array], tuple[int, ...]]


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def unary(op: str, shape: tuple[int, ...] = IMAGE, **attributes: Any) -> Case:
    return [node(op, ["x"], ["y"], **attributes)], {}, shape


def given(op: str, *constants: Array, shape: tuple[int, ...] = IMAGE, **attributes: Any) -> Case:
    names = [f"k{i}" for i in range(len(constants))]
    nodes = [node(op, ["x", *names], ["y"], **attributes)]
    return nodes, dict(zip(names, constants, strict=True)), shape


def linear(
    shape: tuple[int, ...] = IMAGE,
    by: tuple[float, ...] = (),
    to: tuple[int, ...] = (),
    where: str = "half_pixel",
) -> Case:
    asked = ["x", "", "s"] if by else ["x", "", "", "s"]
    how = {"mode": "linear", "coordinate_transformation_mode": where}
    sizes = np.array(by, np.float32) if by else ints(*to)
    return [node("Resize", asked, ["y"], **how)], {"s": sizes}, shape


CASES: dict[str, Case] = {
    "Abs": unary("Abs"),
    "Add": given("Add", floats(4, 1, 1)),
    "Add-both": ([node("Add", ["x", "x"], ["y"])], {}, IMAGE),
    "AveragePool": unary("AveragePool", kernel_shape=[2, 3], strides=[2, 1]),
    "AveragePool-asymmetric": unary("AveragePool", kernel_shape=[3, 3], pads=[0, 1, 1, 1]),
    "AveragePool-asymmetric-counted": unary(
        "AveragePool", kernel_shape=[3, 3], pads=[0, 1, 1, 1], count_include_pad=1
    ),
    "AveragePool-ceil": unary("AveragePool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    "AveragePool-counted": unary(
        "AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1
    ),
    "AveragePool-padded": unary("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    "AveragePool-signal": unary("AveragePool", SIGNAL, kernel_shape=[3], pads=[1, 0]),
    "Celu": unary("Celu", alpha=0.7),
    "InstanceNormalization": given(
        "InstanceNormalization", floats(4), floats(4, seed=1), epsilon=1e-3
    ),
    "LRN": unary("LRN", size=3, alpha=0.5, beta=0.6, bias=1.5),
    "Log": ([node("Exp", ["x"], ["e"]), node("Log", ["e"], ["y"])], {}, IMAGE),
    "LogSoftmax": unary("LogSoftmax", axis=1),
    "LogSoftmax-default": unary("LogSoftmax"),
    "Mean": given("Mean", floats(4, 1, 1), floats(6)),
    "Mish": unary("Mish"),
    "PRelu": given("PRelu", floats(4, 1, 1)),
    "PRelu-of-columns": given("PRelu", floats(6)),
    "PRelu-one": given("PRelu", floats(1)),
    "PRelu-signal": given("PRelu", floats(3, 1), shape=SIGNAL),
    "PRelu-vector": given("PRelu", floats(12), shape=VECTOR),
    "ReduceMin": given("ReduceMin", ints(1)),
    "Resize-linear": linear(by=(1, 1, 2.5, 1.5)),
    "Resize-linear-corners": linear(to=(2, 4, 13, 5), where="align_corners"),
    "Resize-linear-signal": linear(SIGNAL, by=(1, 1, 2)),
    "Resize-linear-smaller": linear(to=(2, 4, 3, 2), where="pytorch_half_pixel"),
    "Selu": unary("Selu"),
    "Softsign": unary("Softsign"),
    "SpaceToDepth": unary("SpaceToDepth", (4, 6, 4), blocksize=2),
    "Sum": given("Sum", floats(4, 1, 1), floats(6)),
    "ThresholdedRelu": unary("ThresholdedRelu", alpha=0.3),
    "Clip": given("Clip", np.float32(-0.5), np.float32(0.7)),
    "Clip-below": given("Clip", np.float32(-0.5)),
    "Concat": ([node("Concat", ["x", "x"], ["y"], axis=1)], {}, IMAGE),
    "Concat-constant": (
        [node("Concat", ["x", "k"], ["y"], axis=2)],
        {"k": floats(2, 3, 6)},
        (3, 6),
    ),
    "DepthToSpace-CRD": unary("DepthToSpace", (8, 2, 3), blocksize=2, mode="CRD"),
    "DepthToSpace-DCR": unary("DepthToSpace", (8, 2, 3), blocksize=2),
    "Div": given("Div", np.float32(3)),
    "Dropout": unary("Dropout"),
    "Elu": unary("Elu", alpha=0.7),
    "Erf": unary("Erf"),
    "Exp": unary("Exp"),
    "Flatten": unary("Flatten"),
    "Flatten-axis": unary("Flatten", axis=2),
    "Flatten-all": unary("Flatten", axis=4),
    "Flatten-negative": unary("Flatten", axis=-1),
    "Gelu": unary("Gelu"),
    "Gelu-tanh": unary("Gelu", approximate="tanh"),
    "GlobalAveragePool": unary("GlobalAveragePool"),
    "GlobalAveragePool-signal": unary("GlobalAveragePool", SIGNAL),
    "GlobalMaxPool": unary("GlobalMaxPool"),
    "HardSigmoid": unary("HardSigmoid", alpha=0.3, beta=0.4),
    "HardSwish": unary("HardSwish"),
    "Identity": unary("Identity"),
    "LeakyRelu": unary("LeakyRelu", alpha=0.2),
    "LeakyRelu-default": unary("LeakyRelu"),
    "MatMul": (
        [node("Transpose", ["x"], ["t"], perm=[0, 2, 1]), node("MatMul", ["x", "t"], ["y"])],
        {},
        SIGNAL,
    ),
    "MaxPool": unary("MaxPool", kernel_shape=[2, 3], strides=[2, 1]),
    "MaxPool-asymmetric": unary("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]),
    # The last window would begin in the border: there is none.
    "MaxPool-ceil": unary(
        "MaxPool", kernel_shape=[2, 2], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1
    ),
    "MaxPool-dilated": unary("MaxPool", kernel_shape=[2, 2], dilations=[2, 2]),
    "MaxPool-padded": unary("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "MaxPool-signal": unary("MaxPool", SIGNAL, kernel_shape=[3], strides=[2], pads=[1, 1]),
    "Mul": given("Mul", floats(1, 4, 1, 1)),
    "Neg": unary("Neg"),
    "Pad": given("Pad", ints(0, 0, 1, 2, 0, 0, 0, 3)),
    "Pad-axes": ([node("Pad", ["x", "p", "", "a"], ["y"])], {"p": ints(1, 2), "a": ints(2)}, IMAGE),
    "Pad-negative-axes": (
        [node("Pad", ["x", "p", "v", "a"], ["y"])],
        {"p": ints(1, 0, 2, 1), "v": np.float32(0.5), "a": ints(-1, 1)},
        IMAGE,
    ),
    "Pow": given("Pow", np.float32(2)),
    "Max": given("Max", np.float32(0)),
    "Min": given("Min", np.float32(0)),
    "Reciprocal": unary("Reciprocal"),
    "ReduceL2": given("ReduceL2", ints(2), keepdims=0),
    "ReduceMax": given("ReduceMax", ints(-1)),
    "ReduceMean": given("ReduceMean", ints(2, 3), keepdims=0),
    "ReduceMean-kept": given("ReduceMean", ints(-1)),
    "ReduceSum": given("ReduceSum", ints(1), keepdims=0),
    "Relu": unary("Relu"),
    "Reshape": given("Reshape", ints(0, -1, 2)),
    "Resize-scales": (
        [node("Resize", ["x", "", "s"], ["y"])],
        {"s": np.array([1, 1, 2, 3], np.float32)},
        IMAGE,
    ),
    "Resize-sizes": ([node("Resize", ["x", "", "", "s"], ["y"])], {"s": ints(2, 4, 14, 12)}, IMAGE),
    "Sigmoid": unary("Sigmoid"),
    "Slice": given("Slice", ints(1, -5), ints(2**40, -1), ints(1, 2), ints(1, 2)),
    "Slice-backwards": given("Slice", ints(-1), ints(-(2**40)), ints(3), ints(-2)),
    "Slice-default": (
        [node("Slice", ["x", "b", "e", "a"], ["y"])],
        {"b": ints(1), "e": ints(3), "a": ints(-2)},
        IMAGE,
    ),
    "Softmax": unary("Softmax", axis=1),
    "Softmax-default": unary("Softmax"),
    "Softplus": unary("Softplus"),
    "Split-number": (
        [
            node("Split", ["x"], ["a", "b", "c"], axis=2, num_outputs=3),
            node("Concat", ["c", "b", "a"], ["y"], axis=2),
        ],
        {},
        IMAGE,
    ),
    "Split-sizes": (
        [
            node("Split", ["x", "s"], ["a", "b"], axis=1),
            node("Concat", ["b", "a"], ["y"], axis=1),
        ],
        {"s": ints(1, 3)},
        IMAGE,
    ),
    "Sqrt": ([node("Mul", ["x", "x"], ["q"]), node("Sqrt", ["q"], ["y"])], {}, IMAGE),
    "Squeeze": given("Squeeze", ints(1, -1), shape=(1, 5, 1)),
    "Sub": given("Sub", floats(6)),
    "Tanh": unary("Tanh"),
    "Transpose": unary("Transpose", perm=[0, 2, 3, 1]),
    "Unsqueeze": given("Unsqueeze", ints(1, -1)),
}


def network(case: Case) -> students.Network:
    params, weights = from_ir(model(*case))
    # A recipe or a checkpoint holds the description as JSON.
    found = students.rebuild(ArchSpec(family="network", params=json.loads(json.dumps(params))))
    found.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
    assert isinstance(found, students.Network)
    return found.eval()


def agree(case: Case) -> None:
    x = floats(2, *case[2], seed=3)
    with torch.no_grad():
        got = network(case)(torch.from_numpy(x)).numpy()
    expected = run(model(*case), x)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", CASES)
def test_function_computes_what_the_runtime_does(name: str) -> None:
    agree(CASES[name])


@pytest.mark.parametrize(
    "name",
    [
        "InstanceNormalization",
        "LRN",
        "LogSoftmax",
        "Mish",
        "PRelu",
        "PRelu-one",
        "Resize-linear",
        "Resize-linear-corners",
        "SpaceToDepth",
    ],
)
def test_function_is_written_as_onnx_again(name: str) -> None:
    case = CASES[name]
    x = floats(2, *case[2], seed=3)
    written = to_ir(network(case), x, input_name="x", output_name="y")
    np.testing.assert_allclose(run(written, x), run(model(*case), x), rtol=2e-5, atol=2e-5)


def test_every_function_has_a_case() -> None:
    assert {name.partition("-")[0] for name in CASES} == set(FUNCTIONS)


WEIGHTED: dict[str, Case] = {
    "conv": given("Conv", floats(5, 4, 3, 2), floats(5), strides=[2, 1], dilations=[1, 2]),
    "conv-asymmetric": given("Conv", floats(5, 4, 3, 3), pads=[0, 1, 2, 1]),
    "conv-depthwise": given("Conv", floats(8, 1, 3, 3), floats(8), group=4, pads=[1, 1, 1, 1]),
    "conv-signal": given("Conv", floats(5, 3, 4), floats(5), shape=SIGNAL, pads=[1, 2]),
    "gemm": given("Gemm", floats(12, 5), floats(5), shape=VECTOR),
    "gemm-alpha-beta": given(
        "Gemm", floats(5, 12), floats(5), shape=VECTOR, transB=1, alpha=0.5, beta=2.0
    ),
    "gemm-one-bias": given("Gemm", floats(12, 5), floats(1), shape=VECTOR),
    "gemm-plain": given("Gemm", floats(5, 12), shape=VECTOR, transB=1),
    "matmul": given("MatMul", floats(11, 5), shape=SIGNAL),
    "matmul-batched": given("MatMul", floats(3, 11, 5), shape=(3, 4, 11)),
    "norm-batch": given(
        "BatchNormalization",
        floats(4),
        floats(4, seed=1),
        floats(4, seed=2),
        np.abs(floats(4)) + 0.1,
        epsilon=1e-3,
    ),
    "norm-batch-signal": given(
        "BatchNormalization",
        floats(3),
        floats(3, seed=1),
        floats(3, seed=2),
        np.abs(floats(3)) + 0.1,
        shape=SIGNAL,
    ),
    "norm-layer": given(
        "LayerNormalization", floats(11), floats(11, seed=1), shape=SIGNAL, epsilon=1e-3
    ),
    "norm-layer-no-bias": given("LayerNormalization", floats(11), shape=SIGNAL, axis=2),
}


@pytest.mark.parametrize("name", WEIGHTED)
def test_module_computes_what_the_runtime_does(name: str) -> None:
    agree(WEIGHTED[name])


@pytest.mark.parametrize("name", WEIGHTED)
def test_description_builds_the_same_network(name: str) -> None:
    case = WEIGHTED[name]
    first = network(case)
    described = json.loads(json.dumps(first.description()))
    second = students.rebuild(ArchSpec(family="network", params=described)).eval()
    second.load_state_dict(first.state_dict())
    x = torch.from_numpy(floats(2, *case[2], seed=3))
    with torch.no_grad():
        assert torch.equal(first(x), second(x))
    assert described == second.description()


def residual() -> Case:
    """The output, a, is read inside of the graph, and x to its end."""
    nodes = [
        node("Relu", ["x"], ["r"]),
        node("Add", ["r", "x"], ["y"]),
        node("Neg", ["y"], ["n"]),
        node("Mul", ["n", "r"], ["unused"]),
    ]
    return nodes, {}, VECTOR


def test_an_output_that_is_read_inside_is_kept() -> None:
    agree(residual())


def test_last_read_frees_each_value_behind_its_last_reader() -> None:
    found = network(residual())
    freed = [sorted(names) for names in found.last_read("y")]
    assert freed == [[], ["x"], [], ["n", "r"]]
    assert [sorted(names) for names in found.last_read("unused")] == [[], ["x"], ["y"], ["n", "r"]]


def test_description_has_the_sizes_of_the_modules_as_they_are() -> None:
    found = network(WEIGHTED["gemm"])
    key = next(iter(found.layers))
    found.layers[key] = torch.nn.Linear(12, 3)
    assert found.description()["nodes"][0]["sizes"] == {"inputs": 12, "outputs": 3, "bias": True}


def test_an_operator_without_function_is_refused() -> None:
    params, _ = from_ir(model([node("Det", ["x"], ["y"])], {}, (4, 4)))
    with pytest.raises(ConfigError, match="Det 'y' is not known to torch training"):
        students.rebuild(ArchSpec(family="network", params=params))
