"""The layers and the models made of them: shapes and counts worked out by hand, equal results where both can run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks import chains, gemms, goals
from benchmarks.layers import LAYERS, Layer
from benchmarks.peaks import Peaks
from benchmarks.runners import OrtModel
from squeeze import ops
from squeeze.old_x86.emulation import emulated

SMALL = Layer("test", 16, 16, (6, 5))
RESIDUAL = replace(SMALL, residual=True)
STRIDED = Layer("test", 8, 16, (6, 6), stride=2, pads=(0, 0, 1, 1))


def test_every_layer_is_listed_once() -> None:
    assert len({(layer.network, layer.name) for layer in LAYERS}) == len(LAYERS)


def test_work_of_known_layers() -> None:
    stem = next(layer for layer in LAYERS if layer.network == "dscnn" and layer.inputs == 1)
    assert (stem.out_size, stem.macs) == ((25, 5), 25 * 5 * 64 * 40)
    assert stem.moved_bytes == 49 * 10 + 64 * 40 + 25 * 5 * 64
    assert (SMALL.feeds_next, SMALL.macs) == (True, 30 * 16 * 144)
    assert (STRIDED.feeds_next, STRIDED.out_size) == (False, (3, 3))


def test_indices_are_packed_least_significant_bit_first() -> None:
    assert chains.packed(np.array([0x1, 0xF, 0x3], np.uint8)).tolist() == [0xF1, 0x03]
    # 1, 5, 7 of three bits: 0b111_101_001, the ninth bit in the next byte.
    assert chains.packed(np.array([1, 5, 7], np.uint8), bits=3).tolist() == [0b11101001, 0b1]


def test_weights_are_values_of_the_codebook() -> None:
    made = chains.weights((4, 3, 3, 3), 0)
    for row, index, book in zip(
        made.w.reshape(4, 27), made.indices.reshape(4, 27), made.codebook, strict=True
    ):
        assert (row == book[index]).all()


@pytest.mark.parametrize("layer", [SMALL, STRIDED, RESIDUAL], ids=["chain", "fan", "residual"])
def test_the_runtime_fuses_every_layer_and_ours_computes_the_same(
    layer: Layer, tmp_path: Path, library: str
) -> None:
    qdq = tmp_path / "qdq.onnx"
    qdq.write_bytes(chains.qdq(layer, 3))
    OrtModel(qdq.read_bytes(), 1, optimised=tmp_path / "optimised.onnx")
    found = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert sorted(found) == ["QLinearAdd"] * (3 * layer.residual) + ["QLinearConv"] * 3
    ours = OrtModel(chains.native(layer, 3), 1, native=True)
    # The runtime's own graph with exact sums: these weights saturate on CPUs without VNNI.
    plain = OrtModel(emulated(qdq, saturate=False).model, 1)
    assert plain.result().std() > 20
    assert np.abs(ours.result().astype(int) - plain.result().astype(int)).max() <= 1


@pytest.mark.parametrize("rows", [1, 16])
def test_peers_of_the_4_bit_product_run(rows: int) -> None:
    for model in (gemms.matmul(rows, 2), gemms.matmulinteger(rows, 2)):
        assert OrtModel(model, 1).result().shape == (rows, gemms.N)
    for block in gemms.BLOCKS:
        assert OrtModel(gemms.matmulnbits(rows, 2, block), 1).result().shape == (rows, gemms.N)


def test_share_is_of_the_longer_of_arithmetic_and_copy() -> None:
    peaks = Peaks(1, {("some", "int8"): 100.0}, copy_gbs=10.0)
    assert peaks.share(2.0, 100_000, 1_000, "some") == pytest.approx(0.5)  # 1 us of arithmetic
    assert peaks.share(2.0, 1_000, 10_000, "some") == pytest.approx(0.5)  # 1 us of copying


def test_goals_are_judged_on_one_thread() -> None:
    row = {"case": "resnet20-int8", "against": "ort", "isa": goals.VNNI, "threads": 1}
    assert goals.verdict({**row, "ratio": 1.95}) == "met"
    assert goals.verdict({**row, "ratio": 1.85}) == "MISSED"
    assert goals.verdict({**row, "ratio": 1.85, "threads": 2}) == ""
    assert goals.verdict({**row, "ratio": 1.2, "isa": "body"}) == "MISSED"
    assert goals.verdict({**row, "ratio": 1.0, "isa": "body"}) == "met"


@pytest.fixture
def library() -> str:
    path = ops.library_path()
    if path is None:
        pytest.skip("libsqueeze_ops.so is not built: cmake -S . -B build && cmake --build build")
    return str(path)
