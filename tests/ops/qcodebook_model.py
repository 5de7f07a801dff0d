"""Models of one QCodebookConv, QCodebookConvAdd or QCodebookGemm node: cases of QConv and QGemm with coded weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze import ops
from squeeze.ops import packing
from tests.ops import qconv_model, test_qgemm
from tests.ops.product_model import OPSET, Array, Product, Values, file, of_seven_bits, session


@dataclass(frozen=True)
class Coded:
    """The weights of `case` as indices, in their shape, into `codebooks`."""

    case: Product
    indices: NDArray[np.uint8]
    codebooks: NDArray[np.int8]
    bits: int
    bucket: int

    @property
    def is_product(self) -> bool:
        return not isinstance(self.case, qconv_model.Case)

    @property
    def op_type(self) -> str:
        return f"QCodebook{'Gemm' if self.is_product else 'Conv'}{self.case.tail}"


def coded(
    case: Product, bits: int = 4, bucket: int | None = None, scale: float | None = None
) -> Coded:
    """`case` with other weights: random indices into random books. `bucket`: of one output channel unless given.

    `scale`: the spread of the levels, 0 to 1, from which many books repeat each other.
    """
    rng = np.random.default_rng(case.w.size)
    bucket = bucket or case.w[0].size
    books = -(-case.w.size // bucket)
    most = 127 if scale is None else round(127 * scale)
    half = rng.integers(-most, most + 1, (books, 1 << bits - 1), dtype=np.int8)
    codebooks = np.concatenate([half, -half], axis=1)  # sums around 0 do not saturate
    indices = rng.integers(0, 1 << bits, case.w.shape, dtype=np.uint8)
    book = np.arange(case.w.size).reshape(case.w.shape) // bucket
    w = codebooks[book, indices]
    wider = np.float32(1 if scale is None else 1 / scale)
    return Coded(replace(case, w=w, w_scale=case.w_scale * wider), indices, codebooks, bits, bucket)


def coded_in_seven_bits(coded: Coded) -> Coded:
    return replace(coded, case=of_seven_bits(coded.case), codebooks=coded.codebooks // 2)


def overridden(coded: Coded, overrides: Values) -> Coded:
    return replace(coded, case=replace(coded.case, overrides=overrides))


def expected(coded: Coded) -> Array:
    """What the op has to give, channels-first."""
    if isinstance(coded.case, qconv_model.Case):
        return qconv_model.expected(coded.case)
    return test_qgemm.expected(coded.case)


def feeds(coded: Coded) -> dict[str, Array]:
    if isinstance(coded.case, qconv_model.Case):
        return coded.case.feeds()
    return test_qgemm.feeds(coded.case)


def channels_first(coded: Coded, y: Array) -> Array:
    """The output of the model, turned back."""
    case = coded.case
    if not isinstance(case, qconv_model.Case) or not case.nhwc:
        return y
    return y.transpose(case.from_last)


def build(coded: Coded, *, body: bool = True, opset: int = OPSET) -> bytes:
    case = coded.case
    attributes: dict[str, Any] = {  # Any: integers and lists of them
        "w_shape": coded.indices.shape,
        "bits": coded.bits,
        "bucket": coded.bucket,
    }
    names = ops.SIGNATURES[coded.op_type].names
    values = case.values()
    if isinstance(case, qconv_model.Case):
        first = tuple(range(case.x.ndim))
        attributes |= {
            "strides": case.strides,
            "pads": case.pads,
            "dilations": case.dilations,
            "group": case.group,
            "x_perm": case.from_last if case.nhwc else first,
            "y_perm": case.to_last if case.nhwc else first,
        }
    else:
        values |= {"a_scale": values["x_scale"], "a_zero_point": values["x_zero_point"]}
    values |= {
        "indices": packing.pack(coded.indices, coded.bits),
        "codebooks": coded.codebooks,
    }
    values = {k: case.overrides.get(k, v) for k, v in values.items()}
    attributes = {k: case.overrides.get(k, v) for k, v in attributes.items()}
    attributes = {k: v for k, v in attributes.items() if v is not None}
    return file(
        coded.op_type,
        names,
        feeds(coded),
        case.y_type,
        values,
        attributes,
        body=body,
        opset=opset,
    )


def run(coded: Coded, *, native: bool, threads: int = 1, optimise: bool = True) -> Array:
    """y channels-first, whatever the layout. The native op runs without its body."""
    made = session(build(coded, body=not native), native=native, threads=threads, optimise=optimise)
    return channels_first(coded, made.run(None, feeds(coded))[0])
