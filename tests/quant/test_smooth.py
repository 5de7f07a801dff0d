"""SmoothQuant: the same outputs, balanced maxima, and no change where others read the values."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from squeeze import graph, quant
from squeeze.feed import Passes
from squeeze.graph.values import constant
from squeeze.quant.output_error import output_errors
from squeeze.quant.ranges.observe import observe
from squeeze.quant.repair.smooth import factors, smooth, values_of
from squeeze.quant.runner import Runner, with_outputs
from squeeze.spec import QuantPart
from tests.feeds import interface_of, passes_of
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


def largest(found: ir.Model, name: str, x: Array) -> Array:
    runner = Runner(with_outputs(found, [name]), interface_of(found), whole_chunks=True)
    ((_, (values,)),) = runner.run({"x": x})
    return np.abs(values.reshape(-1, K)).max(axis=0)


MODELS = {"norm": (norm, (6, K)), "affine": (affine, (K,))}


@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_the_same(name: str) -> None:
    make, shape = MODELS[name]
    x = floats(32, *shape)
    found = smooth(make(), passes_of(make(), x, 8), 32)
    assert (found.count, found.added) == (1, 0)
    smoothed = found.model
    expected = run_float(make(), x)
    np.testing.assert_allclose(
        run_float(smoothed, x), expected, rtol=1e-5, atol=1e-5 * float(np.abs(expected).max())
    )


@pytest.mark.parametrize("name", MODELS)
def test_maxima_of_activations_and_weights_are_balanced(name: str) -> None:
    make, shape = MODELS[name]
    x = floats(32, *shape)
    smoothed = smooth(make(), passes_of(make(), x, 8), 32).model
    weights = [
        w if n.op_type == "MatMul" else w.T
        for n in smoothed.graph
        if n.op_type in ("MatMul", "Gemm") and (w := constant(n.inputs[1])) is not None
    ]
    of_weights = np.max([np.abs(w).max(axis=1) for w in weights], axis=0)
    np.testing.assert_allclose(largest(smoothed, "n", x), of_weights, rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_channels_that_were_seen_with_the_ranges_smooth_alike(name: str) -> None:
    make, shape = MODELS[name]
    x = floats(32, *shape)
    passes = passes_of(make(), x, 8)
    (value,) = values_of(make())
    seen = observe(
        make(), ["y", value], passes, 32, histograms=True, tick=lambda n: None, channels=[value]
    )
    assert seen["y"].channels is None
    np.testing.assert_array_equal(seen[value].channels, largest(make(), value, x))
    apart = smooth(make(), passes, 32).model
    known = {value: np.asarray(seen[value].channels)}
    together = smooth(make(), Passes(passes.interface, lambda: iter(())), 32, known=known).model
    assert graph.to_bytes(together) == graph.to_bytes(apart)


def test_factors_worked_out_by_hand() -> None:
    x, w = np.array([4.0, 0.0, 9.0, 1e-12]), np.array([1.0, 3.0, 0.0, 100.0])
    np.testing.assert_allclose(factors(x, w), [2, 1, 1, 1e-5])
    np.testing.assert_allclose(factors(np.array([16.0]), np.array([81.0]), 0.75), [8 / 3])


def test_the_given_model_stays_as_it_is() -> None:
    found = norm()
    before = ir.serde.serialize_model(found).SerializeToString()
    smooth(found, passes_of(found, floats(32, 6, K), 8), 32)
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
        assert smooth(found, passes_of(found, floats(32, 6, K), 8), 32).count == 0
    assert constant(next(iter(shared_axis.graph)).inputs[1]) is not None


def last_norm() -> ir.Model:
    """As in BERT: what is behind a normalisation goes into a product and, beside it, into the next sum."""
    return model(
        [
            node("LayerNormalization", ["x", "gain", "shift"], ["n"]),
            node("MatMul", ["n", "q"], ["a"]),
            node("Relu", ["a"], ["r"]),
            node("MatMul", ["r", "k"], ["b"]),
            node("Add", ["n", "b"], ["s"]),
            node("LayerNormalization", ["s", "shift"], ["y"]),
        ],
        {**gains(), "q": floats(K, 24), "k": floats(24, K, seed=5) / 9},
        (6, K),
    )


def test_a_residual_takes_the_factors_back() -> None:
    x = floats(32, 6, K)
    found = smooth(last_norm(), passes_of(last_norm(), x, 8), 32, residuals=True)
    assert (found.count, found.added) == (1, 1)
    expected = run_float(last_norm(), x)
    np.testing.assert_allclose(run_float(found.model, x), expected, rtol=1e-4, atol=1e-4)
    before, after = (largest(m, "n", x) for m in (last_norm(), found.model))
    assert after.max() / np.median(after) < 0.3 * before.max() / np.median(before)


def test_a_residual_is_only_touched_where_that_is_clearly_nearer() -> None:
    """With channels of one size there is nothing to win, and the node that takes the factors back stays away."""
    x, part = floats(32, 6, K), QuantPart(samples=32, bias_correction=False)
    flat = last_norm()
    flat.graph.initializers["gain"].const_value = ir.tensor(np.ones(K, np.float32))
    flat.graph.initializers["shift"].const_value = ir.tensor(np.ones(K, np.float32))
    for found, kept in ((last_norm(), True), (flat, False)):
        result = quant.quantize(
            found, passes_of(found, x, 8), activations="uint8", part=part, reduce_range=True
        )
        (note,) = [n for n in result.notes if n.name == "smoothing"]
        assert note.kept is kept
        assert ("Mul" in [n.op_type for n in result.model.graph]) is kept


def quantised(*, smoothed: bool) -> quant.Quantised:
    part = QuantPart(samples=32, smooth=smoothed, bias_correction=False)
    x = floats(32, 6, K)
    passes = passes_of(norm(), x, 8)
    # Exact on every CPU: the difference is that of smoothing alone.
    return quant.quantize(norm(), passes, activations="uint8", part=part, reduce_range=True)


def test_int8_with_large_channels_comes_nearer_and_the_note_says_so() -> None:
    on, off = quantised(smoothed=True), quantised(smoothed=False)
    passes = passes_of(norm(), floats(32, 6, K), 8)
    before, after = output_errors(norm(), [off.model, on.model], passes, 32)
    (note,) = [n for n in on.notes if n.name == "smoothing"]
    assert note.kept
    assert note.numbers == pytest.approx({"before": before, "after": after})
    assert after < before


def test_smoothing_is_undone_when_outputs_do_not_come_nearer() -> None:
    """Each output reads one channel, whose weight is exact: nothing to gain, and channels of other sizes to lose by."""
    found = model(
        [
            node("LayerNormalization", ["x", "gain"], ["n"]),
            node("MatMul", ["n", "q"], ["y"]),
        ],
        {"gain": np.ones(K, np.float32), "q": np.eye(K, 5, dtype=np.float32)},
        (6, K),
    )
    result = quant.quantize(
        found,
        passes_of(found, floats(32, 6, K), 8),
        activations="uint8",
        part=QuantPart(samples=32, bias_correction=False),
        reduce_range=True,
    )
    (note,) = [n for n in result.notes if n.name == "smoothing"]
    assert not note.kept
    assert note.why.startswith("undone")
