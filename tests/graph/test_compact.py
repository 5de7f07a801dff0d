"""A compact file: small, the same results to the last bit, the same operators in the runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze import account, measure, ops, runtimes
from squeeze.graph import compact, lower, save, to_bytes
from squeeze.graph.lower import FAMILIES
from squeeze.graph.presets import DOMAIN
from squeeze.interface import Interface, TensorSpec
from tests.graph.qdq import Net, images, outputs
from tests.graph.small import floats, node, typed
from tests.graph.small import model as small

SCALE = 0.05
X = images(2, 32, 6, 6)
NATIVE = (False, True) if ops.library_path() else (False,)


def blocks(count: int = 4, *, packed: bool = True) -> ir.Model:
    """QDQ: `count` residual blocks of 32 channels with weights of four values, and a float classifier of eight."""
    net = Net(32, 6, 6)
    x = net.quantise("x")
    for _ in range(count):
        first, second = (net.few(32, 32, 3, 3) if packed else None for _ in range(2))
        y = net.quantise(net.add("Relu", net.conv(x, 32, 32, integers=first)), SCALE)
        y = net.quantise(net.conv(y, 32, 32, integers=second), SCALE, 128)
        x = net.quantise(net.add("Relu", net.add("Add", y, x)), SCALE)
    y = net.quantise(net.add("GlobalAveragePool", x), SCALE)
    w = net.few(100, 32, levels=8) if packed else net.integers(100, 32)
    y = net.add("Gemm", net.add("Flatten", y), net.weights(w), net.bias(100), transB=1)
    return net.model(y)


def compacted(model: ir.Model) -> ir.Model:
    result = ir.from_proto(ir.to_proto(model))
    compact(result)
    onnx.checker.check_model(ir.to_proto(result))
    return result


def fused(model: ir.Model, folder: Path, *, native: bool) -> dict[str, int]:
    save(model, folder / "m.onnx")
    return runtimes.fused_ops(folder / "m.onnx", native=native)


@pytest.mark.parametrize("form", ["codebooks", "int8", "qdq"])
def test_results_and_fused_operators_stay(form: str, tmp_path: Path) -> None:
    given = lower(blocks(packed=form == "codebooks"), FAMILIES if form == "qdq" else ())[0]
    result = compacted(given)
    for native in NATIVE:
        wanted = outputs(given, X, native=native)[0]
        assert len(np.unique(wanted)) > 100
        np.testing.assert_array_equal(outputs(result, X, native=native)[0], wanted)
        assert fused(result, tmp_path, native=native) == fused(given, tmp_path, native=native)
    assert len(to_bytes(result)) < len(to_bytes(given))


def test_bytes_beside_the_weights_are_few() -> None:
    few, more = (compacted(lower(blocks(n))[0]) for n in (2, 12))
    # Beside 2304 bytes of indices a layer needs its bias of 128 bytes (here all scales are equal), and little more.
    per_layer = (len(to_bytes(more)) - len(to_bytes(few))) / 20 - 2304
    assert 128 < per_layer < 128 + 100
    # Bodies, presets, the classifier (1200 bytes of indices, a book of 32, 400 of bias), inputs and outputs.
    assert len(to_bytes(few)) - 4 * (2304 + per_layer) < 1632 + 4000


def test_inputs_and_outputs_keep_names_types_and_shapes_and_nothing_else_does() -> None:
    given = lower(blocks())[0]
    result = compacted(given)
    for before, after in (
        (given.graph.inputs, result.graph.inputs),
        (given.graph.outputs, result.graph.outputs),
    ):
        assert [(v.name, v.type, v.shape) for v in before] == [
            (v.name, v.type, v.shape) for v in after
        ]
    proto = ir.to_proto(result)
    assert not proto.graph.value_info
    assert not any(n.name for n in proto.graph.node)
    inside = {name for n in proto.graph.node for name in n.output} - {result.graph.outputs[0].name}
    assert max(map(len, inside)) <= 2


def test_equal_models_become_equal_files_and_compact_ones_stay() -> None:
    once = compacted(lower(blocks())[0])
    assert to_bytes(once) == to_bytes(compacted(lower(blocks())[0]))
    assert len(to_bytes(compacted(once))) == len(to_bytes(once))
    np.testing.assert_array_equal(outputs(compacted(once), X)[0], outputs(once, X)[0])


def test_equal_constants_are_stored_once() -> None:
    w = floats(3, 3)
    nodes = [
        node("MatMul", ["x", "a"], ["s"]),
        node("MatMul", ["s", "b"], ["t"]),
        node("Reshape", ["t", "i"], ["u"]),
        node("Reshape", ["u", "j"], ["y"]),
    ]
    shapes = {"i": np.array([-1, 3]), "j": np.array([-1, 3], np.int64)}
    given = small(nodes, {"a": w, "b": w.copy(), **shapes}, (3,))
    assert len(compacted(given).graph.initializers) == 2


def test_constants_of_equal_bytes_and_other_types_or_shapes_stay_apart() -> None:
    zero = {"a": np.zeros(1, np.float32), "b": np.zeros((1, 1), np.float32)}
    nodes = [node("Add", ["x", "a"], ["s"]), node("Add", ["s", "b"], ["t"])]
    nodes += [node("Cast", ["c"], ["f"], to=1), node("Add", ["t", "f"], ["y"])]
    given = small(nodes, {**zero, "c": np.zeros(1, np.int32)}, (3,))
    assert len(compacted(given).graph.initializers) == 3


def test_outputs_that_are_constants_and_inner_graphs_keep_working() -> None:
    inner = [
        helper.make_graph(
            [helper.make_node(op, ["x", "k"], ["inner"], name="n")],
            op,
            [],
            [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.full(1, 2, np.float32), "k")],
        )
        for op in ("Mul", "Add")
    ]
    nodes = [
        node("ReduceMax", ["x"], ["most"], keepdims=0),
        node("Greater", ["most", "limit"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], then_branch=inner[0], else_branch=inner[1]),
    ]
    given = small(nodes, {"limit": np.float32(0), "kept": np.ones(2, np.float32)}, (3,))
    given.graph.outputs.append(given.graph.initializers["kept"])
    result = compacted(given)
    for x in (np.ones((1, 3), np.float32), -np.ones((1, 3), np.float32)):
        for got, wanted in zip(outputs(result, x), outputs(given, x), strict=True):
            np.testing.assert_array_equal(got, wanted)
    assert [v.name for v in result.graph.outputs] == ["y", "kept"]


def test_a_loop_still_runs() -> None:
    """The runtime wants to know the shapes of what goes around."""
    float32 = TensorProto.FLOAT
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["more"], ["still"]),
            helper.make_node("Add", ["carried", "k"], ["grown"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("more", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", float32, ["n", 3]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("grown", float32, ["n", 3]),
        ],
        [numpy_helper.from_array(np.full(1, 2, np.float32), "k")],
    )
    nodes = [
        node("Relu", ["x"], ["r"]),
        helper.make_node("Loop", ["times", "always", "r"], ["y"], body=body),
    ]
    constants = {"times": np.asarray(3), "always": np.asarray(True)}
    ends = ({"x": ("float32", ["n", 3])}, {"y": ("float32", ["n", 3])})
    result = compacted(typed(nodes, constants, *ends))
    x = np.float32([[1, -1, 5]])
    np.testing.assert_array_equal(outputs(result, x)[0], [[7, 6, 11]])


def test_attributes_that_layers_share_are_written_once_and_only_where_that_pays() -> None:
    result = compacted(lower(blocks(3))[0])
    presets = [f for f in result.functions.values() if f.domain == DOMAIN]
    calls = [n.op_type for n in result.graph if n.domain == DOMAIN]
    # The decoder, and the two kinds of convolutions of a block.
    assert len(presets) == 3
    assert sorted(calls.count(name) for name in set(calls)) == [3, 3]
    assert not any(
        f.domain == DOMAIN for f in compacted(lower(blocks(1, packed=False))[0]).functions.values()
    )


def test_layers_of_a_compact_file_are_weighed_and_timed_as_before(
    tmp_path: Path, library: str
) -> None:
    given = lower(blocks(3))[0]
    save(given, tmp_path / "given.onnx")
    save(compacted(given), tmp_path / "compact.onnx")
    interface = Interface(
        (TensorSpec("x", "float32", (32, 6, 6)),), (TensorSpec("y", "float32", (100,)),)
    )
    tables, costs = [], []
    for name in ("given", "compact"):
        path = tmp_path / f"{name}.onnx"
        rows = measure.layers(path, interface)
        tables.append([[row[k] for k in ("op", "shape", "macs", "bits", "bytes")] for row in rows])
        found = account.complexity(path)
        costs.append((found.macs, found.params, found.unknown))
    assert tables[0] == tables[1]
    assert costs[0] == costs[1]
    weighted = [row for row in tables[1] if row[2] is not None]
    # 32 * 32 * 9 weights at 36 places, 2304 bytes and a book of 4; the classifier has a book of 8 float32.
    assert weighted[:6] == [[weighted[i][0], [1, 6, 6, 32], 331776, 2, 2308] for i in range(6)]
    assert weighted[6] == ["CodebookGemm", [1, 100], 3200, 3, 1232]
    counted = account.summary(tmp_path / "compact.onnx")["ops"]
    assert counted["ai.squeeze::QCodebookConv"] == counted["ai.squeeze::QCodebookConvAdd"] == 3
