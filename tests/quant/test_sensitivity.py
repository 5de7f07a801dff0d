"""Sensitivity of layers against files that are quantised as a whole, and their bytes against the packed form."""

from __future__ import annotations

import json

import numpy as np
import pytest

from squeeze import graph, quant
from squeeze.graph.codes import cheapest
from squeeze.graph.values import constant
from squeeze.progress import Progress
from squeeze.quant.bits.sensitivity import Sensitivity, sensitivity, weight_bytes
from squeeze.quant.output_error import output_errors
from squeeze.quant.runner import Runner
from squeeze.quant.weights.weighted import Codes
from squeeze.spec import QuantPart
from tests.quant.families import inputs
from tests.quant.families import model as family

SAMPLES = 64
PART = QuantPart(samples=SAMPLES, bias_correction=False)


def batches():
    return iter(np.split(inputs("residual", SAMPLES), 2))


@pytest.fixture(scope="module")
def rows() -> list[Sensitivity]:
    return sensitivity(
        family("residual"), batches, activations="uint8", part=PART, bits=(4, 2), samples=SAMPLES
    )


def whole(bits: dict[str, int], part: QuantPart = PART) -> quant.Quantised:
    return quant.quantize(family("residual"), batches, activations="uint8", part=part, bits=bits)


def test_there_is_a_row_for_each_layer_with_its_weights(rows: list[Sensitivity]) -> None:
    layers = whole({}).layers
    assert [(r.name, r.weights) for r in rows] == [(layer.name, layer.weights) for layer in layers]
    assert all(set(r.bytes) == set(r.error) == set(r.divergence) == {8, 4, 2} for r in rows)


@pytest.mark.parametrize("bits", [4, 2])
def test_error_and_divergence_are_those_of_the_file_with_this_layer_alone(
    rows: list[Sensitivity], bits: int
) -> None:
    found = family("residual")
    expected = logits(graph.to_bytes(found))
    for row in (rows[0], rows[3], rows[-1]):
        model = whole({row.name: bits}).model
        (error,) = output_errors(found, [model], batches, SAMPLES)
        assert row.error[bits] == pytest.approx(error, rel=1e-5)
        got = logits(graph.to_bytes(model))
        p, q = softmax(expected), softmax(got)
        assert row.divergence[bits] == pytest.approx((p * np.log(p / q)).sum(axis=1).mean())


def test_eight_bits_are_int8_throughout(rows: list[Sensitivity]) -> None:
    (error,) = output_errors(family("residual"), [whole({}).model], batches, SAMPLES)
    assert {r.error[8] for r in rows} == {rows[0].error[8]}
    assert rows[0].error[8] == pytest.approx(error, rel=1e-5)


def test_adaround_is_less_sensitive(rows: list[Sensitivity]) -> None:
    rounded = sensitivity(
        family("residual"),
        batches,
        activations="uint8",
        part=PART.model_copy(update={"adaround": True}),
        bits=(2,),
        samples=SAMPLES,
    )
    before, after = (sum(r.error[2] ** 2 for r in found) for found in (rows, rounded))
    assert after < 0.5 * before


def test_bytes_of_packed_weights_counted_by_hand() -> None:
    """4 levels for all: 2 bits per weight, a book of 4, a scale of 4 bytes per channel."""
    integers = np.tile(np.arange(-2, 2, dtype=np.int8), (8, 25))
    assert weight_bytes(Codes(integers, np.ones(8, np.float32))) == 8 * 100 * 2 // 8 + 4 + 4 * 8
    many = np.tile(np.arange(-50, 50, dtype=np.int8), (8, 1))
    assert weight_bytes(Codes(many, np.ones(8, np.float32))) == 800 + 32


def test_bytes_are_those_of_the_packed_form_of_the_file(rows: list[Sensitivity]) -> None:
    row = rows[3]
    (conv,) = [n for n in whole({row.name: 2}).model.graph if n.outputs[0].name == row.name]
    dequantise = conv.inputs[1].producer() if conv.inputs[1] is not None else None
    weights = constant(dequantise.inputs[0]) if dequantise is not None else None
    assert weights is not None
    coded = cheapest(weights)
    assert coded is not None
    assert row.bytes[2] == coded.bytes + 4 * len(weights)
    assert row.bytes[2] < row.bytes[4] < row.bytes[8]


def test_rows_are_json_and_progress_reaches_the_end() -> None:
    class Recorded(Progress):
        def __init__(self) -> None:
            self.seen: list[tuple[int, int]] = []

        def update(self, done: int, total: int, note: str = "") -> None:
            self.seen.append((done, total))

    progress = Recorded()
    found = sensitivity(
        family("dense"),
        lambda: iter([inputs("dense", 8)]),
        activations="int8",
        part=PART,
        bits=(3,),
        progress=progress,
    )
    assert progress.seen[-1] == (3, 3)
    row = json.loads(json.dumps(found[0].to_json()))
    assert set(row["bytes"]) == {"8", "3"}


def logits(model: bytes) -> np.ndarray:
    runner = Runner(model, whole_batches=True)
    return np.concatenate([o[0] for x in batches() for _, o in runner.run(x)]).astype(np.float64)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
