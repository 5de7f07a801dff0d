"""Sensitivity of layers against files that are quantised as a whole, and their bytes against the packed form."""

from __future__ import annotations

import json

import numpy as np
import pytest

from squeeze import graph, quant, runtimes
from squeeze.feed import Passes
from squeeze.graph.codes import cheapest
from squeeze.graph.values import constant
from squeeze.progress import Progress
from squeeze.quant.bits.sensitivity import Sensitivity, divergence, sensitivity, weight_bytes
from squeeze.quant.output_error import errors_by_output, output_errors
from squeeze.quant.weights.weighted import Codes
from squeeze.spec import QuantPart
from tests.feeds import passes_of
from tests.graph.small import floats, node, typed
from tests.quant.families import inputs
from tests.quant.families import model as family

SAMPLES = 64
PART = QuantPart(samples=SAMPLES, bias_correction=False)


def passes() -> Passes:
    return passes_of(family("residual"), inputs("residual", SAMPLES), 32)


@pytest.fixture(scope="module")
def rows() -> list[Sensitivity]:
    return sensitivity(
        family("residual"), passes(), activations="uint8", part=PART, bits=(4, 2), samples=SAMPLES
    )


def whole(bits: dict[str, int], part: QuantPart = PART) -> quant.Quantised:
    return quant.quantize(family("residual"), passes(), activations="uint8", part=part, bits=bits)


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
        (error,) = output_errors(found, [model], passes(), SAMPLES)
        assert row.error[bits] == pytest.approx(error, rel=1e-5)
        got = logits(graph.to_bytes(model))
        p, q = softmax(expected), softmax(got)
        assert row.divergence[bits] == pytest.approx((p * np.log(p / q)).sum(axis=1).mean())


def test_loss_of_scores_of_classes_is_their_divergence(rows: list[Sensitivity]) -> None:
    assert all(row.loss == row.divergence for row in rows)


def test_loss_of_several_outputs_is_the_sum_of_divergence_and_squared_errors() -> None:
    model = typed(
        [
            node("Conv", ["x", "w1"], ["map"], pads=[1] * 4),
            node("GlobalAveragePool", ["map"], ["g"]),
            node("Flatten", ["g"], ["f"]),
            node("Gemm", ["f", "w2"], ["scores"]),
        ],
        {"w1": floats(6, 3, 3, 3) / 5, "w2": floats(6, 4, seed=1)},
        {"x": ("float32", ["n", 3, 8, 8])},
        {"scores": ("float32", ["n", 4]), "map": ("float32", ["n", 6, 8, 8])},
    )
    passes = passes_of(model, floats(SAMPLES, 3, 8, 8, seed=2))
    rows = sensitivity(model, passes, activations="uint8", part=PART, bits=(2,), samples=SAMPLES)
    assert [row.name for row in rows] == ["map", "scores"]
    for row in rows:
        found = quant.quantize(
            model, passes, activations="uint8", part=PART, bits={row.name: 2}
        ).model
        (errors,) = errors_by_output(model, [found], passes, SAMPLES)
        assert row.loss[2] == pytest.approx(row.divergence[2] + errors["map"] ** 2, rel=1e-4)
        both = (errors["map"] ** 2 + errors["scores"] ** 2) / 2
        assert row.error[2] == pytest.approx(np.sqrt(both), rel=1e-4)


def test_outputs_that_score_no_classes_have_no_divergence() -> None:
    model = typed(
        [node("Gemm", ["x", "w"], ["y"])],
        {"w": floats(6, 1)},
        {"x": ("float32", ["n", 6])},
        {"y": ("float32", ["n", 1])},
    )
    (row,) = sensitivity(
        model, passes_of(model, floats(32, 6)), activations="uint8", part=PART, bits=(2,)
    )
    assert row.divergence == {}
    assert row.loss == {b: e**2 for b, e in row.error.items()}
    assert row.loss[2] > row.loss[8]


def test_divergence_of_probabilities_is_of_the_outputs_themselves() -> None:
    expected = np.array([[0.5, 0.5], [1.0, 0.0]])
    got = np.array([[0.25, 0.75], [1.0, 0.0]])
    by_hand = (0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75)) / 2
    assert divergence(expected, got) == pytest.approx(by_hand)


def test_eight_bits_are_int8_throughout(rows: list[Sensitivity]) -> None:
    (error,) = output_errors(family("residual"), [whole({}).model], passes(), SAMPLES)
    assert {r.error[8] for r in rows} == {rows[0].error[8]}
    assert rows[0].error[8] == pytest.approx(error, rel=1e-5)


def test_adaround_is_less_sensitive(rows: list[Sensitivity]) -> None:
    rounded = sensitivity(
        family("residual"),
        passes(),
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
        passes_of(family("dense"), inputs("dense", 8)),
        activations="int8",
        part=PART,
        bits=(3,),
        progress=progress,
    )
    assert progress.seen[-1] == (3, 3)
    row = json.loads(json.dumps(found[0].to_json()))
    assert set(row["bytes"]) == {"8", "3"}
    assert Sensitivity.from_json(row) == found[0]


def logits(model: bytes) -> np.ndarray:
    session = runtimes.session(model)
    return runtimes.run(session, inputs("residual", SAMPLES)).astype(np.float64)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
