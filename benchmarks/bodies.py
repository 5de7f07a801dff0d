"""Function bodies on the stock runtime against the plain Q/DQ graph that they replace: every op, every function.

python -m benchmarks.bodies              results/bodies.json
python -m benchmarks.bodies --only SiLU  fewer; writes nothing

A row is one small graph around one op, between two int8 layers, so that layouts matter as in a network. `ratio` is the
time of the lowered file without our library as a share of the plain one's, in turns in one run; `native` is the same
with the library. More than LIMIT is a fault of the body.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from benchmarks import results_file
from benchmarks.interleave import alternate
from benchmarks.runners import OrtModel
from squeeze import graph, ops
from squeeze.graph.lower import lower
from squeeze.quant.by_row import use_rows
from squeeze.quant.ranges.grid import Grid
from squeeze.quant.tables import quantise_tables

RESULTS = Path(__file__).parent / "results" / "bodies.json"
LIMIT = 1.05
ROUNDS, TURN_US, LEAST_CALLS, MOST_CALLS = 101, 4000.0, 3, 30
CHANNELS, SIDE, ROWS, WIDTH = 64, 28, 64, 256
OPSET = 18
logger = logging.getLogger(__name__)
Array = NDArray[Any]  # Any: several element types
Json = dict[str, Any]  # Any: JSON


class Net:
    """Writes a quantised graph node by node."""

    def __init__(self, *shape: int, levels: int | None = None) -> None:
        self.nodes: list[Any] = []  # Any: protobuf
        self.constants: list[Any] = []
        self.shape, self.levels = shape, levels
        self.rng = np.random.default_rng(0)

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:  # Any: ONNX attributes
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"n_{name}", **attributes))
        return name

    def constant(self, value: Array | float) -> str:
        name = f"constant{len(self.constants)}"
        array = np.float32(value) if isinstance(value, float) else value
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def quantise(self, x: str, scale: float = 0.05, zero_point: int = 128) -> str:
        grid = self.constant(scale), self.constant(np.uint8(zero_point))
        return self.add("DequantizeLinear", self.add("QuantizeLinear", x, *grid), *grid)

    def weights(self, *shape: int) -> str:
        integers = self.rng.integers(-64, 65, shape, dtype=np.int8)
        if self.levels is not None:
            integers = self.rng.choice(np.arange(self.levels, dtype=np.int8) * 9 - 30, shape)
        scales = np.full(shape[0], 0.0008, np.float32)
        parts = [self.constant(v) for v in (integers, scales, np.zeros(shape[0], np.int8))]
        return self.add("DequantizeLinear", *parts, axis=0)

    def columns(self) -> str:
        """The weights of a MatMul."""
        parts = [self.rng.integers(-64, 65, (WIDTH, WIDTH), dtype=np.int8)]
        parts += [np.full(WIDTH, 0.0008, np.float32), np.zeros(WIDTH, np.int8)]
        return self.add("DequantizeLinear", *(self.constant(part) for part in parts), axis=1)

    def bias(self, count: int) -> str:
        steps = np.full(count, np.float32(0.05) * np.float32(0.0008), np.float32)
        integers = self.rng.integers(-2000, 2000, count, dtype=np.int32)
        return self.add("DequantizeLinear", self.constant(integers), self.constant(steps), axis=0)

    def conv(self, x: str, inputs: int = CHANNELS, group: int = 1) -> str:
        w = self.weights(CHANNELS, inputs // group, 3, 3)
        return self.add("Conv", x, w, self.bias(CHANNELS), pads=[1] * 4, group=group)

    def gemm(self, x: str) -> str:
        return self.add("Gemm", x, self.weights(WIDTH, WIDTH), self.bias(WIDTH), transB=1)

    def model(self, result: str) -> bytes:
        tensor = partial(helper.make_tensor_value_info, elem_type=TensorProto.FLOAT)
        made = helper.make_graph(
            self.nodes,
            "g",
            [tensor("x", shape=[*self.shape])],
            [tensor(result, shape=None)],
            self.constants,
        )
        opsets = [helper.make_opsetid("", OPSET)]
        data: bytes = helper.make_model(
            made, opset_imports=opsets, ir_version=9
        ).SerializeToString()
        return data


Write = Callable[[Net, str], str]


def tf_swish(net: Net, x: str) -> str:
    moved = net.add("Add", x, net.constant(3.0))
    clipped = net.add("Clip", moved, net.constant(0.0), net.constant(6.0))
    return net.add("Mul", net.add("Mul", x, clipped), net.constant(1 / 6))


def gelu(net: Net, x: str) -> str:
    erf = net.add("Erf", net.add("Div", x, net.constant(2**0.5)))
    half = net.add("Mul", x, net.constant(0.5))
    return net.add("Mul", half, net.add("Add", erf, net.constant(1.0)))


def tanh_gelu(net: Net, x: str) -> str:
    cube = net.add("Mul", net.add("Pow", x, net.constant(3.0)), net.constant(0.044715))
    inner = net.add("Mul", net.add("Add", x, cube), net.constant(0.7978845608))
    one = net.add("Add", net.add("Tanh", inner), net.constant(1.0))
    return net.add("Mul", net.add("Mul", x, net.constant(0.5)), one)


FUNCTIONS: dict[str, Write] = {
    "Clip": lambda n, x: n.add("Clip", x, n.constant(0.0), n.constant(6.0)),
    "Elu": lambda n, x: n.add("Elu", x),
    "Gelu (Erf)": gelu,
    "Gelu (Tanh)": tanh_gelu,
    "HardSigmoid": lambda n, x: n.add("HardSigmoid", x),
    "HardSwish": lambda n, x: n.add("HardSwish", x),
    "LeakyRelu": lambda n, x: n.add("LeakyRelu", x, alpha=0.1),
    "Mish": lambda n, x: n.add("Mish", x),
    "PRelu": lambda n, x: n.add("PRelu", x, n.constant(0.25)),
    "Relu": lambda n, x: n.add("Relu", x),
    "SiLU": lambda n, x: n.add("Mul", x, n.add("Sigmoid", x)),
    "Sigmoid": lambda n, x: n.add("Sigmoid", x),
    "Softplus": lambda n, x: n.add("Softplus", x),
    "Tanh": lambda n, x: n.add("Tanh", x),
    "relu6(x + 3) * x / 6": tf_swish,
}


def images(write: Write, levels: int | None = None) -> bytes:
    """A convolution, what is written behind it, a convolution."""
    net = Net(1, CHANNELS, SIDE, SIDE, levels=levels)
    x = net.quantise(net.conv(net.quantise("x")))
    return net.model(net.quantise(net.conv(net.quantise(write(net, x)))))


def rows(write: Write, levels: int | None = None) -> bytes:
    """A matrix product, what is written behind it, a matrix product."""
    net = Net(ROWS, WIDTH, levels=levels)
    x = net.quantise(net.gemm(net.quantise("x")))
    return net.model(net.quantise(net.gemm(net.quantise(write(net, x)))))


def residual(net: Net, x: str, layer: Callable[[str], str]) -> str:
    return net.add("Add", net.quantise(layer(x)), x)


def joined(net: Net, x: str) -> str:
    """Two branches with a function each, so that neither convolution takes the sum, and the sum of both halves."""
    a, b = (net.quantise(net.add("Tanh", net.quantise(net.conv(x))), 0.01) for _ in range(2))
    return net.add("Add", a, b)


def beside(net: Net, x: str) -> str:
    both = net.quantise(net.add("Concat", x, net.quantise(net.conv(x), 0.04), axis=1))
    return net.conv(both, 2 * CHANNELS)


def alone(write: Write) -> bytes:
    """A sum of two tensors that a convolution does not take, and what is written behind it."""
    net = Net(1, CHANNELS, SIDE, SIDE)
    x = net.quantise("x")
    total = net.quantise(net.add("Mul", x, net.quantise(net.conv(x))))
    return net.model(net.quantise(net.conv(net.quantise(write(net, total)))))


def pooled(net: Net, x: str) -> str:
    mean = net.quantise(net.add("GlobalAveragePool", x))
    return net.conv(mean)


def real_conv() -> bytes:
    """A convolution of few weight values whose result stays float."""
    net = Net(1, CHANNELS, SIDE, SIDE, levels=4)
    return net.model(net.conv(net.quantise(net.conv(net.quantise("x")))))


def real_product(levels: int | None = None) -> bytes:
    """Two matrix products, the last of which is not rounded."""
    net = Net(ROWS, WIDTH, levels=levels)
    return net.model(net.gemm(net.quantise(net.gemm(net.quantise("x")))))


def float_product() -> bytes:
    """A matrix product of few weight values that reads floats."""
    net = Net(ROWS, WIDTH, levels=4)
    return net.model(net.gemm("x"))


def rows_in_their_own_steps() -> bytes:
    """A matrix product each row of which is quantised when it is there."""
    net = Net(ROWS, WIDTH)
    weights = np.random.default_rng(0).standard_normal((WIDTH, WIDTH)).astype(np.float32)
    net.nodes.append(helper.make_node("MatMul", ["x", net.constant(weights)], ["rows_of_x"]))
    made = ir.serde.deserialize_model(onnx.load_from_string(net.model("rows_of_x")))
    use_rows(made, {"rows_of_x"}, Grid(np.dtype(np.uint8), weight_limit=63))
    return graph.to_bytes(made)


def normalised(*, early: bool) -> bytes:
    """A residual sum and its normalisation between two matrix products; `early`: the next sum reads the first one."""
    net = Net(1, ROWS, WIDTH)

    def product(x: str) -> str:
        return net.add("MatMul", x, net.columns())

    total = net.add("Add", product(net.quantise("x")), "x")
    row = net.constant(np.ones(WIDTH, np.float32))
    norm = net.add("LayerNormalization", total, row, row)
    branch = product(net.quantise(norm))
    return net.model(net.add("Add", total if early else norm, branch))


def normalised_by_root() -> bytes:
    """The same by the root mean square, as T5 and Llama have it, whose next sum reads the first one."""
    net = Net(1, ROWS, WIDTH)

    def product(x: str) -> str:
        return net.add("MatMul", x, net.columns())

    total = net.add("Add", product(net.quantise("x")), "x")
    square = net.add("Pow", total, net.constant(np.float32(2)))
    mean = net.add("ReduceMean", square, net.constant(np.array([-1], np.int64)))
    root = net.add("Sqrt", net.add("Add", mean, net.constant(np.float32(1e-6))))
    row = net.constant(np.ones(WIDTH, np.float32))
    norm = net.add("Mul", net.add("Div", total, root), row)
    return net.model(net.add("Add", total, product(net.quantise(norm))))


def attention() -> bytes:
    """Attention of 8 heads between the layers of queries, keys and values and the one behind."""
    net, heads = Net(1, ROWS, WIDTH), 8
    x = net.quantise("x")
    shape = net.constant(np.array([0, ROWS, heads, WIDTH // heads], np.int64))
    perms = [[0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]]

    def part(perm: list[int]) -> str:
        made = net.quantise(net.add("MatMul", x, net.columns()))
        cut = net.quantise(net.add("Reshape", made, shape))
        return net.quantise(net.add("Transpose", cut, perm=perm))

    q, k, v = (part(perm) for perm in perms)
    scores = net.add("Mul", net.add("MatMul", q, k), net.constant(0.2))
    mask = net.constant(np.zeros((1, 1, 1, ROWS), np.float32))
    p = net.quantise(net.add("Softmax", net.add("Add", scores, mask), axis=-1), 1 / 255, 0)
    mixed = net.quantise(net.add("MatMul", p, v))
    turned = net.quantise(net.add("Transpose", mixed, perm=[0, 2, 1, 3]))
    joined = net.add("Reshape", turned, net.constant(np.array([0, ROWS, WIDTH], np.int64)))
    return net.model(net.add("MatMul", net.quantise(joined), net.columns()))


def behind_a_float_product(write: Write) -> bytes:
    """A matrix product whose float result goes into a function, and a matrix product."""
    net = Net(ROWS, WIDTH)
    real = net.add("MatMul", net.quantise("x"), net.columns())
    return net.model(net.add("MatMul", net.quantise(write(net, real)), net.columns()))


def looked_up(bits: int) -> bytes:
    """Rows of a table in few bits."""
    net = Net(ROWS)
    ids = net.add("Cast", net.add("Abs", "x"), to=TensorProto.INT64)
    table = net.constant(net.rng.standard_normal((1000, WIDTH), np.float32))
    found = ir.from_proto(onnx.load_from_string(net.model(net.add("Gather", table, ids))))
    quantise_tables(found.graph, bits=bits)
    return graph.to_bytes(found)


CASES: dict[str, Callable[[], bytes]] = {
    "QConv": lambda: images(lambda n, x: n.conv(x)),
    "QConv, depthwise": lambda: images(lambda n, x: n.conv(x, group=CHANNELS)),
    "QConvAdd": lambda: images(lambda n, x: residual(n, x, n.conv)),
    "QAdd": lambda: images(joined),
    "QConcat": lambda: images(beside),
    "QMaxPool": lambda: images(
        lambda n, x: n.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    ),
    "QGlobalAveragePool": lambda: images(pooled),
    "QGemm": lambda: rows(lambda n, x: n.gemm(x)),
    "QGemmAdd": lambda: rows(lambda n, x: residual(n, x, n.gemm)),
    "QCodebookConv": lambda: images(lambda n, x: n.conv(x), 4),
    "QCodebookConv, SiLU": lambda: images(FUNCTIONS["SiLU"], 4),
    "QCodebookConvAdd": lambda: images(lambda n, x: residual(n, x, n.conv), 4),
    "QCodebookGemm": lambda: rows(lambda n, x: n.gemm(x), 4),
    "CodebookConv": real_conv,
    "CodebookGemm": float_product,
    "QGemmReal": real_product,
    "QGemmByRow": rows_in_their_own_steps,
    "QCodebookGemmReal": lambda: real_product(4),
    **{f"CodebookGather{bits}": partial(looked_up, bits) for bits in (2, 3, 4)},
    "QAddNorm": lambda: normalised(early=False),
    "QAddNormSum": lambda: normalised(early=True),
    "QAddRmsNormSum": normalised_by_root,
    "QAttention": attention,
    **{
        f"QRealLookup, {name}": partial(behind_a_float_product, write)
        for name, write in FUNCTIONS.items()
        if name not in ("Clip", "Relu")
    },
    **{f"QConvLookup, {name}": partial(images, write) for name, write in FUNCTIONS.items()},
    # Clip and Relu alone are no table: the runtime clips integers.
    **{
        f"QLookup, {name}": partial(alone, write)
        for name, write in FUNCTIONS.items()
        if name not in ("Clip", "Relu")
    },
    **{f"QGemmLookup, {name}": partial(rows, write) for name, write in FUNCTIONS.items()},
}


def main() -> None:
    """Measures, writes the results."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logger.setLevel(logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", default="", help="cases with this text; writes nothing")
    given = parser.parse_args()
    names = [name for name in CASES if given.only in name]
    if not names:
        parser.error(f"--only {given.only}: no case has this text; there are {', '.join(CASES)}")
    found = [measured(name, given.rounds) for name in names]
    worst = max(found, key=lambda row: row["ratio"])
    logger.info(
        "slowest body: %s, %.3f of plain Q/DQ; limit %.2f", worst["case"], worst["ratio"], LIMIT
    )
    if not given.only:
        results_file.write(RESULTS, f"python -m benchmarks.bodies --rounds {given.rounds}", found)


def measured(name: str, rounds: int) -> Json:
    """One case: the plain graph, the lowered one without and with the library, in turns."""
    plain = CASES[name]()
    lowered, _ = lower(ir.from_proto(onnx.load_from_string(plain)))
    made = sorted({node.op_type for node in lowered.graph if node.domain == ops.DOMAIN})
    assert name.partition(",")[0] in made, (name, made)
    data = graph.to_bytes(lowered)
    models = {"qdq": OrtModel(plain, 1), "body": OrtModel(data, 1)}
    if ops.library_path() is not None:
        models["native"] = OrtModel(data, 1, native=True)
    turns = {
        n: partial(m.turn, int(np.clip(TURN_US / m.turn(3), LEAST_CALLS, MOST_CALLS)))
        for n, m in models.items()
    }
    us = {n: np.array(taken) for n, taken in alternate(turns, rounds).items()}
    ratios = {n: taken / us["qdq"] for n, taken in us.items()}
    p10, p50, p90 = (float(p) for p in np.percentile(ratios["body"], (10, 50, 90)))
    row = {
        "case": name,
        "ops": made,
        "threads": 1,
        "qdq_us": round(float(np.median(us["qdq"])), 2),
        "body_us": round(float(np.median(us["body"])), 2),
        "ratio": round(p50, 3),
        "ratio_p10": round(p10, 3),
        "ratio_p90": round(p90, 3),
        "rounds": rounds,
    }
    if "native" in us:
        row["native"] = round(float(np.median(ratios["native"])), 3)
    logger.info(
        "%-36s %8.1f us  body %.3f  native %.3f",
        name,
        row["qdq_us"],
        p50,
        row.get("native", np.nan),
    )
    return row


if __name__ == "__main__":
    main()
