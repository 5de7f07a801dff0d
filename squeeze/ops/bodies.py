"""Op type -> its ONNX function body."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from squeeze.ops import (
    codebook,
    codebookgather,
    qadd,
    qaddnorm,
    qattention,
    qcodebook,
    qconcat,
    qconv,
    qgemm,
    qgemmbyrow,
    qlookup,
    qpool,
    qreallookup,
)
from squeeze.ops.formula import Formula
from squeeze.ops.signatures import CONV_LOOKUPS, LOOKUPS, REAL_LOOKUPS

# Builds the body of an op, from the domain and the opset of the model; those of CONV_LOOKUPS, GEMM_LOOKUPS,
# LOOKUPS and REAL_LOOKUPS also hang on a function: `body_of` makes them.
FUNCTIONS: dict[str, Callable[[str, int], ir.Function]] = {
    "CodebookConv": codebook.codebook_conv,
    "CodebookGather2": codebookgather.codebook_gather_2,
    "CodebookGather3": codebookgather.codebook_gather_3,
    "CodebookGather4": codebookgather.codebook_gather_4,
    "CodebookGemm": codebook.codebook_gemm,
    "QAdd": qadd.qadd,
    "QAddNorm": qaddnorm.qadd_norm,
    "QAddNormScaled": qaddnorm.qadd_norm_scaled,
    "QAddNormSum": qaddnorm.qadd_norm_sum,
    "QAddRmsNormSum": qaddnorm.qadd_rms_norm_sum,
    "QAttention": qattention.qattention,
    "QAttentionGuarded": qattention.qattention_guarded,
    "QCodebookConv": qcodebook.qcodebook_conv,
    "QCodebookConvAdd": qcodebook.qcodebook_conv_add,
    "QCodebookGemm": qcodebook.qcodebook_gemm,
    "QCodebookGemmReal": qcodebook.qcodebook_gemm_real,
    "QConcat": qconcat.qconcat,
    "QConv": qconv.qconv,
    "QConvAdd": qconv.qconv_add,
    "QGemm": qgemm.qgemm,
    "QGemmAdd": qgemm.qgemm_add,
    "QGemmByRow": qgemmbyrow.qgemm_by_row,
    "QGemmReal": qgemm.qgemm_real,
    "QGlobalAveragePool": qpool.qglobal_average_pool,
    "QMaxPool": qpool.qmax_pool,
}


def body_of(op_type: str, domain: str, opset: int, formula: Formula | None = None) -> ir.Function:
    """The body of any op; a lookup has the `formula` of its function."""
    if op_type in FUNCTIONS:
        return FUNCTIONS[op_type](domain, opset)
    assert formula is not None  # every lookup has one
    if op_type in LOOKUPS:
        return qlookup.qlookup(op_type, domain, opset, formula)
    if op_type in REAL_LOOKUPS:
        return qreallookup.qreal_lookup(op_type, domain, opset, formula)
    write = qconv.qconv_lookup if op_type in CONV_LOOKUPS else qgemm.qgemm_lookup
    return write(op_type, domain, opset, formula)
