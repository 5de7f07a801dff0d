"""Between float graphs and trained networks: ONNX Runtime has to compute what torch does, in both directions."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
import torch

from squeeze import graph
from squeeze.errors import UnsupportedError
from squeeze.quant.weights.weighted import Codes
from squeeze.train.quantised.door import network_of, to_float, to_qdq, trained
from tests.graph.small import floats, model, node
from tests.quant.families import FAMILIES, inputs
from tests.quant.families import model as family
from tests.train.quantised.nets import forward, move, quantised, run, trainable


def relative(got: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(got - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("name", FAMILIES)
def test_network_computes_what_the_float_graph_does(name: str) -> None:
    x = inputs(name, 24)
    network = trainable(family(name), x)
    assert relative(forward(network, x), run(family(name), x)) < 1e-4


@pytest.mark.parametrize("name", ["concatenated", "depthwise", "signal"])
def test_rescaled_weights_have_the_size_of_a_fresh_network(name: str) -> None:
    network = trainable(family(name), inputs(name, 24))
    for layer in network.norms:
        conv = network.layers[layer]
        fan_out = conv.out_channels * np.prod(conv.kernel_size)  # He-normal, as torch counts
        sizes = conv.weight.square().mean(tuple(range(1, conv.weight.ndim))).sqrt().detach()
        np.testing.assert_allclose(sizes, np.sqrt(2 / fan_out), rtol=1e-5)


@pytest.mark.parametrize("name", ["depthwise", "residual", "signal"])
def test_normalisation_gives_normal_values_in_training(name: str) -> None:
    x = inputs(name, 64)
    network = trainable(family(name), x)
    before = {k: (n.running_mean.clone(), n.running_var.clone()) for k, n in network.norms.items()}
    network.estimate_norms(iter(torch.from_numpy(x).chunk(1)))
    for layer, norm in network.norms.items():
        mean, variance = before[layer]
        np.testing.assert_allclose(
            norm.running_mean, mean, atol=2e-3 * float(variance.max()) ** 0.5
        )
        np.testing.assert_allclose(norm.running_var, variance, rtol=2e-2, atol=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_to_float_takes_over_what_was_trained(name: str) -> None:
    x = inputs(name, 24)
    network = trainable(family(name), x)
    move(network)
    found = run(to_float(family(name), network), x)
    assert relative(found, forward(network, x)) < 1e-4
    assert relative(found, run(family(name), x)) > 1e-2


def agree(network: object, quantised_model: ir.Model, x: np.ndarray) -> None:
    """Roundings at the middle between two integers may fall to either side, and few classes may change by that."""
    expected, got = forward(network, x), run(quantised_model, x)
    assert (got.argmax(1) == expected.argmax(1)).mean() >= 0.97
    difference = np.abs(got - expected) / np.abs(expected).max()
    # A step more than where outputs are float: an integer output moves by whole steps, of 1/251 here.
    assert np.median(difference) < 1.5 / 255
    assert np.quantile(difference, 0.97) < 4 / 255


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_file_computes_what_was_trained(name: str, bits: int) -> None:
    x = inputs(name, 128)
    network = trainable(family(name), x)
    quantised(network, "codebook", bits, x)
    agree(network, to_qdq(family(name), trained(network), "uint8"), x)


@pytest.mark.parametrize("name", FAMILIES)
def test_integers_behind_the_last_layer_are_trained_and_written(name: str) -> None:
    x = inputs(name, 128)
    network = network_of(
        family(name), lambda: iter(torch.from_numpy(x).chunk(2)), integer_outputs=True
    )
    quantised(network, "lsq", 8, x)
    file = to_qdq(family(name), trained(network), "uint8", integer_outputs=True)
    last = file.graph.outputs[0].producer()
    assert last is not None
    assert last.op_type == "DequantizeLinear"
    assert len(np.unique(run(file, x))) <= 256
    agree(network, file, x)


def test_free_sizes_are_trained_at_the_data_s_and_stay_free_in_the_file() -> None:
    def open_height() -> ir.Model:
        nodes = [
            node("Conv", ["x", "k"], ["c"], auto_pad="SAME_UPPER", strides=[2, 2]),
            node("Relu", ["c"], ["r"]),
            node("GlobalAveragePool", ["r"], ["p"]),
            node("Shape", ["p"], ["s"]),
            node("Slice", ["s", "zero", "one", "zero"], ["n"]),
            node("Concat", ["n", "rest"], ["to"], axis=0),
            node("Reshape", ["p", "to"], ["f"]),
            node("MatMul", ["f", "w"], ["y"]),
        ]
        constants = {"k": floats(8, 3, 3, 3), "w": floats(8, 4, seed=1)}
        constants |= {n: np.array([i]) for n, i in (("zero", 0), ("one", 1), ("rest", -1))}
        return model(nodes, constants, [3, "h", 9], opset=17)

    x = floats(128, 3, 10, 9)
    given = open_height()
    network = trainable(given, x)
    assert relative(forward(network, x), run(given, x)) < 1e-4
    quantised(network, "lsq", 8, x)
    written = to_qdq(given, trained(network), "uint8")
    agree(network, written, x)
    other = floats(16, 3, 15, 9, seed=2)
    assert relative(run(written, other), run(given, other)) < 0.05


@pytest.mark.parametrize("kind", ["lsq", "uniform", "codebook"])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_file_computes_what_was_trained_when_all_has_moved(name: str, kind: str) -> None:
    x = inputs(name, 128)
    network = trainable(family(name), x)
    quantised(network, kind, 4, x)
    move(network)
    agree(network, to_qdq(family(name), trained(network), "uint8"), x)


@pytest.mark.parametrize("name", ["depthwise", "signal"])
def test_signed_activations(name: str) -> None:
    x = inputs(name, 128)
    network = trainable(family(name), x)
    quantised(network, "lsq", 4, x, low=-128)
    agree(network, to_qdq(family(name), trained(network), "int8"), x)


def test_a_grid_that_learned_to_reach_beyond_a_clip() -> None:
    x = 4 * inputs("depthwise", 128)
    network = trainable(family("depthwise"), x)
    quantised(network, "lsq", 8, x)
    with torch.no_grad():
        for quantiser in network.activations.values():
            quantiser.step.mul_(1.3)
    agree(network, to_qdq(family("depthwise"), trained(network), "uint8"), x)


def wide(channels: int = 64) -> ir.Model:
    """Layers that are large enough for packed weights to pay."""
    c = channels
    return model(
        [
            node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
            node("Relu", ["c1"], ["r1"]),
            node("Conv", ["r1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1]),
            node("Relu", ["c2"], ["r2"]),
            node("Conv", ["r2", "w3", "b3"], ["c3"], pads=[1, 1, 1, 1]),
            node("Relu", ["c3"], ["r3"]),
            node("GlobalAveragePool", ["r3"], ["g"]),
            node("Flatten", ["g"], ["f"]),
            node("Gemm", ["f", "w4", "b4"], ["y"], transB=1),
        ],
        {
            "w1": floats(c, 3, 3, 3) / 5,
            "b1": floats(c, seed=1) / 5,
            "w2": floats(c, c, 3, 3, seed=2) / 24,
            "b2": floats(c, seed=3) / 5,
            "w3": floats(c, c, 3, 3, seed=4) / 24,
            "b3": floats(c, seed=5) / 5,
            "w4": floats(5, c, seed=6) / 8,
            "b4": floats(5, seed=7),
        },
        (3, 8, 8),
    )


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("kind", ["codebook", "lsq"])
def test_trained_layers_are_packed(kind: str, bits: int) -> None:
    x = floats(64, 3, 8, 8, seed=9)
    network = trainable(wide(), x)
    quantised(network, kind, bits, x)
    file = to_qdq(wide(), trained(network), "uint8")
    lowered, notes = graph.lower(file)
    packed = next(n for n in notes if n.name == "packed weights")
    assert packed.why == f"2 layers in {bits} bits"
    assert packed.numbers["int8_bytes"] == 2 * 64 * 64 * 9
    # A codebook serves the layer: bits / 8 of the bytes and one book of up to 16 values for each.
    assert packed.numbers["packed_bytes"] <= 2 * (64 * 64 * 9 * bits / 8 + 16)
    got, expected = run(lowered, x), run(file, x)
    assert np.abs(got - expected).max() / np.abs(expected).max() < 2 / 255


def test_a_channel_that_was_switched_off_keeps_its_bias() -> None:
    x = floats(64, 3, 8, 8, seed=9)
    network = trainable(wide(), x)
    quantised(network, "codebook", 4, x)
    layer = list(network.weighted)[1]
    with torch.no_grad():
        norm = network.norms[layer]
        norm.weight[3] = 1e-6  # as small as training lets it get
        norm.weight[4] = 1e-12
        norm.running_mean[3:5], norm.bias[3:5] = 0, torch.tensor([0.8, 0.5])
    found = trained(network)
    file = to_qdq(wide(), found, "uint8")
    agree(network, file, x)
    expected, got = forward(network, x), run(file, x)
    np.testing.assert_allclose(got, expected, atol=np.abs(expected).max() * 4 / 255)
    # Still one codebook for the layer.
    packed = next(n for n in graph.lower(file)[1] if n.name == "packed weights")
    assert packed.why == "2 layers in 4 bits"
    assert packed.numbers["packed_bytes"] <= 2 * (64 * 64 * 9 / 2 + 16)


def test_normalisation_is_folded_by_hand() -> None:
    x = floats(16, 3, 8, 8, seed=9)
    network = trainable(wide(), x)
    quantised(network, "lsq", 4, x)
    layer, output = next(iter(network.weighted.items()))
    with torch.no_grad():
        network.norms[layer].weight.mul_(1.5)
        network.norms[layer].bias.add_(0.25)
    norm = network.norms[layer]
    found: Codes = trained(network).weights[output]
    deviation = np.sqrt(norm.running_var.numpy() + 1e-5)
    factor = norm.weight.detach().numpy() / deviation
    step = network.weight_quantisers[layer].step.detach().numpy()
    np.testing.assert_allclose(found.scales, step * factor, rtol=1e-6)
    assert found.bias is not None
    expected = norm.bias.detach().numpy() - norm.running_mean.numpy() * factor
    np.testing.assert_allclose(found.bias, expected, rtol=1e-5, atol=1e-6)
    assert found.integers.dtype == np.int8


def test_what_the_file_does_not_take_over_does_not_learn() -> None:
    found = model(
        [
            node("Conv", ["x", "w"], ["c"]),
            node("Erf", ["c"], ["e"]),
            node("Mul", ["e", "m"], ["s"]),
            node("BatchNormalization", ["s", "g", "b", "mean", "var"], ["n"]),
            node("Flatten", ["n"], ["f"]),
            node("Gemm", ["f", "w2"], ["y"]),
        ],
        {
            "w": floats(4, 3, 3, 3) / 5,
            "m": floats(4, 1, 1),
            "g": floats(4, seed=1),
            "b": floats(4, seed=2),
            "mean": floats(4, seed=3),
            "var": np.abs(floats(4, seed=4)) + 0.5,
            "w2": floats(144, 5, seed=5) / 12,
        },
        (3, 8, 8),
    )
    x = floats(16, 3, 8, 8, seed=6)
    network = trainable(found, x)
    learning = {name for name, p in network.named_parameters() if p.requires_grad}
    assert not any("constants" in n or "batchnorm" in n for n in learning)
    network.train()(torch.from_numpy(x))
    move(network)
    assert relative(run(to_float(found, network), x), forward(network, x)) < 1e-4


def test_slopes_learn_and_are_in_the_file() -> None:
    x = inputs("sloped", 24)
    network = trainable(family("sloped"), x)
    slopes = [p for n, p in network.named_parameters() if "constants" in n and p.requires_grad]
    # Two layers have the same slopes, which are one constant of the graph.
    assert sorted(p.numel() for p in slopes) == [1, 8, 16]
    with torch.no_grad():
        for slope in slopes:
            slope.mul_(0.5)
    changed = to_float(family("sloped"), network)
    assert relative(run(changed, x), forward(network, x)) < 1e-4
    assert relative(run(changed, x), run(family("sloped"), x)) > 1e-3


def test_gain_and_shift_of_instance_normalisation_learn_and_are_in_the_file() -> None:
    found = model(
        [
            node("Conv", ["x", "w"], ["c"]),
            node("InstanceNormalization", ["c", "g", "b"], ["n"], epsilon=1e-3),
            node("Relu", ["n"], ["r"]),
            node("Flatten", ["r"], ["f"]),
            node("Gemm", ["f", "w2"], ["y"]),
        ],
        {
            "w": floats(4, 3, 3, 3) / 5,
            "g": np.abs(floats(4, seed=1)) + 0.5,
            "b": floats(4, seed=2),
            "w2": floats(144, 5, seed=5) / 12,
        },
        (3, 8, 8),
    )
    x = floats(16, 3, 8, 8, seed=6)
    network = trainable(found, x)
    assert relative(forward(network, x), run(found, x)) < 1e-4
    learning = network.learned_floats()
    assert sorted(learning) == [("n", 1), ("n", 2)]
    assert all(p.requires_grad for p in learning.values())
    with torch.no_grad():
        for p in learning.values():
            p.add_(0.5)
    changed = to_float(found, network)
    assert relative(run(changed, x), forward(network, x)) < 1e-4
    assert relative(run(changed, x), run(found, x)) > 1e-2


def test_network_of_leaves_the_graph_as_it_is() -> None:
    found = family("residual")
    before = graph.to_bytes(found)
    network = trainable(found, inputs("residual", 8))
    quantised(network, "lsq", 4, inputs("residual", 8))
    to_float(found, network)
    to_qdq(found, trained(network), "uint8")
    assert graph.to_bytes(found) == before


def test_network_of_refuses_operators_that_torch_does_not_know() -> None:
    found = model([node("Det", ["x"], ["z"]), node("Neg", ["z"], ["y"])], {}, (4, 4))
    with pytest.raises(UnsupportedError, match="Det 'z' is not known to torch training"):
        network_of(found, list)
