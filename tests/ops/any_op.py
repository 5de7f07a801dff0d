"""A random valid node of every op of ai.squeeze, for tests that hold for all of them.

Numbers come from `draw(low, high)`, so that hypothesis can shrink them and a driver can repeat them from a seed. Data
are such that one step of a rounded product is at most one step of y, and weights such that no stock kernel saturates
in between (pairs of products stay within 16 bits, the limit of x86 without VNNI).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from onnx import TensorProto

from squeeze import ops
from squeeze.ops import codebookgather, packing
from tests.ops.node_model import Array, Node

Draw = Callable[[int, int], int]
OPS = tuple(ops.SIGNATURES)
LEAKY = ops.Formula((ops.Step("LeakyRelu", (0,), (("alpha", 0.5),)),))
f32 = np.float32
KINDS = (np.uint8, np.int8)
PERMS = {3: ((0, 1, 2), (0, 2, 1), (0, 2, 1)), 4: ((0, 1, 2, 3), (0, 3, 1, 2), (0, 2, 3, 1))}


def random_node(op_type: str, draw: Draw) -> Node:
    make = Maker(draw)
    if op_type in ops.GATHERS.values():
        return make.gather(op_type)
    if op_type == "QAdd":
        return make.add()
    if op_type.startswith(("QAddNorm", "QAddRmsNorm")):
        return make.add_norm(op_type)
    if op_type.startswith("QAttention"):
        return make.attention(op_type)
    if op_type in ops.REAL_LOOKUPS:
        return make.real_lookup(op_type)
    if op_type == "QConcat":
        return make.concat()
    if op_type == "QMaxPool":
        return make.max_pool()
    if op_type in ops.LOOKUPS:
        return make.lookup(op_type)
    if op_type == "QGlobalAveragePool":
        return make.average()
    return make.convolution(op_type) if "Conv" in op_type else make.product(op_type)


def is_float(node: Node) -> bool:
    """Whether y is."""
    of_x = node.inputs[node.fed[0]].dtype == np.float32 and "y_scale" not in node.inputs
    return of_x or node.y_type == TensorProto.FLOAT


class Maker:
    """One node in the making."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.rng = np.random.default_rng(draw(0, 2**32 - 1))

    def pick(self, values: Any) -> Any:  # Any: one of anything
        return values[self.draw(0, len(values) - 1)]

    def data(self, kind: type, shape: tuple[int, ...]) -> Array:
        if kind is f32:
            return self.rng.standard_normal(shape, f32)
        limits = np.iinfo(kind)
        return self.rng.integers(limits.min, limits.max + 1, shape).astype(kind)

    def scale(self, near: float) -> Array:
        """Of the size of `near`; half of the time a power of two, so that exact halves occur."""
        factor = 2.0 ** self.draw(-1, 1)
        exact = 2.0 ** np.round(np.log2(near)) * factor
        return np.array(exact if self.draw(0, 1) else near * factor * 0.83, f32)

    def zero_point(self, kind: type) -> Array:
        limits = np.iinfo(kind)
        return np.array(limits.min + self.pick((0, 128, 255, self.draw(0, 255))), kind)

    def quantised(self, name: str, kind: type, near: float) -> dict[str, Array]:
        return {f"{name}_scale": self.scale(near), f"{name}_zero_point": self.zero_point(kind)}

    def sizes(self, low: int, high: int, count: int) -> tuple[int, ...]:
        return tuple(self.draw(low, high) for _ in range(count))

    def add(self) -> Node:
        kind, shape = self.pick(KINDS), self.sizes(0, 9, self.draw(0, 5))
        return Node("QAdd", self.operands(kind, shape, shape), ("a", "b"))

    def add_norm(self, op_type: str) -> Node:
        width, leading = self.draw(1, 70), self.sizes(0, 5, self.draw(0, 3))
        fewer = tuple(self.pick((size, 1)) for size in leading)
        inputs = {
            "a": self.data(f32, (*leading, width)),
            "b": self.data(f32, (*fewer, width)),
            **{name: self.data(f32, (width,)) for name in ("bias", "norm_scale", "norm_shift")},
            **self.quantised("y", self.pick(KINDS), 0.03),
        }
        if op_type == "QAddNormScaled":
            inputs["norm_factor"] = self.data(f32, (width,))
        if op_type == "QAddRmsNormSum":
            del inputs["norm_shift"]
        types = {np.uint8: TensorProto.UINT8, np.int8: TensorProto.INT8}
        kind = types[inputs["y_zero_point"].dtype.type]
        return Node(op_type, inputs, ("a", "b"), {"epsilon": self.pick((1e-5, 1e-3, 0.1))}, kind)

    def attention(self, op_type: str) -> Node:
        kind, heads = self.pick(KINDS), self.draw(1, 3)
        (batch, queries, keys), (size, width) = self.sizes(1, 20, 3), self.sizes(1, 40, 2)
        batch = min(batch, 3)
        near = 0.02
        inputs: dict[str, Array] = {}
        for name, rows, numbers in (("q", queries, size), ("k", keys, size), ("v", keys, width)):
            inputs[name] = self.data(kind, (batch, rows, heads * numbers))
            if kind is np.int8 and name != "q":  # what stock kernels take in pairs, as weights
                inputs[name] //= 2
            inputs |= self.quantised(name, kind, near)
        inputs["score_scale"] = np.array(size**-0.5, f32)
        mask = tuple(self.pick((size, 1)) for size in (batch, heads, queries, keys))
        inputs["mask"] = self.data(f32, mask[4 - self.draw(0, 4) :])
        inputs["p_scale"] = np.array(self.pick((1 / 255, 1 / 256, 1 / 300)), f32)
        inputs["p_zero_point"] = np.array(np.iinfo(kind).min, kind)
        inputs |= self.quantised("y", kind, near)
        # A step of a probability is at most half a step of y.
        inputs["y_scale"] = np.maximum(inputs["y_scale"], inputs["v_scale"] * f32(2))
        return Node(op_type, inputs, ("q", "k", "v", "mask"), {"split": (0, 0, heads, -1)})

    def gather(self, op_type: str) -> Node:
        bits = next(bits for bits, name in ops.GATHERS.items() if name == op_type)
        rows, width = self.draw(1, 40), self.draw(1, 12) * (8 if bits == 3 else 8 // bits)
        indices = self.rng.integers(0, 1 << bits, (rows, width)).astype(np.uint8)
        ids = self.rng.integers(-rows, rows, self.sizes(0, 5, self.draw(0, 3)))
        names = ops.SIGNATURES[op_type].names[1:]
        tables = codebookgather.packed(indices, bits)
        levels, scales = self.data(f32, (1 << bits,)), self.data(f32, (rows, 1))
        inputs = {
            "ids": ids.astype(self.pick((np.int32, np.int64))),
            **dict(zip(names, (*tables, levels, scales), strict=True)),
        }
        return Node(op_type, inputs, ("ids",), {}, TensorProto.FLOAT)

    def real_lookup(self, op_type: str) -> Node:
        shape = (*self.sizes(0, 9, self.draw(0, 3)), self.draw(1, 40))
        grid = self.quantised("y", self.pick(KINDS), 0.03)
        zero = grid["y_zero_point"]
        limits, scale = np.iinfo(zero.dtype), float(grid["y_scale"])
        formula = replace(self.pick((ops.Formula(), LEAKY)), biased=bool(self.draw(0, 1)))
        # The whole range of y for the steeper half of LEAKY, sixteen places for each step.
        least, most = (2 * scale * (limit - float(zero)) for limit in (limits.min, limits.max))
        places = np.linspace(least - scale, most + scale, 8192).astype(f32)
        real = np.where(places < 0, places * f32(0.5), places) if formula.steps else places
        steps = np.rint(real / grid["y_scale"]) + f32(zero)
        inputs = {
            "x": self.data(f32, shape),
            "bias": self.data(f32, shape[-1:]) * f32(formula.biased),
            "x_grid": np.array([places[0], (places[-1] - places[0]) / 8191], f32),
            "table": np.clip(steps, limits.min, limits.max).astype(zero.dtype),
            **grid,
        }
        types = {"uint8": TensorProto.UINT8, "int8": TensorProto.INT8}
        return Node(op_type, inputs, ("x",), {}, types[str(zero.dtype)], formula)

    def concat(self) -> Node:
        kind, shape = self.pick(KINDS), list(self.sizes(1, 9, self.draw(1, 5)))
        axis = self.draw(-len(shape), len(shape) - 1)
        other = list(shape)
        other[axis] = self.draw(0, 80)
        inputs = self.operands(kind, tuple(shape), tuple(other))
        return Node("QConcat", inputs, ("a", "b"), {"axis": axis})

    def operands(self, kind: type, a: tuple[int, ...], b: tuple[int, ...]) -> dict[str, Array]:
        return {
            "a": self.data(kind, a),
            **self.quantised("a", kind, 0.02),
            "b": self.data(kind, b),
            **self.quantised("b", kind, 0.02),
            **self.quantised("y", kind, 0.03),
        }

    def lookup(self, op_type: str) -> Node:
        kind, shape = self.pick(KINDS), self.sizes(0, 9, self.draw(0, 5))
        inputs = {"x": self.data(kind, shape), **self.quantised("x", kind, 0.02)}
        grid, formula = self.quantised("y", kind, 0.02), self.pick((ops.Formula(), LEAKY))
        inputs["table"] = self.table(inputs, "x", grid, formula)
        types = {np.uint8: TensorProto.UINT8, np.int8: TensorProto.INT8}
        return Node(op_type, inputs | grid, ("x",), {}, types[kind], formula)

    def window(self, spatial: int, pads_below: int | None) -> tuple[dict[str, Any], list[int]]:
        """Attributes of a window, and an image size that it fits into. Any: lists of integers."""
        kernel, dilations = self.sizes(1, 3, spatial), self.sizes(1, 2, spatial)
        limits = [k - 1 if pads_below is None else pads_below for k in kernel] * 2
        window = {
            "strides": self.sizes(1, 3, spatial),
            "pads": tuple(self.draw(0, limit) for limit in limits),
            "dilations": dilations,
        }
        size = [(k - 1) * d + 1 + self.draw(0, 9) for k, d in zip(kernel, dilations, strict=True)]
        return {"kernel_shape": kernel, **window}, size

    def layout(self, rank: int) -> tuple[dict[str, tuple[int, ...]], bool, bool]:
        first, from_last, to_last = PERMS[rank]
        x_last, y_last = bool(self.draw(0, 1)), bool(self.draw(0, 1))
        perms = {"x_perm": from_last if x_last else first, "y_perm": to_last if y_last else first}
        return perms, x_last, y_last

    def max_pool(self) -> Node:
        spatial = self.draw(1, 2)
        window, size = self.window(spatial, None)
        perms, x_last, _ = self.layout(spatial + 2)
        x = self.image(self.pick(KINDS), self.draw(1, 2), self.draw(1, 70), size, x_last)
        return Node("QMaxPool", {"x": x}, ("x",), {**window, **perms})

    def average(self) -> Node:
        kind, spatial = self.pick(KINDS), self.draw(1, 2)
        perms, x_last, _ = self.layout(spatial + 2)
        size = list(self.sizes(1, 9, spatial))
        inputs = {
            "x": self.image(kind, self.draw(1, 2), self.draw(1, 70), size, x_last),
            **self.quantised("x", kind, 0.02),
            **self.quantised("y", kind, 0.01),
        }
        return Node("QGlobalAveragePool", inputs, ("x",), dict(perms))

    def image(self, kind: type, images: int, channels: int, size: list[int], last: bool) -> Array:
        shape = (images, *size, channels) if last else (images, channels, *size)
        return self.data(kind, shape)

    def convolution(self, op_type: str) -> Node:
        spatial = self.draw(1, 2)
        window, size = self.window(spatial, 2)
        kernel = window.pop("kernel_shape")
        group, per_group = self.draw(1, 3), self.draw(1, 20)
        if self.draw(0, 2) == 0:
            group, per_group = self.draw(1, 40), 1  # depthwise
        outputs = group * (1 if per_group == 1 else self.draw(1, 20))
        perms, x_last, y_last = self.layout(spatial + 2)
        kind = f32 if op_type == "CodebookConv" else self.pick(KINDS)
        x = self.image(kind, self.draw(1, 2), group * per_group, size, x_last)
        attributes = {**window, "group": group, **perms}
        out = [
            (s + before + after - (k - 1) * d - 1) // stride + 1
            for s, before, after, k, d, stride in zip(
                size,
                window["pads"][:spatial],
                window["pads"][spatial:],
                kernel,
                window["dilations"],
                window["strides"],
                strict=True,
            )
        ]
        y = (len(x), *out, outputs) if y_last else (len(x), outputs, *out)
        return self.weighted(op_type, x, (outputs, per_group, *kernel), y, attributes)

    def product(self, op_type: str) -> Node:
        depth, outputs = self.draw(1, 140), self.draw(1, 70)
        leading = self.sizes(1, 5, self.draw(0, 2))
        if op_type == "QGemmByRow":
            return self.by_row((*leading, depth), outputs)
        kind = f32 if op_type == "CodebookGemm" else self.pick(KINDS)
        a = self.data(kind, (*leading, depth))
        return self.weighted(op_type, a, (outputs, depth), (*leading, outputs), {})

    def by_row(self, shape: tuple[int, ...], outputs: int) -> Node:
        inputs = {
            "a": self.data(f32, shape) * np.array(10.0 ** self.draw(-3, 3), f32),
            "b": self.rng.integers(-64, 65, (outputs, shape[-1])).astype(np.int8),
            "b_scale": self.rng.uniform(0.001, 0.01, outputs).astype(f32),
            "bias": self.data(f32, (outputs,)),
        }
        return Node("QGemmByRow", inputs, ("a",), {}, TensorProto.FLOAT)

    def weighted(
        self,
        op_type: str,
        x: Array,
        w_shape: tuple[int, ...],
        y: tuple[int, ...],
        attributes: dict[str, Any],  # Any: integers and lists of them
    ) -> Node:
        is_product = len(w_shape) == 2
        names = ("a", "b", "gemm") if is_product else ("x", "w", "conv")
        inputs: dict[str, Array] = {names[0]: x}
        if x.dtype == f32:
            return Node(
                op_type,
                {
                    **inputs,
                    **self.coded(w_shape, f32, attributes),
                    "bias": self.data(f32, w_shape[:1]),
                },
                names[:1],
                attributes,
            )
        y_kind = self.pick(KINDS)
        inputs.update(self.quantised(names[0], x.dtype.type, 0.02))
        scale_name = f"{names[1]}_scale"
        if "Codebook" in op_type:
            inputs.update(self.coded(w_shape, np.int8, attributes))
            scale_name = "w_scale"
        else:
            inputs[names[1]] = self.rng.integers(-64, 65, w_shape).astype(np.int8)
        depth = int(np.prod(w_shape[1:]))
        inputs[scale_name] = np.stack([self.scale(0.01) for _ in range(3)])[
            self.rng.integers(0, 3, w_shape[0])
        ]
        inputs["bias"] = self.rng.integers(-3000, 3000, w_shape[0]).astype(np.int32)
        tail = op_type.removeprefix("QCodebook").removeprefix("Q")[4:]
        if tail == "Real":
            return Node(op_type, inputs, names[:1], attributes, TensorProto.FLOAT)
        near = 0.02 * 0.01 * 40 * 74 * np.sqrt(depth) / 60
        fed = names[:1]
        if not tail:
            inputs.update(self.quantised("y", y_kind, near))
        else:
            inputs.update(self.quantised(names[2], y_kind, near))
        formula = None
        if tail.startswith("Lookup"):
            grid = self.quantised("y", y_kind, near)
            # A step of the product is at most one of y.
            grid["y_scale"] = np.maximum(grid["y_scale"], inputs[f"{names[2]}_scale"])
            formula = self.pick((ops.Formula(), LEAKY))
            inputs["table"] = self.table(inputs, names[2], grid, formula)
            inputs.update(grid)
        if tail == "Add":
            fed = (names[0], "residual")
            inputs["residual"] = self.data(y_kind, y)
            inputs.update(self.quantised("residual", y_kind, 2 * near))
            inputs.update(self.quantised("y", y_kind, 1))
            # A step of the product is at most half a step of y.
            inputs["y_scale"] = self.pick((f32(2), f32(3.3))) * inputs[f"{names[2]}_scale"]
        types = {np.uint8: TensorProto.UINT8, np.int8: TensorProto.INT8}
        return Node(op_type, inputs, fed, attributes, types[y_kind], formula)

    def coded(
        self, w_shape: tuple[int, ...], kind: type, attributes: dict[str, Any]
    ) -> dict[str, Array]:
        """Indices and codebooks; says so in `attributes` (Any: integers and lists of them)."""
        count, bits = int(np.prod(w_shape)), self.draw(2, 4)
        bucket = self.pick((count // w_shape[0], count, self.draw(1, count)))
        attributes.update({"w_shape": w_shape, "bits": bits, "bucket": bucket})
        books = (-(-count // bucket), 1 << bits)
        values = self.data(f32, books)
        if kind is not f32:
            values = self.rng.integers(-64, 65, books).astype(kind)
        indices = self.rng.integers(0, 1 << bits, count).astype(np.uint8)
        return {"indices": packing.pack(indices, bits), "codebooks": values}

    def table(
        self, inputs: dict[str, Array], product: str, grid: dict[str, Array], formula: ops.Formula
    ) -> Array:
        """y at every byte of the product, in float32 as the body has it."""
        kind = grid["y_zero_point"].dtype
        bytes_ = np.arange(256, dtype=np.uint8).view(kind).astype(f32)
        real = (bytes_ - inputs[f"{product}_zero_point"].astype(f32)) * inputs[f"{product}_scale"]
        y = np.where(real < 0, real * f32(0.5), real) if formula == LEAKY else real
        limits = np.iinfo(kind)
        steps = np.rint(y / grid["y_scale"]) + grid["y_zero_point"].astype(f32)
        return np.clip(steps, limits.min, limits.max).astype(kind)
