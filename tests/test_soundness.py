"""What protobuf lets through is refused by name; what ONNX has is let through in every form of storage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze import graph, teacher
from squeeze.errors import ConfigError
from squeeze.soundness import check_sound

Change = Callable[[onnx.ModelProto], None]


def test_a_model_is_sound_however_its_weights_are_stored() -> None:
    weights = [
        numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "raw"),
        helper.make_tensor("typed", TensorProto.FLOAT, [2, 3], list(range(6))),
        helper.make_tensor("half", TensorProto.FLOAT16, [3], [1.0, 2.0, 3.0]),
        helper.make_tensor("nibbles", TensorProto.INT4, [3], [1, -2, 3]),
        helper.make_tensor("texts", TensorProto.STRING, [2], [b"a", b"b"]),
        helper.make_tensor("complex", TensorProto.COMPLEX64, [2], [1 + 2j, 3 - 1j]),
        helper.make_tensor("truths", TensorProto.BOOL, [2], [True, False]),
        helper.make_tensor("none", TensorProto.FLOAT, [0, 4], []),
        numpy_helper.from_array(np.asarray(3, np.int64), "number"),
    ]
    check_sound(_model(weights), "model.onnx")


def _cut(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-1]


def _longer_shape(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = 1 << 40


def _negative(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = -2


def _no_such_type(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_type = 99


def _no_such_value_type(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = 99


def _no_such_attribute_type(model: onnx.ModelProto) -> None:
    attribute = model.graph.node[0].attribute.add()
    attribute.name = "alpha"


def _inside_a_body(model: onnx.ModelProto) -> None:
    inner = _model([numpy_helper.from_array(np.ones(3, np.float32), "w")])
    _cut(inner)
    model.graph.node[0].attribute.append(helper.make_attribute("then_branch", inner.graph))


CHANGES: dict[str, tuple[Change, str]] = {
    "cut": (_cut, "tensor 'w': its shape [2, 3] is of 6 numbers"),
    "longer_shape": (_longer_shape, "tensor 'w': its shape"),
    "negative": (_negative, "tensor 'w' has the shape [-2, 3]"),
    "no_such_type": (_no_such_type, "tensor 'w' has element type 99"),
    "no_such_value_type": (_no_such_value_type, "value 'x' has element type 99"),
    "no_such_attribute_type": (_no_such_attribute_type, "attribute 'alpha' has type 0"),
    "inside_a_body": (_inside_a_body, "tensor 'w': its shape [3] is of 3 numbers"),
}


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_an_unsound_file_is_refused_where_files_are_read(name: str, tmp_path: Path) -> None:
    change, said = CHANGES[name]
    model = _model([numpy_helper.from_array(np.ones((2, 3), np.float32), "w")])
    change(model)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ConfigError) as refused:
        graph.load(path)
    assert said in str(refused.value)
    with pytest.raises(ConfigError) as refused:
        teacher.self_contained(path, tmp_path)
    assert str(refused.value).startswith(str(path))


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    data = _model([]).SerializeToString()
    assert data.count(b"Identity") == 1
    path.write_bytes(data.replace(b"Identity", b"Ident\xfftty"))
    with pytest.raises(ConfigError, match=r"model\.onnx"):
        graph.load(path)


def _model(weights: list[onnx.TensorProto]) -> onnx.ModelProto:
    nodes = [helper.make_node("Identity", ["x"], ["y"], name="only")]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    return helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], weights))
