"""What another quantiser found, in our own form: read by hand numbers, and with nncf itself where it is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from squeeze import graph
from squeeze.progress import Progress
from squeeze.quant.borrowed.build import quantize_borrowed
from squeeze.quant.borrowed.nncf import NncfFailed, borrow, nncf_version
from squeeze.quant.borrowed.read import Borrowed, read_borrowed
from squeeze.spec import QuantPart
from tests.feeds import passes_of
from tests.graph.small import floats, model, node, run

SAMPLES = 24
installed = pytest.mark.skipif(nncf_version() is None, reason="nncf is not installed")


def network() -> ir.Model:
    """Two convolutions and a classifier."""
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"]),
        node("Conv", ["r", "w2", "b2"], ["c2"]),
        node("Relu", ["c2"], ["r2"]),
        node("GlobalAveragePool", ["r2"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "g", "gb"], ["y"]),
    ]
    constants = {"w": floats(8, 3, 3, 3), "b": floats(8, seed=1)}
    constants |= {"w2": floats(8, 8, 3, 3, seed=2) / 8, "b2": floats(8, seed=3)}
    constants |= {"g": floats(8, 4, seed=4), "gb": floats(4, seed=5)}
    return model(nodes, constants, (3, 8, 8))


def images() -> np.ndarray:
    return floats(SAMPLES, 3, 8, 8, seed=6)


def quantised() -> ir.Model:
    passes = passes_of(network(), images())
    made = quantize_borrowed(
        network(),
        passes,
        lambda plain: borrow(plain, passes, SAMPLES),
        activations="uint8",
        part=QuantPart(),
        progress=Progress(),
    )
    return made.model


def test_ranges_and_biases_are_read_from_quantisers_of_either_sign() -> None:
    nodes = [
        node("QuantizeLinear", ["x", "s", "u"], ["xq"]),
        node("DequantizeLinear", ["xq", "s", "u"], ["xd"]),
        node("Gemm", ["xd", "w", "b"], ["h"]),
        node("QuantizeLinear", ["h", "s", "i"], ["hq"]),
        node("DequantizeLinear", ["hq", "s", "i"], ["y"]),
    ]
    constants = {"s": np.float32(0.5), "u": np.uint8(16), "i": np.int8(0)}
    constants |= {"w": floats(2, 2), "b": np.float32([0.25, -3])}
    found = read_borrowed(model(nodes, constants, (2,)).graph)
    # 0.5 * (0 - 16), 0.5 * (255 - 16); 0.5 * -128, 0.5 * 127.
    assert found.ranges == {"x": (-8.0, 119.5), "h": (-64.0, 63.5)}
    assert found.biases["h"].tolist() == [0.25, -3]


def test_of_two_quantisers_of_one_tensor_the_wider_counts() -> None:
    nodes = [
        node("QuantizeLinear", ["x", "s", "u"], ["a"]),
        node("QuantizeLinear", ["x", "s", "i"], ["b"]),
        node("DequantizeLinear", ["a", "s", "u"], ["ad"]),
        node("DequantizeLinear", ["b", "s", "i"], ["bd"]),
        node("Add", ["ad", "bd"], ["y"]),
    ]
    constants = {"s": np.float32(1), "u": np.uint8(0), "i": np.int8(0)}
    assert read_borrowed(model(nodes, constants, (2,)).graph).ranges == {"x": (-128, 255)}


def test_ranges_of_weights_of_channels_and_of_16_bits_are_left() -> None:
    nodes = [
        node("QuantizeLinear", ["w", "s", "z"], ["wq"]),
        node("DequantizeLinear", ["wq", "s", "z"], ["wd"]),
        node("MatMul", ["x", "wd"], ["h"]),
        node("QuantizeLinear", ["h", "each", "zeros"], ["hq"], axis=1),
        node("DequantizeLinear", ["hq", "each", "zeros"], ["hd"], axis=1),
        node("QuantizeLinear", ["hd", "s", "wide"], ["yq"]),
        node("DequantizeLinear", ["yq", "s", "wide"], ["y"]),
    ]
    constants = {"w": floats(2, 2), "s": np.float32(1), "z": np.int8(0)}
    constants |= {"each": np.float32([1, 2]), "zeros": np.zeros(2, np.int8), "wide": np.int16(0)}
    assert read_borrowed(model(nodes, constants, (2,), opset=21).graph) == Borrowed({}, {})


def test_ranges_that_were_found_are_those_in_the_file() -> None:
    passes = passes_of(network(), images())
    made = quantize_borrowed(
        network(),
        passes,
        lambda plain: Borrowed({"x": (-2.0, 3.1)}, {}),
        activations="uint8",
        part=QuantPart(),
        progress=Progress(),
    )
    assert "its ranges for 1 of " in made.notes[0].why
    low, high = read_borrowed(made.model.graph).ranges["x"]
    step = 5.1 / 255
    # The zero point is whole, so that an end moves by half a step at most.
    assert low == pytest.approx(-2.0, abs=step / 2 + 1e-6)
    assert high - low == pytest.approx(5.1, rel=1e-6)


def test_biases_that_make_it_worse_are_undone() -> None:
    passes = passes_of(network(), images())
    made = quantize_borrowed(
        network(),
        passes,
        # What is far below 0 is nothing behind the Relu.
        lambda plain: Borrowed({}, {"c": np.full(8, -50.0)}),
        activations="uint8",
        part=QuantPart(),
        progress=Progress(),
    )
    (note,) = [n for n in made.notes if n.name == "biases of nncf"]
    assert not note.kept
    assert note.why.startswith("undone: ")
    wanted = run(network(), images())
    assert np.abs(run(made.model, images()) - wanted).max() < 0.5 * wanted.std()


@installed
def test_nncf_finds_ranges_of_every_layer_near_the_extremes_and_writes_nothing_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where its telemetry would leave an id before it sends anything.
    monkeypatch.setenv("HOME", str(tmp_path))
    found = borrow(network(), passes_of(network(), images()), SAMPLES)
    x = images().reshape(SAMPLES, -1)
    # It takes the mean over samples of the extremes of each.
    low, high = found.ranges["x"]
    assert low == pytest.approx(x.min(axis=1).mean(), rel=0.02)
    assert high == pytest.approx(x.max(axis=1).mean(), rel=0.02)
    assert {name: bias.shape for name, bias in found.biases.items()} == {
        "c": (8,),
        "c2": (8,),
        "y": (4,),
    }
    assert list(tmp_path.rglob("*")) == []


@installed
def test_file_runs_in_the_stock_runtime_near_the_float_model_with_the_same_bytes_twice() -> None:
    made = quantised()
    assert sum(n.op_type == "QuantizeLinear" for n in made.graph) >= 3
    assert all(n.domain in ("", "ai.onnx") for n in made.graph)
    wanted, got = run(network(), images()), run(made, images())
    # Some hundredths of the spread, as of any int8 file of two convolutions whose ranges clip a little.
    assert np.sqrt(((got - wanted) ** 2).mean()) < 0.08 * wanted.std()
    assert graph.to_bytes(quantised()) == graph.to_bytes(made)


@installed
@pytest.mark.parametrize(
    ("opset", "said"), [(9, "ValidationError: ONNX models with opset version < 10")]
)
def test_what_nncf_refuses_is_a_line(opset: int, said: str) -> None:
    old = model([node("MatMul", ["x", "w"], ["y"])], {"w": floats(6, 6)}, (6,), opset=opset)
    with pytest.raises(NncfFailed, match=said) as e:
        borrow(old, passes_of(old, floats(5, 6)), 4)
    assert "\n" not in str(e.value)


@installed
def test_nothing_that_nncf_quantises_is_said() -> None:
    plain = model([node("Relu", ["x"], ["y"])], {}, (6,))
    with pytest.raises(NncfFailed, match="it quantised nothing"):
        borrow(plain, passes_of(plain, floats(5, 6)), 4)


def test_process_that_is_not_done_in_time_is_ended_and_said() -> None:
    # Shorter than Python needs to start, whether nncf is there or not.
    with pytest.raises(NncfFailed, match=r"it was not done within 0\.001 s"):
        borrow(network(), passes_of(network(), images()), 4, limit_s=0.001)


def test_weights_of_layers_that_stay_float_are_not_stored_in_int8() -> None:
    made = quantize_borrowed(
        wide(),
        passes_of(wide(), images()),
        lambda plain: Borrowed({}, {}),
        activations="uint8",
        part=QuantPart(keep_float=("c2",), bias_correction=False),
        progress=Progress(),
    )
    (kept,) = [n for n in made.model.graph if n.op_type == "Conv" and n.outputs[0].name == "c2"]
    weights = kept.inputs[1]
    assert weights is not None
    assert weights.const_value is not None
    assert np.array_equal(weights.const_value.numpy(), floats(32, 32, 3, 3, seed=2))


def wide() -> ir.Model:
    """Two convolutions, of which the second has weights that are worth storing in int8."""
    nodes = [
        node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"]),
        node("Conv", ["r", "w2"], ["c2"]),
        node("GlobalAveragePool", ["c2"], ["y"]),
    ]
    constants = {"w": floats(32, 3, 3, 3), "w2": floats(32, 32, 3, 3, seed=2)}
    return model(nodes, constants, (3, 8, 8))
