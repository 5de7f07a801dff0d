"""CodebookGather2, 3 and 4 inside ONNX Runtime: against NumPy, against their bodies, and with broken nodes."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze import ops
from squeeze.ops.codebookgather import packed
from tests.ops import node_model
from tests.ops.node_model import Array, Node, build, session

ISAS = ("portable", "x86_avx2", "x86_avx512vnni")
f32 = np.float32


def node(
    seed: int, bits: int, *shape: int, rows: int = 50, width: int = 384, dtype: type = np.int64
) -> tuple[Node, Array]:
    """A node with ids of `shape`, and its y by NumPy."""
    rng = np.random.default_rng(seed)
    indices = rng.integers(0, 1 << bits, (rows, width)).astype(np.uint8)
    ids = rng.integers(-rows, rows, shape).astype(dtype)
    levels, scales = rng.normal(size=1 << bits).astype(f32), rng.random((rows, 1)).astype(f32)
    op_type = f"CodebookGather{bits}"
    tables = (*packed(indices, bits), levels, scales)
    inputs = dict(zip(ops.SIGNATURES[op_type].names, (ids, *tables), strict=True))
    y = np.take(levels[indices] * scales, ids, axis=0)
    return Node(op_type, inputs, ("ids",), {}, 1), y


CASES = {
    "4-bits": node(1, 4, 2, 9),
    "3-bits": node(2, 3, 2, 9),
    "2-bits": node(3, 2, 2, 9),
    "int32": node(4, 4, 7, dtype=np.int32),
    "one-id": node(5, 4),
    "rank-3": node(6, 3, 2, 3, 4, dtype=np.int32),
    "no-ids": node(7, 4, 2, 0),
    "many-tasks": node(8, 4, 300),
    "many-tasks-3": node(9, 3, 300),
    "many-tasks-2": node(10, 2, 300),
    "one-row": node(11, 2, 5, rows=1),
    "one-byte-4": node(12, 4, 5, width=2),
    "one-byte-3": node(13, 3, 5, width=8),
    "one-byte-2": node(14, 2, 5, width=4),
    "odd-width-4": node(15, 4, 5, width=78),
    "odd-width-3": node(16, 3, 5, width=88),
    "odd-width-2": node(17, 2, 5, width=76),
}
every_case = pytest.mark.parametrize("name", CASES)


@pytest.mark.parametrize("isa", ISAS)
@every_case
def test_every_isa_equals_numpy_bit_for_bit(
    library: str, name: str, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEEZE_ISA", isa)
    case, wanted = CASES[name]
    for threads in (1, 2):
        y = node_model.run_native(case, threads=threads)
        np.testing.assert_array_equal(y, wanted)
        assert y.dtype == np.float32


@every_case
def test_body_equals_numpy_bit_for_bit(name: str) -> None:
    case, wanted = CASES[name]
    for opset in (13, 21) if wanted.size else (14, 21):
        np.testing.assert_array_equal(node_model.run_body(case, opset=opset), wanted)


@pytest.mark.parametrize(
    ("bits", "indices", "tables"),
    [
        (4, [0x1, 0x2, 0xF, 0x0], [[0xF1, 0x02]]),
        (2, [1, 2, 3, 0], [[0b00_11_10_01]]),
        (2, [1, 2, 3, 0, 0, 1, 2, 3], [[0b10_00_11_01, 0b11_01_00_10]]),
        # Of bytes 0 and 1: 5 = 1 01 and 3 = 0 11, 4 = 1 00 and 0, 7 = 1 11 and 1 = 0 01, 2 = 0 10 and 6 = 1 10
        (3, [5, 3, 4, 0, 7, 1, 2, 6], [[0b10_11_00_01, 0b10_01_00_11], [0b1000_0111]]),
    ],
)
def test_bytes_worked_out_by_hand(bits: int, indices: list[int], tables: list[list[int]]) -> None:
    found = packed(np.array([indices], np.uint8), bits)
    assert [table.tolist() for table in found] == [[table] for table in tables]
    assert all(table.dtype == np.uint8 for table in found)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("name", ["4-bits", "3-bits", "int32"])
def test_an_id_beyond_the_table_is_an_error_when_it_comes(
    library: str, name: str, native: bool
) -> None:
    case, _ = CASES[name]
    made = session(build(case, body=not native), native=native)
    for wrong in (50, -51, 2**31 - 1, -(2**31)):
        ids = case.inputs["ids"].copy()
        ids.reshape(-1)[3] = wrong
        text = rf"input ids is {wrong} at place 3, expected -50 to 49, for 50 rows"
        where = f"{case.op_type} 'the node': {text}" if native else "out of data bounds"
        with pytest.raises(Exception, match=where):
            made.run(None, {"ids": ids})


BROKEN: dict[str, tuple[str, dict[str, Array], str]] = {
    "codes": ("4-bits", {"codes": np.zeros(5, np.uint8)}, r"codes has the shape \[5\], expected"),
    "no-rows": ("4-bits", {"codes": np.zeros((0, 5), np.uint8)}, r"codes has the shape \[0, 5\]"),
    "levels": (
        "4-bits",
        {"levels": np.zeros(8, f32)},
        r"levels has the shape \[8\], expected \[16",
    ),
    "scales": (
        "2-bits",
        {"scales": np.zeros(50, f32)},
        r"scales has the shape \[50\], expected \[5",
    ),
    "fewer-scales": (
        "2-bits",
        {"scales": np.zeros((49, 1), f32)},
        r"scales has the shape \[49, 1\], expected \[50, 1\]",
    ),
    "high-codes": (
        "3-bits",
        {"high_codes": np.zeros((50, 47), np.uint8)},
        r"high_codes has the shape \[50, 47\], expected the rows of codes, \[50, 96\], in half",
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_broken_node_is_refused_with_its_name_and_reason(library: str, broken: str) -> None:
    name, inputs, message = BROKEN[broken]
    case, _ = CASES[name]
    with pytest.raises(Exception, match=f"{case.op_type} 'the node': .*{message}"):
        session(build(case.having(**inputs), body=False), native=True)


def test_ids_of_eight_dimensions_are_refused_when_they_come(library: str) -> None:
    case, _ = CASES["4-bits"]
    broken = case.having(ids=np.zeros((1,) * 8, np.int64))
    with pytest.raises(Exception, match="ids has 8 dimensions, expected at most 7"):
        session(build(broken, body=False, loose=True), native=True).run(None, broken.feeds())
