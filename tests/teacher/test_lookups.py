"""Tables that inputs are looked up in are read off a model's file, without running it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from squeeze.calib.lookups import Lookups
from squeeze.teacher.ends import said_of
from squeeze.teacher.hf.of_data import table_of_positions
from squeeze.teacher.onnx.id_tables import id_tables
from squeeze.teacher.onnx.position_tables import position_tables
from tests.teacher.conftest import save_pt2
from tests.teacher.graphs import model, saved, value

WORDS, POSITIONS, WIDTH = 30, 20, 4
TABLES = {
    "words": np.ones((WORDS, WIDTH), np.float32),
    "positions": np.ones((POSITIONS, WIDTH), np.float32),
    "types": np.ones((2, WIDTH), np.float32),
}
node = helper.make_node
INTEGERS = {
    "zero": np.array(0),
    "one": np.array(1),
    "two": np.array(2),
    "first": np.array([0]),
    "second": np.array([1]),
    "stored": np.arange(POSITIONS)[None],
    "zeros": np.zeros((1, POSITIONS), np.int64),
}
LENGTH = [node("Shape", ["ids"], ["shape"]), node("Gather", ["shape", "one"], ["length"])]
ENDS = [*LENGTH, node("Unsqueeze", ["length", "first"], ["ends"])]
RANGE = [*LENGTH, node("Range", ["zero", "length", "one"], ["range"])]


def summed(places: str, table: str = "positions") -> list[onnx.NodeProto]:
    return [
        node("Gather", ["words", "ids"], ["tokens"]),
        node("Gather", [table, places], ["rows"]),
        node("Add", ["tokens", "rows"], ["y"]),
    ]


CASES: dict[str, tuple[list[onnx.NodeProto], dict[str, int]]] = {
    "range": ([*RANGE, *summed("range")], {"ids": POSITIONS}),
    "range-behind-two": (
        [*RANGE, node("Add", ["range", "two"], ["later"]), *summed("later")],
        {"ids": POSITIONS - 2},
    ),
    "stored": (
        [*ENDS, node("Slice", ["stored", "first", "ends", "second"], ["cut"]), *summed("cut")],
        {"ids": POSITIONS},
    ),
    "by-the-padding": (
        [
            node("Cast", ["ids"], ["mask"], to=TensorProto.INT64),
            node("CumSum", ["mask", "one"], ["counted"]),
            node("Mul", ["counted", "mask"], ["kept"]),
            node("Add", ["kept", "one"], ["from_two"]),
            *summed("from_two"),
        ],
        {"ids": POSITIONS - 2},
    ),
    "types-are-no-positions": (
        [
            *ENDS,
            node("Slice", ["zeros", "first", "ends", "second"], ["cut"]),
            *summed("cut", "types"),
        ],
        {},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_table_of_positions_is_found(tmp_path: Path, case: str) -> None:
    nodes, positions = CASES[case]
    read = {name for one in nodes for name in one.input}
    tensors = {name: x for name, x in {**TABLES, **INTEGERS}.items() if name in read}
    ends = [value("ids", ["n", "t"], TensorProto.INT64)], [value("y", ["n", "t", WIDTH])]
    said = said_of(str(saved(model(nodes, *ends, tensors), tmp_path)), None)
    assert said is not None
    assert said.data.lookups == Lookups({"ids": WORDS}, positions)


class Embedded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.types = nn.Embedding(WORDS, WIDTH), nn.Embedding(2, WIDTH)

    def forward(self, ids: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        x: torch.Tensor = self.words(ids.long()) + self.types(types)
        return x.mean(1)


def test_embeddings_of_an_archive_are_found(tmp_path: Path) -> None:
    ids = torch.zeros(4, 6, dtype=torch.int32)
    path = save_pt2(Embedded().eval(), (ids, ids.clone()), tmp_path / "net.pt2")
    said = said_of(str(path), None)
    assert said is not None
    assert said.data.lookups == Lookups({"ids": WORDS, "types": 2})


@pytest.mark.parametrize(
    ("config", "positions"),
    [
        ({}, 64),
        ({"model_type": "roberta", "pad_token_id": 1}, 62),
        ({"model_type": "modernbert"}, None),
        ({"position_embedding_type": "relative_key"}, None),
    ],
    ids=["bert", "roberta", "rotary", "relative"],
)
def test_positions_of_a_folder_are_those_of_its_table(
    tmp_path: Path, config: dict[str, Any], positions: int | None
) -> None:
    said = {"model_type": "bert", "max_position_embeddings": 64, **config}
    assert table_of_positions(said) == positions


@pytest.mark.parametrize(
    "op_type", ["Add", "EmbedLayerNormalization", "Gather", "Identity", "Range", "Where"]
)
@pytest.mark.parametrize("count", [0, 1])
def test_nodes_with_too_few_inputs_have_no_table(op_type: str, count: int) -> None:
    """They are refused later, when the file is checked."""
    places = helper.make_node(op_type, ["ids"][:count], ["places"])
    rows = helper.make_node("Gather", ["table", "places"], ["rows"])
    table = helper.make_tensor("table", TensorProto.FLOAT, [3, 2], np.zeros(6))
    ids = value("ids", ["n", "t"], TensorProto.INT64)
    graph = helper.make_graph([places, rows], "g", [ids], [value("rows", None)], [table])
    found = {"ids": 3} if op_type == "Identity" and count else {}
    assert id_tables(graph) == found
    assert position_tables(graph) == {}
