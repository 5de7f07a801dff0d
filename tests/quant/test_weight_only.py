"""Weights in blocks: what they stand for, what GPTQ wins, and that the runtime multiplies with those numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

import squeeze
from squeeze import graph, runtimes
from squeeze.account.sizes import account, is_float
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.progress import Progress
from squeeze.quant.weight_only import BLOCK, DOMAIN, in_blocks
from squeeze.quant.weights.gptq import Blocked, error, rounded
from squeeze.spec import QuantPart
from tests.feeds import passes_of
from tests.graph.small import Array, floats, model, node

WIDTH = 80  # of which the last block is half full


def correlated(count: int, width: int, seed: int = 0) -> Array:
    return (floats(count, width, seed=seed) @ floats(width, width, seed=seed + 1)).astype(
        np.float32
    )


def two_products(**attributes: float) -> ir.Model:
    nodes = [
        node("MatMul", ["x", "w"], ["h"]),
        node("Relu", ["h"], ["a"]),
        node("Gemm", ["a", "v", "c"], ["y"], transB=1, **attributes),
    ]
    weights = {"w": floats(WIDTH, 128, seed=3), "v": floats(64, 128, seed=4), "c": floats(64)}
    return model(nodes, weights, (WIDTH,))


def run(found: ir.Model, x: Array) -> Array:
    return runtimes.run(runtimes.session(graph.to_bytes(found)), x)


@pytest.mark.parametrize("bits", [4, 8])
def test_a_block_is_within_half_a_step_of_its_weights(bits: int) -> None:
    weights = floats(6, WIDTH).astype(np.float64) * np.geomspace(1e-6, 1e6, 6)[:, None]
    found = rounded(weights, bits, BLOCK)
    assert found.scales.shape == (6, 3)
    steps = np.abs(np.repeat(found.scales, BLOCK, axis=1)[:, :WIDTH])
    inside = (found.integers > 0) & (found.integers < 2**bits - 1)
    assert (np.abs(found.weights() - weights)[inside] <= 0.5001 * steps[inside]).all()
    assert np.mean((found.weights() - weights) ** 2 / np.mean(weights**2, axis=1)[:, None]) < 0.01


def test_zeros_stay_zeros() -> None:
    assert not rounded(np.zeros((3, WIDTH)), 4, BLOCK, np.eye(WIDTH)).weights().any()


def test_inputs_that_have_nothing_in_common_are_rounded_to_nearest() -> None:
    weights = floats(5, WIDTH).astype(np.float64)
    plain, found = rounded(weights, 4, BLOCK), rounded(weights, 4, BLOCK, 3.0 * np.eye(WIDTH))
    np.testing.assert_array_equal(found.integers, plain.integers)
    np.testing.assert_array_equal(found.scales, plain.scales)


def test_the_second_column_makes_up_for_the_first() -> None:
    """Two inputs that are next to equal: only the sum of their weights counts. 3.4 and 2.4 of steps of 1 (the third
    column sets the scale) are 3 and 2 to nearest, 5 in all; 3 and 3 are nearer to their 5.8."""
    weights = np.array([[3.4, 2.4, -8.0]])
    moments = np.array([[1.0, 0.999, 0.0], [0.999, 1.0, 0.0], [0.0, 0.0, 1.0]])
    plain, found = rounded(weights, 4, 3), rounded(weights, 4, 3, moments)
    np.testing.assert_allclose(plain.weights(), [[3, 2, -8]], atol=1e-6)
    np.testing.assert_allclose(found.weights(), [[3, 3, -8]], atol=1e-6)
    assert error(weights, found, moments) < error(weights, plain, moments)


@pytest.mark.parametrize("width", [WIDTH, 300])
def test_correlated_inputs_lose_less(width: int) -> None:
    x = correlated(1000, width).astype(np.float64)
    moments = x.T @ x / len(x)
    weights = floats(32, width, seed=9).astype(np.float64)

    def lost(found: Blocked) -> float:
        return float(np.mean(((found.weights() - weights) @ x.T) ** 2))

    assert lost(rounded(weights, 4, BLOCK, moments)) < 0.6 * lost(rounded(weights, 4, BLOCK))


@pytest.mark.parametrize("bits", [4, 8])
def test_the_runtime_multiplies_with_the_numbers_of_the_blocks(bits: int) -> None:
    x = correlated(64, WIDTH)
    exact, found = two_products(), two_products()
    notes = in_blocks(found, passes_of(found, x), 64, bits=bits, progress=Progress())
    assert [n.op_type for n in found.graph] == ["MatMulNBits", "Relu", "MatMulNBits", "Add"]
    assert len(notes) == 2
    data = graph.to_bytes(found)
    assert (
        len(data) < len(graph.to_bytes(exact)) * 1.2 * (bits + 1.6) / 32
    )  # the last block of 80 columns is padded
    # The first product alone, with the weights taken apart by hand; the runtime's activations are in int8.
    first = found.graph.node(0)
    assert first.domain == DOMAIN
    packed, scales = (first.inputs[i].const_value.numpy() for i in (1, 2))
    nibbles = np.stack([packed & 15, packed >> 4], -1) if bits == 4 else packed
    integers = nibbles.reshape(128, -1).astype(np.float64) - 2 ** (bits - 1)
    weights = (integers.reshape(128, -1, BLOCK) * scales.reshape(128, -1, 1)).reshape(128, -1)
    second = exact.graph.node(2)
    hidden = np.maximum(x @ weights[:, :WIDTH].T, 0)
    last = second.inputs[1].const_value.numpy()
    near = hidden @ last.T + second.inputs[2].const_value.numpy()
    got = run(found, x)
    assert np.sqrt(np.mean((got - near) ** 2)) < (0.12 if bits == 4 else 0.02) * near.std()


def test_what_is_scaled_or_read_twice_stays_float() -> None:
    found = two_products(alpha=0.5)
    w = found.graph.node(0).inputs[1]
    found.graph.append(ir.Node("", "Identity", [w], name="again"))
    assert not in_blocks(
        found, passes_of(found, correlated(64, WIDTH)), 64, bits=4, progress=Progress()
    )
    assert [n.op_type for n in found.graph] == ["MatMul", "Relu", "Gemm", "Identity"]


def test_a_file_with_blocks_counts_their_bytes(tmp_path: Path) -> None:
    found = two_products()
    x = correlated(64, WIDTH)
    in_blocks(found, passes_of(found, x), 64, bits=4, progress=Progress())
    graph.save(found, tmp_path / "blocks.onnx")
    assert not is_float(tmp_path / "blocks.onnx")
    sizes = account(tmp_path / "blocks.onnx")
    assert sizes.quantised == WIDTH * 128 + 128 * 64
    assert sizes.unquantised == 64  # the bias
    # 80 columns are 3 blocks of 32.
    assert sizes.index_bytes == 128 * 96 // 2 + 64 * 128 // 2
    assert sizes.scale_bytes == 4 * (128 * 3 + 64 * 4)


def test_quantize_writes_weights_alone(tmp_path: Path) -> None:
    ir.save(two_products(), tmp_path / "net.onnx")
    np.save(tmp_path / "x.npy", correlated(300, WIDTH))
    found = squeeze.quantize(
        str(tmp_path / "net.onnx"),
        tmp_path / "out.onnx",
        calib=str(tmp_path / "x.npy"),
        weights_only=True,
        bits=4,
        drop=5,
        aim="size",
    )
    assert found["bits"] == 4
    assert "as asked" in found["float_arithmetic"]
    counted = graph.count_ops(ir.load(tmp_path / "out.onnx"))
    assert counted[f"{DOMAIN}::MatMulNBits"] == 2
    assert "QuantizeLinear" not in counted


@pytest.mark.parametrize(
    ("options", "error_type", "words"),
    [
        ({"bits": 2}, ConfigError, "allowed: 4 or 8 bits"),
        ({"target": "litert-cpu"}, UnsupportedError, "has no MatMulNBits"),
    ],
)
def test_what_has_no_blocks_is_refused(
    tmp_path: Path, options: dict[str, object], error_type: type[Exception], words: str
) -> None:
    ir.save(two_products(), tmp_path / "net.onnx")
    np.save(tmp_path / "x.npy", correlated(60, WIDTH))
    with pytest.raises(error_type, match=words):
        squeeze.quantize(
            str(tmp_path / "net.onnx"),
            tmp_path / "out.onnx",
            calib=str(tmp_path / "x.npy"),
            weights_only=True,
            **options,  # type: ignore[arg-type]
        )
    assert not (tmp_path / "out.onnx").exists()


def test_recipes_have_the_key() -> None:
    assert not QuantPart().weights_only
