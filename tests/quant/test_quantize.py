"""The whole of quantisation: same bytes, bounded memory, better biases, honest notes, clear refusals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from squeeze import graph, quant, runtimes
from squeeze.errors import ConfigError
from squeeze.note import Note
from squeeze.progress import Progress
from squeeze.quant.output_error import output_errors
from squeeze.spec import QuantPart
from tests.feeds import passes_of
from tests.graph.small import Array, floats, model, node
from tests.quant.families import inputs
from tests.quant.families import model as family

PART = QuantPart(samples=64)


def network() -> ir.Model:
    """Three convolutions with a residual, pooled and classified."""
    return model(
        [
            node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
            node("Relu", ["c1"], ["r1"]),
            node("Conv", ["r1", "w2"], ["c2"], pads=[1, 1, 1, 1]),
            node("Add", ["r1", "c2"], ["s"]),
            node("Relu", ["s"], ["r2"]),
            node("Conv", ["r2", "w3"], ["c3"], strides=[2, 2]),
            node("GlobalAveragePool", ["c3"], ["g"]),
            node("Flatten", ["g"], ["f"]),
            node("Gemm", ["f", "w4", "b4"], ["y"]),
        ],
        {
            "w1": floats(8, 3, 3, 3) / 5,
            "b1": floats(8, seed=1),
            "w2": floats(8, 8, 3, 3, seed=2) / 9,
            "w3": floats(12, 8, 1, 1, seed=3) / 3,
            "w4": floats(12, 5, seed=4),
            "b4": floats(5, seed=5),
        },
        (3, 12, 12),
    )


def quantised(
    part: QuantPart = PART, *, seed: int = 0, size: int = 16, **options: bool
) -> quant.Quantised:
    x = floats(64, 3, 12, 12, seed=seed)
    return quant.quantize(
        network(), passes_of(network(), x, size), activations="uint8", part=part, **options
    )


def run(found: ir.Model, x: Array) -> Array:
    return runtimes.run(runtimes.session(graph.to_bytes(found)), x)


def test_same_arguments_give_the_same_bytes() -> None:
    assert graph.to_bytes(quantised().model) == graph.to_bytes(quantised().model)


def test_ranges_do_not_depend_on_how_samples_are_batched() -> None:
    part = QuantPart(samples=64, bias_correction=False)
    assert graph.to_bytes(quantised(part, size=5).model) == graph.to_bytes(
        quantised(part, size=64).model
    )


def test_the_float_model_stays_as_it_is() -> None:
    found = network()
    before = graph.to_bytes(found)
    quant.quantize(found, passes_of(found, floats(8, 3, 12, 12)), activations="uint8", part=PART)
    assert graph.to_bytes(found) == before


@pytest.mark.parametrize("observer", ["minmax", "mse", "percentile"])
def test_outputs_stay_near_the_float_ones(observer: str) -> None:
    x = floats(64, 3, 12, 12, seed=7)
    part = QuantPart(samples=64, observer=observer)  # type: ignore[arg-type]
    expected, got = run(network(), x), run(quantised(part).model, x)
    assert np.sqrt(np.mean((got - expected) ** 2)) < 0.05 * expected.std()


def test_weights_are_int8_per_channel_and_biases_int32() -> None:
    found = quantised().model.graph.initializers
    weights = {
        n: v for n, v in found.items() if v.dtype == ir.DataType.INT8 and len(v.shape or []) > 1
    }
    biases = [v for n, v in found.items() if n.endswith("_bias")]
    assert sorted(tuple(v.shape) for v in weights.values() if v.shape) == [
        (8, 3, 3, 3),
        (8, 8, 3, 3),
        (12, 5),
        (12, 8, 1, 1),
    ]
    assert [v.dtype for v in biases] == [ir.DataType.INT32] * 4


def weights(found: ir.Model) -> list[NDArray[np.int64]]:
    """The integer weights in the order of the graph."""
    layers = [n for n in found.graph if n.op_type in ("Conv", "Gemm", "MatMul")]
    arrays = []
    for layer in layers:
        dequantise = layer.inputs[1].producer() if layer.inputs[1] is not None else None
        assert dequantise is not None
        assert dequantise.inputs[0] is not None
        assert dequantise.inputs[0].const_value is not None
        arrays.append(dequantise.inputs[0].const_value.numpy().astype(np.int64))
    return arrays


@pytest.mark.parametrize("adaround", [False, True], ids=["nearest", "adaround"])
def test_reduced_range_leaves_no_pair_of_products_that_saturates(*, adaround: bool) -> None:
    """Neighbours along the channels, times 255, stay within int16."""
    part = QuantPart(samples=64, adaround=adaround)
    full, reduced = (weights(quantised(part, reduce_range=on).model) for on in (False, True))

    def worst(arrays: list[NDArray[np.int64]]) -> int:
        rows = [np.moveaxis(w, 1, -1).reshape(len(w), -1) for w in arrays[1:3]]
        return max(int(np.abs(r[:, ::2] + r[:, 1::2]).max()) for r in rows)

    assert 255 * worst(reduced) <= 2**15 - 1
    assert 255 * worst(full) > 2**15 - 1


def test_bias_correction_takes_off_a_shift_of_the_mean() -> None:
    """Weights that all round down shift every output; the correction finds the shift."""
    x = np.abs(floats(64, 16)) + 1
    weights = np.full((16, 4), 0.4, np.float32)
    weights[0] = 127  # one step is 1, so that 0.4 becomes 0
    found = model([node("Gemm", ["x", "w"], ["y"])], {"w": weights}, (16,))
    results = {
        on: quant.quantize(
            found,
            passes_of(found, x),
            activations="uint8",
            part=QuantPart(samples=64, bias_correction=on),
        )
        for on in (True, False)
    }
    shift = {on: float((run(r.model, x) - run(found, x)).mean()) for on, r in results.items()}
    assert shift[False] == pytest.approx(-0.4 * x[:, 1:].sum(axis=1).mean(), abs=1)
    assert abs(shift[True]) < 0.2
    (note,) = [n for n in results[True].notes if n.name == "bias correction"]
    assert note.kept
    assert note.numbers["after"] < note.numbers["before"]


@pytest.mark.parametrize("tokens", [None, 5])
def test_bias_correction_reaches_what_an_add_adds_behind_a_product(tokens: int | None) -> None:
    """As in transformers: MatMul has no bias, an Add behind it has."""
    shape = (16,) if tokens is None else (tokens, 16)
    x = np.abs(floats(64, *shape)) + 1
    weights = np.full((16, 4), 0.4, np.float32)
    weights[0] = 127
    row = floats(4, seed=3)
    nodes = [node("MatMul", ["x", "w"], ["p"]), node("Add", ["b", "p"], ["y"])]
    found = model(nodes, {"w": weights, "b": row}, shape)
    results = {
        on: quant.quantize(
            found,
            passes_of(found, x),
            activations="uint8",
            part=QuantPart(samples=64, bias_correction=on),
        )
        for on in (True, False)
    }
    shift = {on: (run(r.model, x) - run(found, x)).mean() for on, r in results.items()}
    assert shift[False] < -5
    assert abs(shift[True]) < 0.2
    (note,) = [n for n in results[True].notes if n.name == "bias correction"]
    assert note.kept
    # What the model itself has is as it was.
    np.testing.assert_array_equal(found.graph.initializers["b"].const_value.numpy(), row)  # type: ignore[union-attr]


def test_row_that_two_products_share_is_corrected_for_each() -> None:
    """Exporters store equal rows, such as those of zeros, once."""
    nodes = [
        node("MatMul", ["x", "w"], ["p"]),
        node("Add", ["p", "b"], ["a"]),
        node("MatMul", ["x", "v"], ["q"]),
        node("Add", ["q", "b"], ["c"]),
        node("Concat", ["a", "c"], ["y"], axis=2),
    ]
    x = np.abs(floats(64, 5, 16)) + 1
    down, up = np.full((16, 4), 0.4, np.float32), np.full((16, 4), 0.6, np.float32)
    down[0] = up[0] = 127
    found = model(nodes, {"w": down, "v": up, "b": np.zeros(4, np.float32)}, (5, 16))
    result = quant.quantize(
        found, passes_of(found, x), activations="uint8", part=QuantPart(samples=64)
    )
    shift = (run(result.model, x) - run(found, x)).mean(axis=(0, 1))
    assert np.abs(shift).max() < 0.2


def test_bias_correction_is_kept_only_when_outputs_come_nearer() -> None:
    for name in ("residual", "depthwise"):
        x = inputs(name, 64)
        plain, corrected = (
            quant.quantize(
                family(name),
                passes_of(family(name), x),
                activations="uint8",
                part=QuantPart(samples=64, bias_correction=on),
            )
            for on in (False, True)
        )
        without, with_ = output_errors(
            family(name), [plain.model, corrected.model], passes_of(family(name), x), 64
        )
        (note,) = [n for n in corrected.notes if n.name == "bias correction"]
        assert note.kept == (with_ < without)
        assert with_ <= without


def test_notes_say_what_stays_float_and_are_json() -> None:
    import json

    found = model(
        [
            node("Conv", ["x", "w"], ["c"]),
            node("Softmax", ["c"], ["e"]),
            node("Conv", ["e", "w"], ["y"]),
        ],
        {"w": floats(4, 4, 1, 1)},
        (4, 5, 5),
    )
    notes = quant.quantize(
        found, passes_of(found, floats(8, 4, 5, 5)), activations="uint8", part=PART
    ).notes
    assert "Softmax: the runtime has no int8 kernel for it" in [n.why for n in notes]
    json.dumps([n.to_json() for n in notes])


def test_notes_of_recurrent_layers_say_that_weights_alone_are_int8() -> None:
    """Two LSTMs: one of 4 * 64 * (5 + 64) weights, and one of 4 * 4 * (64 + 4), which are too few to be stored."""
    found = model(
        [
            node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
            node("LSTM", ["t", "w", "r"], ["", "h"], hidden_size=64),
            node("LSTM", ["h", "v", "s"], ["", "k"], hidden_size=4),
            node("Transpose", ["k"], ["u"], perm=[1, 0, 2]),
            node("MatMul", ["u", "p"], ["y"]),
        ],
        {
            "w": floats(1, 256, 5),
            "r": floats(1, 256, 64),
            "v": floats(1, 16, 64),
            "s": floats(1, 16, 4),
            "p": floats(4, 3),
        },
        (4, 5),
    )
    notes = quant.quantize(
        found, passes_of(found, floats(8, 4, 5)), activations="uint8", part=PART
    ).notes
    said = [n.why for n in notes if n.name == "left float"]
    assert "LSTM: its weights are int8, its arithmetic is float" in said
    assert "LSTM: the runtime has no int8 kernel for it" in said  # the small one


def test_float_layer_with_int8_weights_is_said_to_be_float_once() -> None:
    """Two Gemm of 64 x 64 weights stay float for two reasons, and have their weights in int8 all the same."""
    found = model(
        [
            node("Gemm", ["x", "w"], ["a"], alpha=2.0),
            node("MatMul", ["a", "m"], ["b"]),
            node("Gemm", ["b", "v"], ["y"]),
        ],
        {"w": floats(64, 64), "m": floats(64, 64, seed=1), "v": floats(64, 64, seed=2)},
        (64,),
    )
    passes = passes_of(found, floats(8, 64))
    made = quant.quantize(found, passes, activations="uint8", part=PART, float_outputs={"y"})
    said = [n.why for n in made.notes if n.name == "left float"]
    assert said == ["2 x Gemm: its weights are int8, its arithmetic is float"]


def test_fixed_batch_is_calibrated_and_keeps_its_batch() -> None:
    found = network()
    found.graph.inputs[0].shape = ir.Shape([4, 3, 12, 12])
    result = quant.quantize(
        found, passes_of(found, floats(10, 3, 12, 12)), activations="uint8", part=PART
    )
    assert list(result.model.graph.inputs[0].shape or []) == [4, 3, 12, 12]
    assert run(result.model, floats(3, 3, 12, 12)).shape == (3, 5)


def test_only_as_many_samples_as_the_recipe_says_are_used() -> None:
    x = floats(64, 3, 12, 12)
    part = QuantPart(samples=20, bias_correction=False)
    loud = np.concatenate([x[:20], 100 * x[20:]])
    first, second = (
        quant.quantize(network(), passes_of(network(), a), activations="uint8", part=part).model
        for a in (x, loud)
    )
    assert graph.to_bytes(first) == graph.to_bytes(second)


def test_progress_reaches_the_end() -> None:
    class Recorded(Progress):
        def __init__(self) -> None:
            self.seen: list[tuple[int, int]] = []

        def update(self, done: int, total: int, note: str = "") -> None:
            self.seen.append((done, total))

    progress = Recorded()
    quant.quantize(
        network(),
        passes_of(network(), floats(64, 3, 12, 12)),
        activations="uint8",
        part=PART,
        progress=progress,
    )
    assert progress.seen[-1] == (64, 64)


@pytest.mark.parametrize("activations", ["uint8", "int8"])
def test_pad_between_convolutions_fills_in_real_zeros(activations: str) -> None:
    found = model(
        [
            node("Conv", ["x", "w"], ["c"]),
            node("Pad", ["c", "pads"], ["p"]),
            node("Conv", ["p", "w"], ["y"]),
        ],
        {"w": floats(4, 4, 1, 1), "pads": np.asarray([0, 0, 1, 1, 0, 0, 1, 1], np.int64)},
        (4, 5, 5),
    )
    x = floats(16, 4, 5, 5)
    result = quant.quantize(
        found,
        passes_of(found, x),
        activations=activations,  # type: ignore[arg-type]
        part=PART,
        reduce_range=True,
    ).model
    expected, got = run(found, x), run(result, x)
    np.testing.assert_allclose(got[:, :, 0], 0, atol=0.02 * expected.std())
    assert np.sqrt(np.mean((got - expected) ** 2)) < 0.05 * expected.std()
    (pad,) = [n for n in result.graph if n.op_type == "Pad"]
    assert pad.inputs[0] is not None
    assert pad.inputs[0].dtype == ir.DataType[activations.upper()]


def test_split_branches_are_int8() -> None:
    found = model(
        [
            node("Conv", ["x", "w"], ["c"]),
            node("Split", ["c"], ["a", "b"], axis=1, num_outputs=2),
            node("Conv", ["a", "v"], ["d"]),
            node("Concat", ["d", "b"], ["e"], axis=1),
            node("Conv", ["e", "w"], ["y"]),
        ],
        {"w": floats(4, 4, 1, 1), "v": floats(2, 2, 1, 1)},
        (4, 5, 5),
    )
    x = floats(16, 4, 5, 5)
    result = quant.quantize(
        found, passes_of(found, x), activations="uint8", part=PART, reduce_range=True
    ).model
    expected, got = run(found, x), run(result, x)
    assert np.sqrt(np.mean((got - expected) ** 2)) < 0.05 * expected.std()


def test_quantised_model_is_left_as_it_is() -> None:
    once = quantised()
    twice = quant.quantize(
        once.model, passes_of(once.model, floats(8, 3, 12, 12)), activations="uint8", part=PART
    )
    assert graph.to_bytes(twice.model) == graph.to_bytes(once.model)
    assert twice.notes[0].why.startswith("already quantised")


def test_old_opset_is_left_with_the_reason() -> None:
    found = model([node("Conv", ["x", "w"], ["y"])], {"w": floats(4, 4, 1, 1)}, (4, 5, 5), opset=11)
    notes = quant.quantize(
        found, passes_of(found, floats(8, 4, 5, 5)), activations="uint8", part=PART
    ).notes
    assert notes == [Note("int8", False, "opset 11 has no scale per channel; 13 is needed")]


def test_no_samples_is_an_error() -> None:
    with pytest.raises(ConfigError, match="calibration: no samples"):
        quant.quantize(
            network(), passes_of(network(), floats(0, 3, 12, 12)), activations="uint8", part=PART
        )


def test_nan_in_the_samples_is_an_error() -> None:
    x = floats(8, 3, 12, 12)
    x[5, 0, 0, 0] = np.nan
    with pytest.raises(ConfigError, match="NaN or infinite"):
        quant.quantize(network(), passes_of(network(), x), activations="uint8", part=PART)


def test_values_that_overflow_inside_the_model_are_an_error() -> None:
    x = np.full((8, 3, 12, 12), 3e38, np.float32)
    with pytest.raises(ConfigError, match="is not finite"):
        quant.quantize(network(), passes_of(network(), x), activations="uint8", part=PART)


def layer_errors(result: quant.Quantised) -> list[float]:
    return [layer.error for layer in result.layers]


def plain(bits: int | dict[str, int], scaling: str = "uniform", **part: bool) -> quant.Quantised:
    x = floats(64, 3, 12, 12)
    options = {"bias_correction": False, **part}
    return quant.quantize(
        network(),
        passes_of(network(), x),
        activations="uint8",
        part=QuantPart(samples=64, **options),  # type: ignore[arg-type]
        bits=bits,
        scaling=scaling,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("bits", [4, 3, 2])
@pytest.mark.parametrize("scaling", ["binary", "codebook", "linear", "ternary", "uniform"])
def test_few_bits_leave_few_integers_within_63_in_all_but_first_and_last(
    bits: int, scaling: str
) -> None:
    result = plain(bits, scaling)
    assert [layer.bits for layer in result.layers] == [8, bits, bits, 8]
    first, *inner, last = weights(result.model)
    assert np.abs(first).max() == np.abs(last).max() == 127
    for w in inner:
        assert np.abs(w).max() <= 63
        assert max(np.unique(channel).size for channel in w) <= 1 << bits


def test_bits_of_named_layers_are_those_and_all_others_have_eight() -> None:
    result = plain({"c2": 3, "y": 4})
    assert [(layer.name, layer.bits) for layer in result.layers] == [
        ("c1", 8),
        ("c2", 3),
        ("c3", 8),
        ("y", 4),
    ]
    assert [layer.weights for layer in result.layers] == [8 * 27, 8 * 72, 12 * 8, 60]


def test_errors_of_layers_are_those_of_the_weights_in_the_file() -> None:
    result = plain(4)
    (real,) = [v for n, v in result.model.graph.initializers.items() if n == "c2_weight_scale"]
    assert real.const_value is not None
    scales = real.const_value.numpy().reshape(-1, 1, 1, 1)
    exact = floats(8, 8, 3, 3, seed=2) / 9
    error = weights(result.model)[1] * scales - exact
    assert result.layers[1].error == pytest.approx((error**2).sum() / (exact**2).sum(), rel=1e-4)


def test_fewer_bits_mean_larger_errors_and_run_in_the_runtime() -> None:
    x = floats(64, 3, 12, 12)
    results = {bits: plain(bits) for bits in (8, 4, 3, 2)}
    errors = [sum(layer_errors(results[b])) for b in (8, 4, 3, 2)]
    assert errors == sorted(errors)
    found = output_errors(
        network(), [r.model for r in results.values()], passes_of(network(), x), 64
    )
    assert found == sorted(found)


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_adaround_brings_outputs_nearer_and_the_note_says_so(bits: int) -> None:
    x = floats(64, 3, 12, 12)
    nearest, rounded = plain(bits), plain(bits, adaround=True)
    before, after = output_errors(
        network(), [nearest.model, rounded.model], passes_of(network(), x), 64
    )
    (note,) = [n for n in rounded.notes if n.name == "adaround"]
    assert note.kept
    assert note.numbers == pytest.approx({"before": before, "after": after})
    assert after < before
    assert [r.bits for r in rounded.layers] == [r.bits for r in nearest.layers]


def test_adaround_is_undone_when_outputs_do_not_come_nearer() -> None:
    """Weights that are on the grid already cannot come nearer."""
    w = np.random.default_rng(0).integers(-127, 128, (5, 16)).astype(np.float32)
    w[:, 0] = 127
    found = model([node("Gemm", ["x", "w"], ["y"], transB=1)], {"w": w}, (16,))
    on, off = (
        quant.quantize(
            found,
            passes_of(found, floats(64, 16)),
            activations="uint8",
            part=QuantPart(samples=64, adaround=adaround, bias_correction=False),
        )
        for adaround in (True, False)
    )
    (note,) = [n for n in on.notes if n.name == "adaround"]
    assert not note.kept
    assert note.why.startswith("undone")
    assert graph.to_bytes(on.model) == graph.to_bytes(off.model)


def test_unknown_layer_bits_or_scaling_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"bits of layers: unknown 'c9'.*Known: c1, c2, c3, y"):
        plain({"c9": 4})
    with pytest.raises(
        ConfigError, match="bits of the layer 'c2': got 5 bits, allowed: 8, 4, 3, 2"
    ):
        plain({"c2": 5})
    with pytest.raises(ConfigError, match="bits: got 1 bits"):
        plain(1)
    with pytest.raises(ConfigError, match=r"scaling of weights: unknown 'unifrom'\. Did you mean"):
        plain(4, "unifrom")


CHILD = """
import sys
import numpy as np
from squeeze import graph, quant
from squeeze.feed import Passes
from squeeze.interface import Interface, TensorSpec
from squeeze.spec import QuantPart
from pathlib import Path

count = int(sys.argv[2])

def begin():
    rng = np.random.default_rng(0)
    for _ in range(count // 40):
        yield {"x": rng.normal(size=(40, 3, 12, 12)).astype(np.float32)}

interface = Interface((TensorSpec("x", "float32", (3, 12, 12)),), (TensorSpec("y", "float32", (5,)),))
passes = Passes(interface, begin)
quant.quantize(graph.load(Path(sys.argv[1])), passes, activations="uint8", part=QuantPart(samples=count))
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_peak_memory_does_not_grow_with_the_number_of_samples(tmp_path: Path) -> None:
    graph.save(network(), tmp_path / "m.onnx")

    def peak_kib(samples: int) -> int:
        command = [sys.executable, "-c", CHILD, str(tmp_path / "m.onnx"), str(samples)]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert peak_kib(2000) < 1.1 * peak_kib(200)
