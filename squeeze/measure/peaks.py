"""What this machine reaches at best on one thread: multiplications of each type, bytes to and from memory, operators.

The best of many short tries counts, as a peak is what the machine can and not what it did while something else ran: on
a busy machine a try of a millisecond still keeps its core, where tries of 30 ms showed a half to a third of the rate.
What is timed is what models run: ONNX Runtime's own matrix products, and copies in NumPy of what caches no longer hold.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from squeeze.runtimes.ort import session

if TYPE_CHECKING:
    from collections.abc import Callable

_SIDE = 384  # of the matrices: 57 million multiplications, a millisecond
_TRIES = 300
_CHAIN = 256  # operators of one number each
# Each try copies one of the parts; until it is that part's turn again, the caches hold others.
_COPIED_BYTES, _PARTS = 1 << 27, 32


@dataclass(frozen=True)
class Peaks:
    """Multiply-accumulates and bytes a second, and the seconds that starting an operator takes; `how` says of each what
    was timed, by its name here."""

    float_macs_per_s: float
    int8_macs_per_s: float
    memory_bytes_per_s: float
    operator_start_s: float
    how: dict[str, str]


def peaks(side: int = _SIDE, copied_bytes: int = _COPIED_BYTES, tries: int = _TRIES) -> Peaks:
    """Takes a second or two. side: of the square matrices that are multiplied."""
    import onnxruntime

    macs = side**3
    floats = _best_seconds(_product(side, "MatMul", "float32", "float32"), tries)
    integers = _best_seconds(_product(side, "MatMulInteger", "uint8", "int8"), tries)
    copied = _best_seconds(_copies(copied_bytes), tries)
    chained = _best_seconds(_chain(_CHAIN), tries) - _best_seconds(_chain(1), tries)
    by = f"best of {tries}, two {side} x {side} matrices, onnxruntime {onnxruntime.__version__}, one thread"
    return Peaks(
        macs / floats,
        macs / integers,
        2 * (copied_bytes // _PARTS) / copied,
        max(chained / (_CHAIN - 1), 1e-9),
        {
            "float_macs_per_s": f"MatMul of float32: {by}",
            "int8_macs_per_s": f"MatMulInteger of uint8 and int8: {by}",
            "memory_bytes_per_s": f"copy of {copied_bytes >> 20} MiB by NumPy in {_PARTS} parts, bytes read and "
            f"written: best of {tries} parts, one thread",
            "operator_start_s": f"a chain of {_CHAIN} operators of one number without a single one, by their number: "
            f"best of {tries}, onnxruntime {onnxruntime.__version__}, one thread",
        },
    )


def _product(side: int, op: str, a_type: str, b_type: str) -> Callable[[], object]:
    """A product of two matrices, the second one stored in the model as weights are."""
    import onnx
    from onnx import helper, numpy_helper

    def kind(name: str) -> int:
        return helper.np_dtype_to_tensor_dtype(np.dtype(name))

    a = np.ones((side, side), a_type)
    gives = "float32" if op == "MatMul" else "int32"
    graph = helper.make_graph(
        [helper.make_node(op, ["a", "b"], ["y"])],
        "product",
        [helper.make_tensor_value_info("a", kind(a_type), [side, side])],
        [helper.make_tensor_value_info("y", kind(gives), [side, side])],
        [numpy_helper.from_array(np.ones((side, side), b_type), "b")],
    )
    model: onnx.ModelProto = helper.make_model(
        graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]
    )
    opened = session(model.SerializeToString())
    return lambda: opened.run(None, {"a": a})


def _chain(length: int) -> Callable[[], object]:
    """Operators of one number, one after the other: what they take is what it takes to start them."""
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Abs", [f"v{i}"], [f"v{i + 1}"]) for i in range(length)],
        "chain",
        [helper.make_tensor_value_info("v0", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info(f"v{length}", TensorProto.FLOAT, [1])],
    )
    opset = [helper.make_opsetid("", 17)]
    opened = session(
        helper.make_model(graph, ir_version=8, opset_imports=opset).SerializeToString()
    )
    one = np.ones(1, np.float32)
    return lambda: opened.run(None, {"v0": one})


def _copies(copied_bytes: int) -> Callable[[], object]:
    """Copies one part after the other, and begins anew."""
    source = np.ones((_PARTS, copied_bytes // _PARTS), np.uint8)
    copy = np.zeros_like(source)  # written, so that its pages are there
    turns = itertools.cycle(range(_PARTS))

    def once() -> None:
        at = next(turns)
        np.copyto(copy[at], source[at])

    return once


def _best_seconds(run: Callable[[], object], tries: int) -> float:
    run()
    taken = []
    for _ in range(tries):
        start = time.perf_counter_ns()
        run()
        taken.append(time.perf_counter_ns() - start)
    return max(min(taken), 1) / 1e9
