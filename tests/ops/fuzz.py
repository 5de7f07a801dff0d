r"""Breaks valid nodes in one place each and runs them: the answer is an error that says where, or the right numbers.

    python -m tests.ops.fuzz SEED COUNT [LIBRARY]

Prints what it is about to try, so that a crash shows its case in the last line; exit code 1 when an answer was wrong.
Under AddressSanitizer, with the library of the CMake preset `asan`:

    export ASAN_OPTIONS=detect_leaks=0
    LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libstdc++.so.6)" \
        python -m tests.ops.fuzz 1 500 build/asan/libsqueeze_ops.so
"""

from __future__ import annotations

import os
import resource
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import helper

from squeeze import ops
from tests.ops import any_op
from tests.ops.node_model import Array, Node, build

NUMBERS = (-1, 0, 1, 2, 3, 5, 17, 1000, 2**20 + 1, 2**31 - 1, 2**31, 2**32, 2**62, -(2**63))
VALUES = (np.nan, np.inf, -np.inf, 0.0, -0.0, -1.0, 1e38, 1e-45)
TYPES = (np.float32, np.float64, np.uint8, np.int8, np.int32, np.int64)
# Beyond it float32 overflows between the operators of a body.
LARGEST_COMPARED = 1e30
# A mutant that asks for more is to be told so, not to be killed.
MEMORY_BYTES = 12 << 30


class Mutation:
    """One change to a node. Any: attributes of every kind."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def pick(self, values: Any) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def of(self, node: Node) -> tuple[str, Node]:
        """What was done, in words, and the changed node."""
        kinds = [self.constant, self.constant, self.fed_shape, self.left_out, self.not_constant]
        if node.attributes:
            kinds += [self.attribute, self.attribute, self.attribute]
        return self.pick(kinds)(node)  # type: ignore[no-any-return]

    def attribute(self, node: Node) -> tuple[str, Node]:
        name = self.pick(list(node.attributes))
        old = node.attributes[name]
        choices: list[Any] = [None, 1.5, "text", [1.5], []]
        if isinstance(old, float):
            choices = [None, 1, "text", [old], [], *VALUES]
        elif isinstance(old, int):
            choices += [[old], *NUMBERS]
        else:
            value, at = list(old), int(self.rng.integers(len(old)))
            choices += [value[:-1], [*value, 1], value[0], value[::-1], [1] * 9, [0] * len(value)]
            for number in NUMBERS:
                choices.append([*value[:at], number, *value[at + 1 :]])
        new = self.pick(choices)
        return f"attribute {name} {old} -> {new}", node.saying(**{name: new})

    def constant(self, node: Node) -> tuple[str, Node]:
        constants = read_constants(node)
        if not constants:
            return self.fed_shape(node)
        name = self.pick(constants)
        old = node.inputs[name]
        choices: list[Array] = [
            np.zeros(0, old.dtype),
            np.zeros((0, *old.shape), old.dtype),
            old.reshape(1, *old.shape),
            old.reshape((1,) * 9 + old.shape),
            old.reshape(-1)[:-1],
            old.reshape(-1)[:1],
            np.concatenate([old.reshape(-1), old.reshape(-1)[:1]]),
            np.stack([old, old]),
            *(old.astype(kind) for kind in TYPES if kind != old.dtype),
        ]
        if old.ndim:
            choices += [
                old[:-1],
                old[:0],
                np.concatenate([old, old[:1]]),
                old[..., :-1],
                old[..., :0],
            ]
        if old.dtype == np.float32:
            choices += [np.full_like(old, value) for value in VALUES]
            one = old.copy()
            one.reshape(-1)[-1:] = self.pick(VALUES)
            choices += [one, one]
        new = np.ascontiguousarray(self.pick(choices))
        what = f"constant {name} {old.dtype}{old.shape} -> {new.dtype}{new.shape}"
        return f"{what} {new.reshape(-1)[-1:]}", node.having(**{name: new})

    def fed_shape(self, node: Node) -> tuple[str, Node]:
        name = self.pick(node.fed)
        shape = list(node.inputs[name].shape)
        changes = [[*shape, 1], [1, *shape], [], [0], [1] * 9, [0] * len(shape)]
        if shape:
            at = int(self.rng.integers(len(shape)))
            changes += [shape[1:], shape[::-1]]
            for size in (0, 1, shape[at] + 1, max(shape[at] - 1, 0), 2 * shape[at], 1000):
                changes.append([*shape[:at], size, *shape[at + 1 :]])
        new = self.pick(changes)
        fed = np.resize(node.inputs[name], new).astype(node.inputs[name].dtype)
        return f"fed {name} {shape} -> {new}", node.having(**{name: fed})

    def left_out(self, node: Node) -> tuple[str, Node]:
        name = self.pick(list(node.inputs))
        if name == "y_zero_point" and "table" in node.inputs:
            # The kernel has the table and does not read it; a body without it means another function.
            inputs = {n: v for n, v in node.inputs.items() if not n.startswith("y_")}
            return "inputs y_scale, y_zero_point left out", replace(node, inputs=inputs)
        fed = tuple(n for n in node.fed if n != name)
        if self.rng.integers(2):
            inputs = {("" if n == name else n): v for n, v in node.inputs.items()}
        else:
            inputs = {n: v for n, v in node.inputs.items() if n != name}
        return f"input {name} left out", replace(node, inputs=inputs, fed=fed)

    def not_constant(self, node: Node) -> tuple[str, Node]:
        constants = read_constants(node)
        if not constants:
            return self.left_out(node)
        name = self.pick(constants)
        return f"input {name} computed", replace(node, fed=(*node.fed, name))


def read_constants(node: Node) -> list[str]:
    """The constants that the library reads; of a lookup y's grid is for the body alone."""
    skipped = ("y_",) if "Lookup" in node.op_type else ()
    return [n for n in node.inputs if n not in node.fed and not n.startswith(skipped)]


def another_function(op_type: str, what: str) -> bool:
    """Whether the table of a lookup no longer is the function that its body computes."""
    changed = ("constant conv_", "constant gemm_", "constant table")
    if op_type in (*ops.LOOKUPS, *ops.REAL_LOOKUPS):
        changed += ("constant x_", "constant bias")
    return "Lookup" in op_type and what.startswith(changed)


def answer(node: Node, *, library: str | None) -> Array:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 2
    if library:
        options.register_custom_ops_library(library)
    model = build(node, body=library is None, loose=True).SerializeToString()
    made = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    y: Array = made.run(None, {n: node.inputs[n] for n in node.fed})[0]
    return y


def complaint(node: Node, native: Array, body: Array) -> str | None:
    """Why the two answers are not the same."""
    if native.shape != body.shape:
        return f"shape {native.shape}, the body gives {body.shape}"
    if native.dtype != np.float32:
        steps = np.abs(native.astype(int) - body.astype(int)).max(initial=0)
        return f"{steps} steps from the body" if steps > 1 else None
    same = np.allclose(native, body, rtol=1e-3, atol=1e-2, equal_nan=True)
    return None if same else "other numbers than the body"


def attempt(node: Node, what: str, library: str) -> tuple[str, str | None]:
    """The kind of the outcome, and what is wrong with it."""
    try:
        native = answer(node, library=library)
    except Exception as error:  # which class, and of which library, is the runtime's choice
        text = str(error)
        # Ours name the op; the runtime itself names the node, or the input of the model.
        places = (node.op_type, "(the node)", *(f"input: {name}" for name in node.fed))
        if any(place in text for place in places):
            return "refused", None
        return "refused", f"the message does not name the op: {text[:300]}"
    floats = [v for v in node.inputs.values() if v.dtype == np.float32]
    if any(not np.all(np.abs(v) < LARGEST_COMPARED) for v in floats):
        return "runs beyond float32", None
    if any(node.inputs[name].size == 0 for name in node.fed):
        return "runs on nothing", None  # the stock kernels of a body can crash
    if another_function(node.op_type, what):
        return "runs another function", None
    try:
        body = answer(node, library=None)
    except Exception:
        return "runs, its body does not", None
    return "runs as its body", complaint(node, native, body)


def main() -> int:
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    library = sys.argv[3] if len(sys.argv) > 3 else str(ops.library_path())
    if "libasan" not in os.environ.get("LD_PRELOAD", ""):  # which reserves terabytes
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    outcomes: Counter[str] = Counter()
    wrong = 0
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        op_type = any_op.OPS[index % len(any_op.OPS)]

        def draw(low: int, high: int, rng: np.random.Generator = rng) -> int:
            return int(rng.integers(low, high + 1))

        node = any_op.random_node(op_type, draw)
        first = node.inputs[node.fed[0]].dtype
        node = replace(node, y_type=node.y_type or helper.np_dtype_to_tensor_dtype(first))
        what, node = Mutation(rng).of(node)
        print(f"{seed} {index} {op_type}: {what}", flush=True)
        outcome, why = attempt(node, what, library)
        outcomes[outcome] += 1
        if why:
            wrong += 1
            print(f"WRONG {seed} {index} {op_type}: {what}: {why}", flush=True)
    print(f"{count} nodes, {wrong} wrong; {dict(outcomes)}")
    return min(wrong, 1)


if __name__ == "__main__":
    raise SystemExit(main())
