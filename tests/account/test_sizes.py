"""Bytes as the paper counts them, on numbers worked out by hand, and as files of ours have them."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze.account.sizes import (
    account,
    analytic_bytes,
    entropy_bits,
    float_weights,
    huffman_mean_length,
)
from squeeze.errors import ConfigError, MeasureError
from squeeze.graph import compact, lower, save
from squeeze.graph.lower import PACKED
from squeeze.quant.tables import quantise_tables
from tests.graph.qdq import Net
from tests.graph.small import floats, model

SCALE = 0.05


@pytest.mark.parametrize("bits", range(1, 9))
def test_uniform_symbols_need_their_bits(bits: int) -> None:
    counts = [7] * 2**bits
    assert huffman_mean_length(counts) == bits
    assert entropy_bits(counts) == pytest.approx(bits)


def test_huffman_code_worked_out_by_hand() -> None:
    # Lengths 1, 2, 3, 3 for 1/2, 1/4, 1/8, 1/8: the entropy itself.
    assert huffman_mean_length([4, 2, 1, 1]) == entropy_bits([4, 2, 1, 1]) == 1.75
    # CLRS: a 45, b 13, c 12, d 16, e 9, f 5 has 224,000 bits for 100,000 characters.
    assert huffman_mean_length([45, 13, 12, 16, 9, 5]) == 2.24
    assert entropy_bits([1, 3]) == pytest.approx(2 - 0.75 * math.log2(3))
    assert huffman_mean_length([1, 3]) == 1


def test_mean_length_is_between_the_entropy_and_one_bit_more() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        counts = rng.geometric(0.01, rng.integers(2, 40)).tolist()
        entropy, length = entropy_bits(counts), huffman_mean_length(counts)
        assert entropy - 1e-12 <= length < entropy + 1
        assert length == huffman_mean_length([*counts[::-1], 0])


def test_one_symbol_and_none_need_no_bits() -> None:
    for counts in ([], [0, 0], [5], [0, 5]):
        assert huffman_mean_length(counts) == entropy_bits(counts) == 0


def test_analytic_bytes_are_the_sum_of_their_parts() -> None:
    # 100 numbers of 4 bytes, 10,000 weights of 1.5 bits, 8 bytes for each 256 of them, 2 books of 4.
    found = analytic_bytes(
        quantised=10_000, mean_bits=1.5, bucket=256, unquantised=100, codebook_values=8
    )
    assert found == 400 + 1875 + 312.5 + 32
    assert analytic_bytes(quantised=8, mean_bits=4, bucket=None) == 4
    # Where all is quantised: a bucket of 256 takes 256 * 32 bits before, 256 * 4 and two floats after.
    four = analytic_bytes(quantised=25_600, mean_bits=4, bucket=256)
    assert 4 * 25_600 / four == pytest.approx(8192 / 1088)


def network() -> ir.Model:
    """32 x 32 x 3 x 3 weights of 4 values as often each, then 16 x 32 x 1 x 1 of many; biases of 32 and 16."""
    net = Net(32, 6, 6)
    first = np.resize(np.int8([-60, -20, 20, 60]), (32, 32, 3, 3))
    second = np.resize(np.arange(64, dtype=np.int8) - 32, (16, 32, 1, 1))
    y = net.quantise(net.conv(net.quantise("x"), 32, 32, integers=first), SCALE, 120)
    return net.model(net.quantise(net.conv(y, 16, 32, (1, 1), integers=second), SCALE, 120))


def test_account_is_the_same_for_a_network_in_each_form(tmp_path: Path) -> None:
    given = network()
    forms = {"qdq": given, "int8": lower(given, [PACKED])[0], "coded": lower(given)[0]}
    forms["compact"] = lower(given)[0]
    compact(forms["compact"])
    found = {}
    for name, form in forms.items():
        save(form, tmp_path / name)
        found[name] = one = account(tmp_path / name)
        data = (tmp_path / name).read_bytes()
        assert (one.file_bytes, one.zlib_bytes) == (len(data), len(zlib.compress(data, 9)))
        assert gzip.decompress(gzip.compress(data)) == data
        assert one.gzip_bytes == one.zlib_bytes + 12  # another header and checksum
        assert (one.quantised, one.unquantised, one.scale_bytes) == (9728, 48, 4 * 48)
        assert not float_weights(tmp_path / name)
    for name in ("qdq", "int8"):
        assert (found[name].index_bytes, found[name].codebook_bytes) == (9728, 0)
        assert found[name].stored_bits == 8
    for name in ("coded", "compact"):
        assert (found[name].index_bytes, found[name].codebook_bytes) == (9216 // 4 + 512, 4)
        assert found[name].stored_bits == (2 * 9216 + 8 * 512) / 9728
    assert found["compact"].file_bytes < found["coded"].file_bytes


def test_account_pools_the_symbols_of_all_layers(tmp_path: Path) -> None:
    given = network()
    save(given, tmp_path / "qdq")
    found = account(tmp_path / "qdq")
    # 8 of each of 64 integers; -20 and 20 are among them, and have 2304 more, as have -60 and 60.
    counts = [8] * 62 + [8 + 2304] * 2 + [2304] * 2
    shares = np.array(counts) / 9728
    assert found.entropy_bits == pytest.approx(-(shares * np.log2(shares)).sum())
    assert found.mean_bits == huffman_mean_length(counts)
    save(lower(given)[0], tmp_path / "coded")
    coded = account(tmp_path / "coded")
    # Indices 0 to 3 now, and -32 to 31 has them too.
    assert coded.mean_bits == huffman_mean_length([8] * 60 + [8 + 2304] * 4)
    by_hand = 4 * (48 + 4) + coded.mean_bits * 9728 / 8 + 8 * 48
    assert coded.analytic_bytes == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("bits", "lowered"),
    [(8, False), (4, False), (3, False), (2, False), (4, True), (3, True), (2, True)],
)
def test_account_has_the_tables_of_embeddings(bits: int, lowered: bool, tmp_path: Path) -> None:
    rows, width = 300, 64
    nodes = [
        helper.make_node("Cast", ["x"], ["ids"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "ids"], ["y"]),
    ]
    given = model(nodes, {"table": floats(rows, width)}, (4,))
    quantise_tables(given.graph, bits=bits)
    if lowered:
        given, _ = lower(given)
    save(given, tmp_path / "m")
    found = account(tmp_path / "m")
    assert found.quantised == rows * width
    # To a Gather scales are numbers like others.
    assert found.unquantised == (rows if bits == 8 else 0)
    assert found.index_bytes == rows * width * bits // 8
    assert (found.stored_bits, found.scale_bytes) == (bits, 4 * rows)
    assert found.codebook_bytes == (0 if bits == 8 else 4 << bits)
    assert 0.7 * bits < found.entropy_bits <= bits


def test_float_weights_are_found_wherever_they_hide(tmp_path: Path) -> None:
    constants = {
        "conv": np.ones((4, 3, 3, 3), np.float32),
        "half": np.ones((4, 4, 1, 1), np.float16),
        "rounded": np.ones((4, 4, 1, 1), np.float32),
        "coded": np.ones((4, 4, 1, 1), np.int8),
        "bias": np.ones(4, np.float32),
        "first": np.ones((2, 4), np.float32),
        "vector": np.ones((4, 1), np.float32),
        "scale": np.float32(1),
        "zero": np.int8(0),
        "axes": np.array([2, 3], np.int64),
    }
    grid = ["scale", "zero"]
    nodes = [
        helper.make_node("Conv", ["x", "conv", "bias"], ["a"]),
        helper.make_node("Cast", ["half"], ["half32"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["a", "half32"], ["b"]),
        helper.make_node("QuantizeLinear", ["rounded", *grid], ["q"]),
        helper.make_node("DequantizeLinear", ["q", *grid], ["d"]),
        helper.make_node("Conv", ["b", "d"], ["c"]),
        helper.make_node("DequantizeLinear", ["coded", *grid], ["e"]),
        helper.make_node("Conv", ["c", "e"], ["f"]),
        helper.make_node("ReduceMean", ["f", "axes"], ["g"], keepdims=0),
        helper.make_node("Transpose", ["g"], ["h"]),
        helper.make_node("MatMul", ["first", "h"], ["i"]),
        helper.make_node("Constant", [], ["j"], value=numpy_helper.from_array(np.ones((1, 2, 2)))),
        helper.make_node("Cast", ["j"], ["k"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["k", "i"], ["l"]),
        helper.make_node("MatMul", ["g", "vector"], ["y"]),
    ]
    path = tmp_path / "m.onnx"
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("y", "l")],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    assert float_weights(path) == ["conv", "half", "rounded", "first", "j"]


def test_float_layers_of_a_compact_file_are_called_as_in_the_float_file(tmp_path: Path) -> None:
    def write(name: str, weights: dict[str, np.ndarray], nodes: list[onnx.NodeProto]) -> Path:
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
            [numpy_helper.from_array(a, n) for n, a in weights.items()],
        )
        onnx.save(helper.make_model(graph), tmp_path / name)
        return tmp_path / name

    w, v, other = floats(4, 4), floats(4, 3), floats(4, 4) + 1
    made = [
        helper.make_node("MatMul", ["x", "body.w"], ["a"], name="body"),
        helper.make_node("MatMul", ["a", "body.w"], ["b"], name="again"),
        helper.make_node("MatMul", ["b", "head.w"], ["y"], name="head"),
    ]
    float_file = write("float.onnx", {"body.w": w, "head.w": v}, made)
    compact = [
        helper.make_node("MatMul", ["x", "s"], ["a"]),
        helper.make_node("MatMul", ["a", "s"], ["b"]),
        helper.make_node("MatMul", ["b", "t"], ["c"]),
        helper.make_node("Gemm", ["c", "r"], ["y"], transB=1),
    ]
    weights = {"s": w, "t": other, "r": np.ascontiguousarray(v.T)}
    file = write("compact.onnx", weights, compact)
    assert float_weights(file, float_file) == ["body", "again", "t", "head"]
    assert float_weights(file) == ["s", "t", "r"]


def test_files_without_quantised_weights_and_no_models_are_refused(tmp_path: Path) -> None:
    net = Net(4)
    save(net.model(net.quantise("x")), tmp_path / "none.onnx")
    with pytest.raises(ConfigError, match=r"none\.onnx: has no quantised weights"):
        account(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_text("no model")
    for read in (account, float_weights):
        with pytest.raises(MeasureError, match=r"bad\.onnx: not an ONNX file"):
            read(tmp_path / "bad.onnx")
