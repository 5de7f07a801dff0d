"""Every pass on graphs whose values are read by the bodies of If, Loop and Scan, by name: results stay."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper
from onnx_ir.passes.common import ShapeInferencePass

from squeeze import graph, quant
from squeeze.graph.passes import PASSES
from squeeze.graph.sizes import with_sizes
from squeeze.spec import QuantPart
from tests.feeds import feed_of, interface_of, passes_of
from tests.graph.small import Array, batch_norm, floats, model, node, norm_inputs, run

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
info = helper.make_tensor_value_info

# What each pass takes away or puts new, from "x" [n, 3, 6, 6] to "v" [n, 4]; the captured values are on the way.
NODES = [
    node("Identity", ["x"], ["i"]),
    node("Pad", ["i", "pads"], ["p"]),
    node("Conv", ["p", "k"], ["c"]),
    node("BatchNormalization", ["c", *norm_inputs("n")], ["b"]),
    node("Mul", ["b", "two"], ["m"]),
    node("Conv", ["m", "k2"], ["s"], auto_pad="SAME_UPPER"),
    node("ReduceMean", ["s", "axes"], ["g"], keepdims=1),
    node("Shape", ["g"], ["shape"]),
    node("Slice", ["shape", "zero", "one"], ["batch"]),
    node("Concat", ["batch", "rest"], ["to"], axis=0),
    node("Reshape", ["g", "to"], ["f"]),
    node("MatMul", ["f", "w"], ["mm"]),
    node("Add", ["mm", "bias"], ["v"]),
]
CONSTANTS: dict[str, Array] = {
    "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    "k": floats(5, 3, 3, 3),
    "k2": floats(5, 5, 3, 3, seed=1),
    "two": np.float32(2),
    "axes": np.array([2, 3]),
    "zero": np.array([0]),
    "one": np.array([1]),
    "rest": np.array([-1]),
    "w": floats(5, 4, seed=2),
    "bias": floats(4, seed=3),
    "yes": np.array(True),
    "times": np.array(2),
    "steps": floats(3, 4, seed=4),
    **batch_norm("n", 5),
}
CAPTURED = ("i", "p", "c", "b", "m", "s", "g", "f", "mm", "k", "w", "bias")


def reading(captured: str, other: str, to: str) -> list[onnx.NodeProto]:
    """[n, 4] plus the mean of a captured value, first through nodes that passes would take for their own."""
    return [
        node("Identity", [captured], ["c_same"]),
        node("ReduceMean", ["c_same"], ["c_mean"], keepdims=0),
        node("Add", [other, "c_mean"], [to]),
    ]


def with_body(kind: str, captured: str) -> ir.Model:
    """The nodes, then a body that captures one of their values; its own values have names of the passes' making."""
    if kind == "If":
        branch = helper.make_graph(
            reading(captured, "v", "t"), "then", [], [info("t", FLOAT, None)]
        )
        other = helper.make_graph([node("Neg", ["v"], ["e"])], "else", [], [info("e", FLOAT, None)])
        last = node("If", ["yes"], ["y"], then_branch=branch, else_branch=other)
    elif kind == "Loop":
        nodes = [*reading(captured, "state", "next"), node("Identity", ["on"], ["goes_on"])]
        ends = [info("i_", INT64, []), info("on", BOOL, []), info("state", FLOAT, None)]
        body = helper.make_graph(
            nodes, "body", ends, [info("goes_on", BOOL, []), info("next", FLOAT, None)]
        )
        last = node("Loop", ["times", "yes", "v"], ["y"], body=body)
    else:
        nodes = [*reading(captured, "state", "next"), node("Add", ["next", "step"], ["each"])]
        ends = [info("state", FLOAT, None), info("step", FLOAT, [4])]
        body = helper.make_graph(
            nodes, "body", ends, [info("next", FLOAT, None), info("each", FLOAT, None)]
        )
        last = node("Scan", ["v", "steps"], ["y", "all"], body=body, num_scan_inputs=1)
    return model([*NODES, last], CONSTANTS, [3, 6, 6], opset=18)


KINDS = pytest.mark.parametrize("kind", ["If", "Loop", "Scan"])


@KINDS
@pytest.mark.parametrize("name", PASSES)
def test_pass_follows_names_that_bodies_capture(name: str, kind: str) -> None:
    x = floats(1, 3, 6, 6)
    for captured in CAPTURED:
        found = with_body(kind, captured)
        expected = run(found, x)
        ShapeInferencePass(data_prop=True)(found)
        PASSES[name](found)
        np.testing.assert_allclose(run(found, x), expected, atol=1e-4, err_msg=captured)


@KINDS
@pytest.mark.parametrize("captured", CAPTURED)
def test_all_that_rewrites_a_graph_follows_them(kind: str, captured: str) -> None:
    x = floats(2, 3, 6, 6)
    found = with_body(kind, captured)
    expected = [run(found, x[i : i + 1]) for i in range(2)]
    assert graph.optimise(found, feed_of(found, x[:1]), interface_of(found)).undone == {}
    sized = with_sizes(found, {"batch": 1})
    part = QuantPart(samples=2, adaround=False, smooth=False, bias_correction=True)
    made = quant.quantize(found, passes_of(found, x, 1), activations="uint8", part=part).model
    lowered, _ = graph.lower(made)
    graph.compact(lowered)
    for one, wanted in zip(x[:, None], expected, strict=True):
        np.testing.assert_allclose(run(found, one), wanted, atol=1e-4)
        np.testing.assert_allclose(run(sized, one), wanted, atol=1e-4)
        largest = np.abs(wanted).max()
        assert np.abs(run(made, one) - wanted).max() < 0.1 * largest
        assert np.abs(run(lowered, one) - run(made, one)).max() < 0.1 * largest


# What makes a value outside -> who alone reads it inside: pairs that passes join.
PAIRS = {
    "gemm and its bias": (
        [node("Flatten", ["x"], ["f"]), node("MatMul", ["f", "w"], ["o"])],
        node("Add", ["o", "bias"], ["t"]),
    ),
    "pad and convolution": ([node("Pad", ["x", "pads"], ["o"])], node("Conv", ["o", "k"], ["t"])),
    "convolution and norm": (
        [node("Conv", ["x", "k"], ["o"])],
        node("BatchNormalization", ["o", *norm_inputs("n")], ["t"]),
    ),
    "convolution and factor": (
        [node("Conv", ["x", "k"], ["o"])],
        node("Mul", ["o", "two"], ["t"]),
    ),
    "identity": ([node("Identity", ["x"], ["o"])], node("Neg", ["o"], ["t"])),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_reader_in_a_body_is_not_joined_with_what_it_reads(pair: str) -> None:
    outside, inside = PAIRS[pair]
    constants = {n: a for n, a in CONSTANTS.items() if n != "w"} | {"w": floats(108, 4)}
    branch = helper.make_graph([inside], "then", [], [info("t", FLOAT, None)])
    other = helper.make_graph([node("Neg", ["x"], ["e"])], "else", [], [info("e", FLOAT, None)])
    last = node("If", ["yes"], ["y"], then_branch=branch, else_branch=other)
    x = floats(1, 3, 6, 6)
    for name, change in PASSES.items():
        found = model([*outside, last], constants, [3, 6, 6], opset=18)
        expected = run(found, x)
        ShapeInferencePass(data_prop=True)(found)
        change(found)
        np.testing.assert_allclose(run(found, x), expected, atol=1e-4, err_msg=name)


def test_names_that_are_taken_get_others() -> None:
    """Values and nodes of the user's graph, also inside of a body, have the names that passes give to new ones."""
    taken = (
        "v_gemm",
        "k_folded",
        "k_folded_bias",
        "f_flat",
        "g_pool",
        "bias_bias",
        "b_conv",
        "w_folded",
    )
    branch = helper.make_graph(
        [
            node("Neg", ["v"], ["mm_gemm"], name="g_pool"),
            node("Exp", ["mm_gemm"], ["w_weight"]),
            node("Neg", ["w_weight"], ["t"]),
        ],
        "then",
        [],
        [info("t", FLOAT, None)],
    )
    other = helper.make_graph([node("Neg", ["v"], ["e"])], "else", [], [info("e", FLOAT, None)])
    last = node("If", ["yes"], ["z"], then_branch=branch, else_branch=other)
    chain = [
        node("Relu", [before], [after], name=after)
        for before, after in zip(("z", *taken), (*taken, "y"), strict=True)
    ]
    found = model([*NODES, last, *chain], CONSTANTS, [3, 6, 6], opset=18)
    x = floats(1, 3, 6, 6)
    expected = run(found, x)
    done = graph.optimise(found, feed_of(found, x), interface_of(found))
    assert done.undone == {}
    assert {"fuse_gemm", "fold_batch_norm", "fuse_global_pool"} <= set(done.changed)
    np.testing.assert_allclose(run(found, x), expected, atol=1e-4)
    part = QuantPart(samples=1, adaround=False, smooth=False)
    made = quant.quantize(found, passes_of(found, x, 1), activations="uint8", part=part).model
    lowered, _ = graph.lower(made)
    for one in (made, lowered):
        assert np.isfinite(run(one, x)).all()
