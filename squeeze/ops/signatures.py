"""The inputs of our ops: what each is called, what it is, and in which order they come. Nobody else knows positions.

The function bodies take their inputs from here, nodes are made in this order, the native library reads it, and whoever
looks into a file (counting, old CPUs) asks here what an input is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

Role = Literal[
    "activation",  # computed; everything else is a constant
    "bias",
    "codebooks",  # the values that `indices` stand for
    "codes",  # packed, of the rows of a table
    "indices",  # packed, of the weights
    "levels",  # the values that `codes` stand for
    "norm",  # factors and summands of a normalisation, one for each number of a row
    "range",  # where a table begins, and the step from one entry to the next
    "row_scales",  # of `codes`
    "scale",
    "table",  # what y is for each of 256 bytes, or of so many places of a range
    "weight_scale",
    "weights",
    "zero_point",
]
Kind = Literal["convolution", "product", "other"]
Value = TypeVar("Value")


@dataclass(frozen=True)
class Signature:
    """`inputs`: name -> role, in order. `kind`: what it multiplies. `outputs`: all of them are there in every node."""

    kind: Kind
    inputs: Mapping[str, Role]
    outputs: tuple[str, ...] = ("y",)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.inputs)

    def positions(self, *roles: Role) -> frozenset[int]:
        """The inputs that have one of `roles`."""
        return frozenset(i for i, role in enumerate(self.inputs.values()) if role in roles)

    def position(self, *roles: Role) -> int | None:
        """The first input that has one of `roles`, or None."""
        return min(self.positions(*roles), default=None)

    def has(self, role: Role) -> bool:
        return role in self.inputs.values()

    def ordered(self, given: Mapping[str, Value]) -> list[Value]:
        """`given`, by name, in the order of the inputs. Raises ValueError when a name is missing or unknown."""
        if given.keys() != self.inputs.keys():
            raise ValueError(f"inputs {', '.join(given)}; the op has {', '.join(self.inputs)}")
        return [given[name] for name in self.inputs]


def _grid(name: str) -> dict[str, Role]:
    """What says which real numbers the integers of `name` are."""
    return {f"{name}_scale": "scale", f"{name}_zero_point": "zero_point"}


def _quantised(name: str) -> dict[str, Role]:
    return {name: "activation", **_grid(name)}


CODED_WEIGHTS: dict[str, Role] = {"indices": "indices", "codebooks": "codebooks"}
_Y = _grid("y")
_RESIDUAL: dict[str, Role] = {**_quantised("residual"), **_Y}
_TABLE: dict[str, Role] = {"table": "table", **_Y}  # the kernel reads the table, the body y's grid
_BIAS: dict[str, Role] = {"bias": "bias"}
_ADD_NORM: dict[str, Role] = {
    "a": "activation",
    "b": "activation",
    **_BIAS,
    "norm_scale": "norm",
    "norm_shift": "norm",
    **_Y,
}
_ADD_RMS_NORM: dict[str, Role] = {n: role for n, role in _ADD_NORM.items() if n != "norm_shift"}
_ADD_NORM_SCALED: dict[str, Role] = {**_ADD_NORM, "norm_factor": "norm"}
_ATTENTION: dict[str, Role] = {
    **_quantised("q"),
    **_quantised("k"),
    **_quantised("v"),
    "score_scale": "scale",
    "mask": "activation",
    **_grid("p"),
    **_Y,
}
_REAL_LOOKUP: dict[str, Role] = {"x": "activation", **_BIAS, "x_grid": "range", **_TABLE}
_LEVELS: dict[str, Role] = {"levels": "levels", "scales": "row_scales"}
_GATHER: dict[str, Role] = {"ids": "activation", "codes": "codes", **_LEVELS}
# Third bits in a table of their own, so that both fill whole bytes.
_GATHER_3: dict[str, Role] = {
    "ids": "activation",
    "codes": "codes",
    "high_codes": "codes",
    **_LEVELS,
}
_PAIR: dict[str, Role] = {**_quantised("a"), **_quantised("b"), **_Y}


def _layer(x: str, weights: Mapping[str, Role], weight_scale: str) -> dict[str, Role]:
    """The inputs of an int8 layer up to its rounded product."""
    return {**_quantised(x), **weights, weight_scale: "weight_scale", **_BIAS}


_CONV = _layer("x", {"w": "weights"}, "w_scale")
_GEMM = _layer("a", {"b": "weights"}, "b_scale")
_GEMM_BY_ROW: dict[str, Role] = {
    "a": "activation",
    "b": "weights",
    "b_scale": "weight_scale",
    **_BIAS,
}
_CODED_CONV = _layer("x", CODED_WEIGHTS, "w_scale")
_CODED_GEMM = _layer("a", CODED_WEIGHTS, "w_scale")

# A function body belongs to a name, so each function that a file has takes one of the names: behind convolutions,
# behind matrix products, of 8-bit tensors, of float ones.
_LOOKUPS = ("", *(str(number) for number in range(2, 9)))
CONV_LOOKUPS = tuple(f"QConvLookup{number}" for number in _LOOKUPS)
GEMM_LOOKUPS = tuple(f"QGemmLookup{number}" for number in _LOOKUPS)
LOOKUPS = tuple(f"QLookup{number}" for number in _LOOKUPS)
REAL_LOOKUPS = tuple(f"QRealLookup{number}" for number in _LOOKUPS)
# Bits of a code -> the op that looks rows of such codes up.
GATHERS = {bits: f"CodebookGather{bits}" for bits in (2, 3, 4)}
# Bits of a code -> those of each table of bytes that holds them, the lowest first.
PLANES = {2: (2,), 3: (2, 1), 4: (4,)}
_CONV_LOOKUP = Signature("convolution", {**_CONV, **_grid("conv"), **_TABLE})
_GEMM_LOOKUP = Signature("product", {**_GEMM, **_grid("gemm"), **_TABLE})

SIGNATURES: dict[str, Signature] = {
    "CodebookConv": Signature("convolution", {"x": "activation", **CODED_WEIGHTS, **_BIAS}),
    "CodebookGather2": Signature("other", _GATHER),
    "CodebookGather3": Signature("other", _GATHER_3),
    "CodebookGather4": Signature("other", _GATHER),
    "CodebookGemm": Signature("product", {"a": "activation", **CODED_WEIGHTS, **_BIAS}),
    "QAdd": Signature("other", _PAIR),
    "QAddNorm": Signature("other", _ADD_NORM, ("y", "norm")),
    "QAddNormScaled": Signature("other", _ADD_NORM_SCALED, ("y", "norm")),
    "QAddNormSum": Signature("other", _ADD_NORM, ("y", "sum")),
    "QAddRmsNormSum": Signature("other", _ADD_RMS_NORM, ("y", "sum")),
    "QAttention": Signature("other", _ATTENTION),
    "QAttentionGuarded": Signature("other", _ATTENTION),
    "QCodebookConv": Signature("convolution", {**_CODED_CONV, **_Y}),
    "QCodebookConvAdd": Signature("convolution", {**_CODED_CONV, **_grid("conv"), **_RESIDUAL}),
    "QCodebookGemm": Signature("product", {**_CODED_GEMM, **_Y}),
    "QCodebookGemmReal": Signature("product", _CODED_GEMM),
    "QConcat": Signature("other", _PAIR),
    "QConv": Signature("convolution", {**_CONV, **_Y}),
    "QConvAdd": Signature("convolution", {**_CONV, **_grid("conv"), **_RESIDUAL}),
    **dict.fromkeys(CONV_LOOKUPS, _CONV_LOOKUP),
    "QGemm": Signature("product", {**_GEMM, **_Y}),
    "QGemmAdd": Signature("product", {**_GEMM, **_grid("gemm"), **_RESIDUAL}),
    "QGemmByRow": Signature("product", _GEMM_BY_ROW),
    **dict.fromkeys(GEMM_LOOKUPS, _GEMM_LOOKUP),
    "QGemmReal": Signature("product", _GEMM),
    "QGlobalAveragePool": Signature("other", {**_quantised("x"), **_Y}),
    **dict.fromkeys(LOOKUPS, Signature("other", {**_quantised("x"), **_TABLE})),
    "QMaxPool": Signature("other", {"x": "activation"}),
    **dict.fromkeys(REAL_LOOKUPS, Signature("other", _REAL_LOOKUP)),
}
