"""SmoothQuant: the same outputs, balanced maxima, and no change where others read the values."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
import pytest

from squeeze import quant
from squeeze.graph.values import constant
from squeeze.quant.output_error import output_errors
from squeeze.quant.repair.smooth import factors, smooth
from squeeze.quant.runner import Runner, with_outputs
from squeeze.spec import QuantPart
from tests.graph.small import Array, floats, model, node
from tests.graph.small import run as run_float

K = 12


def gains() -> dict[str, Array]:
    """Two channels are fifty times larger than the rest."""
    gain = np.abs(floats(K, seed=3)) + 0.5
    gain[[2, 7]] *= 50
    return {"gain": gain, "shift": floats(K, seed=4)}


def norm(**attributes: int) -> ir.Model:
    """A normalisation, query and key, and a Gemm of its own."""
    return model(
        [
            node("LayerNormalization", ["x", "gain", "shift"], ["n"], **attributes),
            node("MatMul", ["n", "q"], ["a"]),
            node("MatMul", ["n", "k"], ["b"]),
            node("Mul", ["a", "b"], ["y"]),
        ],
        {**gains(), "q": floats(K, 5, seed=1), "k": floats(K, 5, seed=2) / 3},
        (6, K),
    )


def affine() -> ir.Model:
    return model(
        [
            node("Relu", ["x"], ["r"]),
            node("Mul", ["r", "gain"], ["m"]),
            node("Add", ["shift", "m"], ["n"]),
            node("Gemm", ["n", "w", "c"], ["y"], transB=1),
        ],
        {**gains(), "w": floats(5, K), "c": floats(5)},
        (K,),
    )


def batches(x: Array):
    def start() -> Iterator[Array]:
        yield from np.split(x, 4)

    return start


def largest(found: ir.Model, name: str, x: Array) -> Array:
    ((_, (values,)),) = Runner(with_outputs(found, [name]), whole_batches=True).run(x)
    return np.abs(values.reshape(-1, K)).max(axis=0)


MODELS = {"norm": (norm, (6, K)), "affine": (affine, (K,))}


@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_the_same(name: str) -> None:
    make, shape = MODELS[name]
    x = floats(32, *shape)
    smoothed, count = smooth(make(), batches(x), 32)
    assert count == 1
    expected = run_float(make(), x)
    np.testing.assert_allclose(
        run_float(smoothed, x), expected, rtol=1e-5, atol=1e-5 * float(np.abs(expected).max())
    )


@pytest.mark.parametrize("name", MODELS)
def test_maxima_of_activations_and_weights_are_balanced(name: str) -> None:
    make, shape = MODELS[name]
    x = floats(32, *shape)
    smoothed, _ = smooth(make(), batches(x), 32)
    weights = [
        w if n.op_type == "MatMul" else w.T
        for n in smoothed.graph
        if n.op_type in ("MatMul", "Gemm") and (w := constant(n.inputs[1])) is not None
    ]
    of_weights = np.max([np.abs(w).max(axis=1) for w in weights], axis=0)
    np.testing.assert_allclose(largest(smoothed, "n", x), of_weights, rtol=1e-4)


def test_factors_worked_out_by_hand() -> None:
    x, w = np.array([4.0, 0.0, 9.0, 1e-12]), np.array([1.0, 3.0, 0.0, 100.0])
    np.testing.assert_allclose(factors(x, w), [2, 1, 1, 1e-5])
    np.testing.assert_allclose(factors(np.array([16.0]), np.array([81.0]), 0.75), [8 / 3])


def test_the_given_model_stays_as_it_is() -> None:
    found = norm()
    before = ir.serde.serialize_model(found).SerializeToString()
    smooth(found, batches(floats(32, 6, K)), 32)
    assert ir.serde.serialize_model(found).SerializeToString() == before


def test_values_that_others_read_are_left_alone() -> None:
    residual = model(
        [
            node("LayerNormalization", ["x", "gain", "shift"], ["n"]),
            node("MatMul", ["n", "q"], ["a"]),
            node("Add", ["a", "n"], ["y"]),
        ],
        {**gains(), "q": floats(K, K)},
        (6, K),
    )
    shared_axis = norm(axis=1)
    output = model(
        [
            node("LayerNormalization", ["x", "gain", "shift"], ["n"]),
            node("MatMul", ["n", "q"], ["y"]),
        ],
        {**gains(), "q": floats(K, 5)},
        (6, K),
        outputs=("y", "n"),
    )
    plain = model([node("MatMul", ["x", "q"], ["y"])], {"q": floats(K, 5)}, (6, K))
    for found in (residual, output, plain):
        assert smooth(found, batches(floats(32, 6, K)), 32)[1] == 0
    assert constant(next(iter(shared_axis.graph)).inputs[1]) is not None


def quantised(*, smoothed: bool) -> quant.Quantised:
    part = QuantPart(samples=32, smooth=smoothed, bias_correction=False)
    x = floats(32, 6, K)
    return quant.quantize(norm(), batches(x), activations="uint8", part=part)


def test_int8_with_large_channels_comes_nearer_and_the_note_says_so() -> None:
    on, off = quantised(smoothed=True), quantised(smoothed=False)
    before, after = output_errors(norm(), [off.model, on.model], batches(floats(32, 6, K)), 32)
    (note,) = [n for n in on.notes if n["name"] == "smoothing"]
    assert note["kept"]
    assert note["numbers"] == pytest.approx({"before": before, "after": after})
    assert after < before


def test_smoothing_is_undone_when_outputs_do_not_come_nearer() -> None:
    """Channels of one size whose weights have one size: nothing to gain, and weights rounded otherwise."""
    found = model(
        [
            node("LayerNormalization", ["x", "gain"], ["n"]),
            node("MatMul", ["n", "q"], ["y"]),
        ],
        {"gain": np.ones(K, np.float32), "q": np.sign(floats(K, 5))},
        (6, K),
    )
    result = quant.quantize(
        found,
        batches(floats(32, 6, K)),
        activations="uint8",
        part=QuantPart(samples=32, bias_correction=False),
    )
    (note,) = [n for n in result.notes if n["name"] == "smoothing"]
    assert not note["kept"]
    assert note["why"].startswith("undone")
