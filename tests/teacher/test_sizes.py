"""Sizes that may vary in the user's file: they stay free, by their names, wherever the graph computes the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze.interface import Interface, TensorSpec
from squeeze.teacher.example import fit_inputs
from squeeze.teacher.onnx.signature import declared
from squeeze.teacher.onnx.sizes import broken, fixed, reference, with_names
from tests.teacher.conftest import load
from tests.teacher.graphs import model, run, saved, shapes, value

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(4, 3, 3, 3)).astype(np.float32)
IMAGES = RNG.normal(size=(5, 3, 8, 10)).astype(np.float32)


def upscaled(*sizes: int | str, batch: int | str = "n") -> onnx.ModelProto:
    """A convolution of step 2, brought back to the size of the input: height and width may vary."""
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Shape", ["c"], ["inner"]),
        helper.make_node("Slice", ["inner", "zero", "two"], ["first"]),
        helper.make_node("Shape", ["x"], ["outer"]),
        helper.make_node("Slice", ["outer", "two", "four"], ["last"]),
        helper.make_node("Concat", ["first", "last"], ["wanted"], axis=0),
        helper.make_node("Resize", ["c", "", "", "wanted"], ["y"], mode="nearest"),
    ]
    tensors = {"k": KERNEL, **{n: np.array([i]) for n, i in (("zero", 0), ("two", 2), ("four", 4))}}
    ends = [value("x", [batch, 3, *sizes])], [value("y", [batch, 4, *sizes])]
    return model(nodes, *ends, tensors)


def assert_same(theirs: Path, ours: Path, *shape: int) -> None:
    x = RNG.normal(size=shape).astype(np.float32)
    wanted, got = run(theirs, {"x": x}), run(ours, {"x": x})
    for name, expected in wanted.items():
        np.testing.assert_allclose(got[name], expected, atol=1e-4)


def test_height_and_width_stay_free_by_their_names(tmp_path: Path) -> None:
    path = saved(upscaled("height", "width"), tmp_path)
    found = load(path, tmp_path, IMAGES)
    assert (
        shapes(found.model)
        == shapes(path)
        == {
            "x": ["n", 3, "height", "width"],
            "y": ["n", 4, "height", "width"],
        }
    )
    assert found.changes == ()
    assert found.input.free == ((1, "height"), (2, "width"))
    assert found.output.free == ((1, "height"), (2, "width"))
    assert found.macs == 4 * 3 * 9 * 4 * 5  # of the data's size
    assert_same(path, found.model, 2, 3, 12, 6)


@pytest.mark.parametrize("open_size", [-1, 0, ""], ids=["minus_one", "zero", "no_name"])
def test_size_that_is_no_size_is_free(open_size: int | str, tmp_path: Path) -> None:
    made = upscaled(8, 10)
    for end in (made.graph.input[0], made.graph.output[0]):
        for dim in (end.type.tensor_type.shape.dim[i] for i in (0, 2, 3)):
            dim.Clear()
            if isinstance(open_size, int):
                dim.dim_value = open_size
    path = saved(made, tmp_path)
    found = load(path, tmp_path, IMAGES)
    assert shapes(found.model)["x"] == ["batch", 3, "x_2", "x_3"]
    assert found.interface.batch_size is None
    assert found.macs == 4 * 3 * 9 * 4 * 5
    assert_same(saved(upscaled("h", "w"), tmp_path), found.model, 2, 3, 12, 6)


def test_one_name_for_two_sizes_is_no_name(tmp_path: Path) -> None:
    found = load(saved(upscaled("?", "?"), tmp_path), tmp_path, IMAGES)
    assert shapes(found.model)["x"] == ["n", 3, "x_2", "x_3"]
    assert_same(saved(upscaled("h", "w"), tmp_path), found.model, 1, 3, 6, 12)


def test_batch_of_a_stored_shape_and_a_size_become_free_together(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "s"], ["r"]),
        helper.make_node("Relu", ["r"], ["y"]),
    ]
    ends = [value("x", [1, 4, "w"])], [value("y", [1, "v", 2])]
    path = saved(model(nodes, *ends, {"s": np.array([1, -1, 2])}), tmp_path)
    found = load(path, tmp_path, RNG.normal(size=(5, 4, 6)).astype(np.float32))
    assert found.changes == ()
    assert shapes(found.model) == {"x": ["batch", 4, "w"], "y": ["batch", "v", 2]}
    assert_same(path, found.model, 1, 4, 10)


def test_size_that_a_change_would_bake_in_is_found(tmp_path: Path) -> None:
    theirs = upscaled("h", "w")
    inputs = with_names(fit_inputs([declared(theirs.graph.input[0])], {"x": IMAGES}, "net"))
    known = reference(theirs, inputs, "net")
    assert known.moving("y") == {2, 3}
    ours = upscaled("h", "w")
    # Only the height is still asked for.
    ours.graph.node[4].input[1:] = ["two", "three"]
    ours.graph.node[5].input.append("ten")
    ours.graph.initializer.extend(
        [numpy_helper.from_array(np.array([i]), n) for n, i in (("three", 3), ("ten", 10))]
    )
    spec = TensorSpec("y", "float32", (4, 8, 10), 0, None)
    interface = Interface(tuple(one.spec for one in inputs), (spec,))
    assert broken(theirs, interface, known) == set()
    assert broken(ours, interface, known) == {"w"}
    (kept,) = fixed(inputs, {"w"})
    assert kept.spec.free == ((1, "h"),)


def test_declared_output_that_is_wrong_is_not_believed(tmp_path: Path) -> None:
    made = upscaled("h", "w")
    wrong = made.graph.output[0].type.tensor_type.shape
    del wrong.dim[2:]
    path = saved(made, tmp_path)
    found = load(path, tmp_path, IMAGES)
    assert found.output.shape == (4, 8, 10)
    assert shapes(found.model)["y"] == ["n", 4, None, None]


def test_size_of_an_output_that_follows_an_input_is_free_whatever_is_declared(
    tmp_path: Path,
) -> None:
    made = upscaled("h", "w")
    made.graph.output[0].CopyFrom(value("y", ["n", 4, 8, 10]))
    found = load(saved(made, tmp_path), tmp_path, IMAGES)
    assert [axis for axis, _ in found.output.free] == [1, 2]


def test_length_stays_free_where_positions_end_it(tmp_path: Path) -> None:
    """No more than 8 positions are stored: a longer text is the user's own limit, a shorter one is tried."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "one"], ["t"]),
        helper.make_node("Slice", ["p", "zero", "t"], ["positions"]),
        helper.make_node("Add", ["x", "positions"], ["y"]),
    ]
    positions = RNG.normal(size=(8, 3)).astype(np.float32)
    tensors = {"p": positions, "one": np.array([1]), "zero": np.array([0])}
    ends = [value("x", ["n", "t", 3])], [value("y", ["n", "t", 3])]
    path = saved(model(nodes, *ends, tensors), tmp_path)
    found = load(path, tmp_path, RNG.normal(size=(5, 8, 3)).astype(np.float32))
    assert found.changes == ()
    assert_same(path, found.model, 2, 5, 3)


def test_sizes_stay_free_in_half_precision(tmp_path: Path) -> None:
    kind = TensorProto.FLOAT16
    nodes = [helper.make_node("Conv", ["x", "k"], ["y"])]
    ends = [value("x", ["n", 3, "h", "w"], kind)], [value("y", ["n", 4, "a", "b"], kind)]
    path = saved(model(nodes, *ends, {"k": KERNEL.astype(np.float16)}), tmp_path)
    found = load(path, tmp_path, IMAGES)
    assert shapes(found.model) == {"x": ["n", 3, "h", "w"], "y": ["n", 4, "a", "b"]}
    x = RNG.normal(size=(1, 3, 5, 7)).astype(np.float16)
    got, wanted = run(found.model, {"x": x})["y"], run(path, {"x": x})["y"]
    np.testing.assert_allclose(got, wanted, atol=2e-2)
