"""Feeds are samples first, wherever the model has its batch; compared with plain ONNX Runtime and NumPy."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from squeeze import runtimes
from squeeze.errors import MeasureError
from squeeze.interface import Interface, TensorSpec


def model(inputs: dict[str, list], outputs: dict[str, list], *nodes: onnx.NodeProto) -> bytes:
    made = helper.make_model(
        helper.make_graph(
            list(nodes),
            "g",
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    return made.SerializeToString()


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def test_two_inputs_and_two_outputs_go_by_name() -> None:
    session = runtimes.session(
        model(
            {"a": ["n", 3], "b": ["n", 3]},
            {"sum": ["n", 3], "product": ["n", 3]},
            helper.make_node("Add", ["a", "b"], ["sum"]),
            helper.make_node("Mul", ["a", "b"], ["product"]),
        )
    )
    spec = Interface(
        (TensorSpec("a", "float32", (3,)), TensorSpec("b", "float32", (3,))),
        (TensorSpec("sum", "float32", (3,)), TensorSpec("product", "float32", (3,))),
    )
    a, b = values(7, 3), values(3, 7).reshape(7, 3)
    found = runtimes.infer(session, {"b": b, "a": a}, spec, 2)
    np.testing.assert_array_equal(found["sum"], a + b)
    np.testing.assert_array_equal(found["product"], a * b)


def test_batch_in_the_middle_is_moved_to_the_front_and_back() -> None:
    session = runtimes.session(
        model(
            {"frames": [5, "n", 4]},
            {"y": [5, "n", 4]},
            helper.make_node("Neg", ["frames"], ["y"]),
        )
    )
    spec = Interface(
        (TensorSpec("frames", "float32", (5, 4), batch_axis=1),),
        (TensorSpec("y", "float32", (5, 4), batch_axis=1),),
    )
    x = values(6, 5, 4)
    np.testing.assert_array_equal(runtimes.infer(session, {"frames": x}, spec)["y"], -x)


def test_model_without_a_batch_runs_once_a_sample() -> None:
    session = runtimes.session(model({"x": [4]}, {"y": [4]}, helper.make_node("Abs", ["x"], ["y"])))
    spec = Interface(
        (TensorSpec("x", "float32", (4,), batch_axis=None),),
        (TensorSpec("y", "float32", (4,), batch_axis=None),),
    )
    x = values(3, 4)
    np.testing.assert_array_equal(runtimes.infer(session, {"x": x}, spec)["y"], np.abs(x))


def test_fixed_batch_is_filled_up_and_cut_again() -> None:
    session = runtimes.session(
        model({"x": [4, 2]}, {"y": [4, 2]}, helper.make_node("Neg", ["x"], ["y"]))
    )
    spec = Interface(
        (TensorSpec("x", "float32", (2,), batch_size=4),),
        (TensorSpec("y", "float32", (2,), batch_size=4),),
    )
    x = values(6, 2)
    np.testing.assert_array_equal(runtimes.infer(session, {"x": x}, spec)["y"], -x)


def test_output_that_loses_samples_is_refused_with_its_name() -> None:
    session = runtimes.session(
        model(
            {"x": ["n", 2]},
            {"y": ["m", 2]},
            helper.make_node("ReduceMax", ["x"], ["y"], axes=[0], keepdims=1),
        )
    )
    spec = Interface((TensorSpec("x", "float32", (2,)),), (TensorSpec("y", "float32", (2,)),))
    with pytest.raises(MeasureError, match=r"output 'y'.*\[1, 2\] for 3 samples"):
        runtimes.infer(session, {"x": values(3, 2)}, spec)


def test_output_whose_size_depends_on_values_is_refused_with_both_sizes() -> None:
    session = runtimes.session(
        model(
            {"x": [1, 4]},
            {"where": [2, "k"]},
            helper.make_node("Relu", ["x"], ["positive"]),
            helper.make_node("NonZero", ["positive"], ["place"]),
            helper.make_node("Cast", ["place"], ["where"], to=TensorProto.FLOAT),
        )
    )
    x = np.asarray([[1, -1, 1, -1], [1, 1, 1, -1]], np.float32)
    interface = Interface(
        (TensorSpec("x", "float32", (4,), batch_size=1),),
        (TensorSpec("where", "float32", (2, 2), batch_axis=None),),
    )
    with pytest.raises(MeasureError, match=r"output 'where': .*3\].*2\].*cut the model before"):
        runtimes.infer(session, {"x": x}, interface)
