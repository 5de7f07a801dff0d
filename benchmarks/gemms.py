"""Models of several products of one activation with 4-bit weights, each product with its own weights and output."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from benchmarks.chains import BITS, SCALE, Graph, Weights, packed, weights
from squeeze import ops

K, N = 384, 1536
ROWS = (1, 16, 128)
BLOCKS = (32, 128)
FLOAT, U8, INT32 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT32


def qcodebook(rows: int, count: int) -> bytes:
    """QCodebookGemm: u8 to u8, a codebook of int8 values per output."""
    graph = _quantised()
    for i, made in enumerate(_weights(count)):
        inputs = [
            "x",
            "scale",
            "zero",
            graph.constant(packed(made.indices), f"i{i}"),
            graph.constant(made.codebook, f"k{i}"),
            graph.constant(made.scale, f"ws{i}"),
            graph.constant(made.bias, f"b{i}"),
            "scale",
            "zero",
        ]
        graph.add("QCodebookGemm", inputs, f"y{i}", ops.DOMAIN, w_shape=[N, K], bits=BITS, bucket=K)
    return _finish(graph, rows, count, (U8, U8))


def codebook(rows: int, count: int) -> bytes:
    """CodebookGemm: float to float, a codebook of float values per output."""
    graph = Graph()
    for i, made in enumerate(_weights(count)):
        books = made.codebook.astype(np.float32) * made.scale[:, None]
        inputs = [
            "x",
            graph.constant(packed(made.indices), f"i{i}"),
            graph.constant(books, f"k{i}"),
            graph.constant(made.bias.astype(np.float32) * np.float32(SCALE), f"b{i}"),
        ]
        graph.add("CodebookGemm", inputs, f"y{i}", ops.DOMAIN, w_shape=[N, K], bits=BITS, bucket=K)
    return _finish(graph, rows, count, (FLOAT, FLOAT))


def matmulnbits(rows: int, count: int, block: int, level: int = 4) -> bytes:
    """MatMulNBits, the runtime's own 4-bit product, float to float: in int8 (accuracy level 4), or in float (1)."""
    graph = Graph()
    rng = np.random.default_rng(0)
    for i in range(count):
        inputs = [
            "x",
            graph.constant(
                rng.integers(0, 256, (N, K // block, block // 2), dtype=np.uint8), f"w{i}"
            ),
            graph.constant(rng.uniform(0.01, 0.02, N * K // block).astype(np.float32), f"s{i}"),
        ]
        attributes = {"K": K, "N": N, "bits": BITS, "block_size": block, "accuracy_level": level}
        graph.add("MatMulNBits", inputs, f"y{i}", "com.microsoft", **attributes)
    return _finish(graph, rows, count, (FLOAT, FLOAT))


def matmul(rows: int, count: int) -> bytes:
    """MatMul in float32."""
    graph = Graph()
    for i, made in enumerate(_weights(count)):
        w = (made.w.astype(np.float32) * made.scale[:, None]).T
        graph.add("MatMul", ["x", graph.constant(w, f"w{i}")], f"y{i}")
    return _finish(graph, rows, count, (FLOAT, FLOAT))


def matmulinteger(rows: int, count: int) -> bytes:
    """MatMulInteger: u8 times 8-bit weights to int32, not requantised."""
    graph = _quantised()
    graph.constant(np.asarray(np.int8(0)), "w_zero")
    for i, made in enumerate(_weights(count)):
        w = graph.constant(made.w.T, f"w{i}")
        graph.add("MatMulInteger", ["x", w, "zero", "w_zero"], f"y{i}")
    return _finish(graph, rows, count, (U8, INT32))


def macs(rows: int) -> int:
    """Of one product."""
    return rows * K * N


def moved_bytes(rows: int, value_bytes: int, book_bytes: int) -> int:
    """Activations of `value_bytes` each, packed indices and codebooks of `book_bytes` a value, each once."""
    return rows * (K + N) * value_bytes + N * K * BITS // 8 + N * 2**BITS * book_bytes


def _weights(count: int) -> list[Weights]:
    return [weights((N, K), i) for i in range(count)]


def _quantised() -> Graph:
    graph = Graph()
    graph.constant(np.asarray(np.float32(SCALE)), "scale")
    graph.constant(np.asarray(np.uint8(0)), "zero")
    return graph


def _finish(graph: Graph, rows: int, count: int, kinds: tuple[int, int]) -> bytes:
    return graph.model((rows, K), [f"y{i}" for i in range(count)], (rows, N), kinds)
