"""ONNX teachers with several inputs and outputs, of every type: names, types and numbers are those of the file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze import runtimes, teacher
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.interface_changes import compare_interfaces
from squeeze.teacher import Teacher
from squeeze.teacher.ends import said_of
from tests.teacher.conftest import load
from tests.teacher.graphs import model, run, saved, shapes, types, value

RNG = np.random.default_rng(0)
W = RNG.normal(size=(6, 3)).astype(np.float32)
X = RNG.normal(size=(5, 6)).astype(np.float32)
TABLE = RNG.normal(size=(20, 6)).astype(np.float32)
IDS = RNG.integers(0, 20, (5, 7))
MASK = (np.arange(7)[None] < np.array([[7], [3], [5], [1], [2]])).astype(np.int64)


def encoder(
    batch: int | str = "n", steps: int | str = 7, mask: int = TensorProto.INT64
) -> onnx.ModelProto:
    """Embedded tokens averaged where the mask is 1: logits [n, 3], the best class [n], states [n, t, 6]."""
    nodes = [
        helper.make_node("Gather", ["e", "ids"], ["states"]),
        helper.make_node("Cast", ["mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["m", "two"], ["m3"]),
        helper.make_node("Mul", ["states", "m3"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "one"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["m", "one"], ["count"], keepdims=1),
        helper.make_node("Div", ["sum", "count"], ["mean"]),
        helper.make_node("MatMul", ["mean", "w"], ["logits"]),
        helper.make_node("ArgMax", ["logits"], ["best"], axis=1, keepdims=0),
    ]
    inputs = [value("ids", [batch, steps], TensorProto.INT64), value("mask", [batch, steps], mask)]
    outputs = [
        value("logits", [batch, 3]),
        value("best", [batch], TensorProto.INT64),
        value("states", [batch, steps, 6]),
    ]
    tensors = {"e": TABLE, "w": W, "one": np.array([1]), "two": np.array([2])}
    return model(nodes, inputs, outputs, tensors)


def infer(found: Teacher, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return runtimes.infer(runtimes.session(found.model), feed, found.interface)


@pytest.mark.parametrize(
    ("batch", "steps"), [("n", 7), ("batch", "t"), (1, 7), (3, 7)], ids=["n", "t", "one", "three"]
)
def test_two_inputs_and_three_outputs_compute_what_the_file_computes(
    batch: int | str, steps: int | str, tmp_path: Path
) -> None:
    path = saved(encoder(batch, steps), tmp_path)
    found = load(path, tmp_path, {"ids": IDS, "mask": MASK})
    free = {"ids": IDS, "mask": MASK}
    reference = tmp_path / "free"
    reference.mkdir()
    expected = run(saved(encoder(), reference), free)
    got = infer(found, free)
    assert list(got) == ["logits", "best", "states"]
    for name, wanted in expected.items():
        np.testing.assert_allclose(got[name], wanted, atol=1e-5)
        assert got[name].dtype == wanted.dtype
    assert [s.name for s in found.interface.inputs] == ["ids", "mask"]
    assert found.interface.batch_size is None
    n = "batch" if isinstance(batch, int) else batch
    assert shapes(found.model) == {
        "ids": [n, steps],
        "mask": [n, steps],
        "logits": [n, 3],
        "best": [n],
        "states": [n, steps, 6],
    }


def test_changes_are_said_in_words(tmp_path: Path) -> None:
    free = load(saved(encoder("batch", "t"), tmp_path), tmp_path, {"ids": IDS, "mask": MASK})
    assert free.changes == ()
    assert free.interface.inputs[0].free == ((0, "t"),)
    assert free.interface.output("states").free == ((0, "t"),)
    fixed = load(saved(encoder(3, 7), tmp_path), tmp_path, {"ids": IDS, "mask": MASK})
    assert fixed.changes == ()
    path = saved(encoder(3, 7), tmp_path)
    assert compare_interfaces(path, fixed.model) == [
        "axis 0 of input 'ids', input 'mask', output 'logits', output 'best', output 'states': any size, "
        "in your file 3"
    ]
    assert load(saved(encoder(), tmp_path), tmp_path).changes == ()


def test_teacher_of_many_ends_comes_back_from_json_and_refuses_to_be_a_guide(
    tmp_path: Path,
) -> None:
    found = load(saved(encoder(), tmp_path), tmp_path, {"ids": IDS, "mask": MASK})
    again = Teacher.from_json(tmp_path / "step", json.loads(json.dumps(found.to_json())))
    assert again == found
    assert found.output_activation == "none"
    assert found.taps.embedding is None
    with pytest.raises(UnsupportedError, match=r"2 inputs \(ids, mask\)"):
        found.outputs(IDS)


def test_bool_mask_and_mask_stored_as_bytes_are_taken(tmp_path: Path) -> None:
    path = saved(encoder(mask=TensorProto.BOOL), tmp_path)
    expected = run(path, {"ids": IDS, "mask": MASK.astype(bool)})
    for stored in (MASK.astype(bool), MASK.astype(np.uint8)):
        found = load(path, tmp_path, {"ids": IDS.astype(np.int16), "mask": stored})
        assert [s.dtype for s in found.interface.inputs] == ["int64", "bool"]
        got = infer(found, {"ids": IDS, "mask": MASK.astype(bool)})
        np.testing.assert_allclose(got["logits"], expected["logits"], atol=1e-5)
    with pytest.raises(ConfigError, match=r"'mask' bool \[n, 7\].*of that type"):
        load(path, tmp_path, {"ids": IDS, "mask": MASK * 2})


def test_bytes_stay_bytes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["frame"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["f", "s"], ["d"]),
        helper.make_node("MatMul", ["d", "w"], ["y"]),
        helper.make_node("Cast", ["frame"], ["same"], to=TensorProto.UINT8),
    ]
    made = model(
        nodes,
        [value("frame", ["n", 6], TensorProto.UINT8)],
        [value("y", ["n", 3]), value("same", ["n", 6], TensorProto.UINT8)],
        {"w": W, "s": np.array(255, np.float32)},
    )
    frames = RNG.integers(0, 256, (4, 6)).astype(np.uint8)
    path = saved(made, tmp_path)
    for example in (frames, None):
        found = load(path, tmp_path, example)
        assert found.interface.inputs[0].dtype == "uint8"
        got = infer(found, {"frame": frames})
        np.testing.assert_allclose(got["y"], run(path, {"frame": frames})["y"], atol=1e-6)
        np.testing.assert_array_equal(got["same"], frames)


@pytest.mark.parametrize("kind", [np.float16, np.float64], ids=["float16", "float64"])
def test_other_floats_stay_at_the_ends_and_are_float32_inside(kind: type, tmp_path: Path) -> None:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Softmax", ["z"], ["y"], axis=-1),
        helper.make_node("ArgMax", ["z"], ["best"], axis=1, keepdims=0),
    ]
    ends = (
        [value("x", ["n", 6], element)],
        [value("y", ["n", 3], element), value("best", ["n"], TensorProto.INT64)],
    )
    path = saved(model(nodes, *ends, {"w": W.astype(kind)}), tmp_path)
    found = load(path, tmp_path, X.astype(kind))
    assert types(found.model) == types(path)
    stored = onnx.load(found.model)
    assert {t.data_type for t in stored.graph.initializer} == {TensorProto.FLOAT}
    onnx.checker.check_model(stored, full_check=True)
    expected = run(path, {"x": X.astype(kind)})
    got = infer(found, {"x": X.astype(kind)})
    assert got["y"].dtype == kind
    np.testing.assert_allclose(got["y"], expected["y"], atol=1e-2 if kind is np.float16 else 1e-6)
    np.testing.assert_array_equal(got["best"], expected["best"])
    assert found.changes == (f"computed in float32 inside, your model uses {np.dtype(kind).name}",)


@pytest.mark.parametrize("kind", [np.float16, np.float64], ids=["float16", "float64"])
def test_guide_of_a_half_teacher_speaks_float32(kind: type, tmp_path: Path) -> None:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Softmax", ["z"], ["y"], axis=-1),
    ]
    for used, names in ((nodes, "y"), (nodes[:1], "z")):
        ends = [value("x", ["n", 6], element)], [value(names, ["n", 3], element)]
        found = load(saved(model(used, *ends, {"w": W.astype(kind)}), tmp_path), tmp_path, X)
        assert found.output_activation == ("softmax" if names == "y" else "none")
        answer = found.outputs(X)
        assert answer.logits.dtype == np.float32
        atol = 2e-2 if kind is np.float16 else 1e-5
        np.testing.assert_allclose(answer.logits, X @ W, atol=atol)


def test_smallest_double_of_a_mask_does_not_become_infinite(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Where", ["keep", "x", "low"], ["z"]),
        helper.make_node("Softmax", ["z"], ["y"], axis=-1),
    ]
    keep = np.array([[True, False, True, False, True, True]])
    low = np.array(np.finfo(np.float64).min)
    ends = [[value(n, ["n", 6], TensorProto.DOUBLE)] for n in ("x", "y")]
    found = load(saved(model(nodes, *ends, {"keep": keep, "low": low}), tmp_path), tmp_path, X)
    tensors = {t.name: numpy_helper.to_array(t) for t in onnx.load(found.model).graph.initializer}
    assert np.isfinite(tensors["low"])


def test_bfloat16_ends_become_float32_and_that_is_said(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["f", "w"], ["z"]),
        helper.make_node("Cast", ["z"], ["y"], to=TensorProto.BFLOAT16),
    ]
    ends = [[value(n, ["n", d], TensorProto.BFLOAT16)] for n, d in (("x", 6), ("y", 3))]
    found = load(saved(model(nodes, *ends, {"w": W}), tmp_path), tmp_path, X)
    assert types(found.model) == {"x": "tensor(float)", "y": "tensor(float)"}
    assert compare_interfaces(tmp_path / "net.onnx", found.model) == [
        "input 'x', output 'y': float32, in your file bfloat16"
    ]
    np.testing.assert_allclose(infer(found, {"x": X})["y"], X @ W, atol=1e-5)


@pytest.mark.parametrize("opset", [9, 11, 12, 21])
def test_opsets_are_converted_with_every_output_compared(opset: int, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Add", ["z", "y"], ["s"]),
        helper.make_node("Softmax", ["s"], ["p"], axis=1),
        helper.make_node("ArgMax", ["s"], ["best"], axis=1, keepdims=0),
    ]
    made = model(
        nodes,
        [value("x", ["n", 6]), value("y", ["n", 3])],
        [value("p", ["n", 3]), value("best", ["n"], TensorProto.INT64)],
        {"w": W},
        opset=opset,
    )
    path = saved(made, tmp_path)
    feed = {"x": X, "y": X[:, :3]}
    found = load(path, tmp_path, feed)
    assert found.changes == (f"opset {opset} converted to {13 if opset < 13 else 20}",)
    for name, wanted in run(path, feed).items():
        np.testing.assert_allclose(infer(found, feed)[name], wanted, atol=1e-6)


def test_names_of_inputs_are_looked_up_without_loading(tmp_path: Path) -> None:
    made = encoder()
    made.graph.input.append(value("w", [6, 3]))
    path = saved(made, tmp_path)
    assert teacher.input_names(str(path), None) == ("ids", "mask")
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(ConfigError, match="not an ONNX file"):
        teacher.input_names(str(tmp_path / "broken.onnx"), None)


@pytest.mark.parametrize("element", [None, 99])
def test_ends_that_are_no_tensors_are_looked_up_and_refused_on_loading(
    element: int | None, tmp_path: Path
) -> None:
    made = model([helper.make_node("Relu", ["x"], ["y"])], [value("x", ["n", 6])], [], {})
    odd = made.graph.output.add(name="y")
    if element is None:
        odd.type.sequence_type.elem_type.tensor_type.elem_type = TensorProto.FLOAT
    else:
        odd.type.tensor_type.elem_type = element
    path = saved(made, tmp_path)
    said = said_of(str(path), None)
    assert said is not None
    assert [(end.name, end.dtype, end.sizes) for end in said.outputs] == [("y", "object", None)]
    with pytest.raises(
        (ConfigError, UnsupportedError), match=r"'y' (is sequence_type|has element)"
    ):
        load(path, tmp_path, {"x": X})


def test_data_must_have_an_array_for_each_input(tmp_path: Path) -> None:
    path = saved(encoder(), tmp_path)
    with pytest.raises(ConfigError, match=r"2 inputs \(ids, mask\), the data has ids; missing: m"):
        load(path, tmp_path, {"ids": IDS})
    with pytest.raises(ConfigError, match=r"the data has ids, mask, more; missing: none"):
        load(path, tmp_path, {"ids": IDS, "mask": MASK, "more": MASK})


def test_name_of_the_data_of_an_only_input_does_not_count(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    path = saved(model(nodes, [value("x", ["n", 6])], [value("y", ["n", 3])], {"w": W}), tmp_path)
    assert load(path, tmp_path, {"anything": X}).input.shape == (6,)


def test_sizes_of_one_name_are_equal(tmp_path: Path) -> None:
    path = saved(encoder("n", "t"), tmp_path)
    with pytest.raises(ConfigError, match=r"size 't' is 7 in the data of 'ids' and 6 in that of"):
        load(path, tmp_path, {"ids": IDS, "mask": MASK[:, :6]})


def test_input_that_nothing_reads_is_refused(tmp_path: Path) -> None:
    made = encoder()
    made.graph.input.append(value("types", ["n", 7], TensorProto.INT64))
    feed = {"ids": IDS, "mask": MASK, "types": MASK}
    with pytest.raises(UnsupportedError, match=r"input 'types' is never read.*without that input"):
        load(saved(made, tmp_path), tmp_path, feed)


@pytest.mark.parametrize("side", ["input", "output"])
def test_doubled_names_are_refused(side: str, tmp_path: Path) -> None:
    made = encoder()
    ends = getattr(made.graph, side)
    ends.append(ends[0])
    with pytest.raises(ConfigError, match=f"2 {side}s are called '{ends[0].name}'"):
        load(saved(made, tmp_path), tmp_path, {"ids": IDS, "mask": MASK})


def test_nodes_of_one_name_are_told_apart_where_the_runtime_opens_them(tmp_path: Path) -> None:
    def branch(result: str, op: str) -> onnx.GraphProto:
        node = helper.make_node(op, ["x"], [result], name="same")
        return helper.make_graph([node], result, [], [value(result, ["n", 6])])

    branches = {"then_branch": branch("a", "Relu"), "else_branch": branch("b", "Neg")}
    nodes = [helper.make_node("If", ["on"], ["y"], name="same", **branches)]
    tensors = {"on": np.array(True)}
    path = saved(model(nodes, [value("x", ["n", 6])], [value("y", ["n", 6])], tensors), tmp_path)
    found = load(path, tmp_path, X)
    np.testing.assert_allclose(infer(found, {"x": X})["y"], run(path, {"x": X})["y"])
    made = encoder()
    for node in made.graph.node[:3]:
        node.name = "same"
    with pytest.raises(ConfigError, match=r"3 nodes have the name 'same'.*a name of its own"):
        load(saved(made, tmp_path), tmp_path, {"ids": IDS, "mask": MASK})


def test_text_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["s"], ["y"])]
    ends = [[value(n, ["n"], TensorProto.STRING)] for n in ("s", "y")]
    with pytest.raises(UnsupportedError, match=r"input 's' is STRING; allowed: tensors of"):
        load(saved(model(nodes, *ends, {}), tmp_path), tmp_path, X)


def test_same_file_gives_the_same_bytes_whatever_its_types(tmp_path: Path) -> None:
    element = TensorProto.FLOAT16
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    ends = [value("x", ["n", 6], element)], [value("y", ["n", 3], element)]
    path = saved(model(nodes, *ends, {"w": W.astype(np.float16)}), tmp_path)
    first = load(path, tmp_path, X).model.read_bytes()
    assert load(path, tmp_path, X * 2).model.read_bytes() == first
