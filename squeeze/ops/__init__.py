"""The Python face of our native ops: where the library is, and per op its inputs and its ONNX function body."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from squeeze.ops import codebook, qadd, qcodebook, qconcat, qconv, qgemm, qpool
from squeeze.ops.library import library_path as library_path
from squeeze.ops.signatures import SIGNATURES as SIGNATURES

DOMAIN = "ai.squeeze"
VERSION = 1

# Builds the body of an op, from the domain and the opset of the model.
FUNCTIONS: dict[str, Callable[[str, int], ir.Function]] = {
    "CodebookConv": codebook.codebook_conv,
    "CodebookGemm": codebook.codebook_gemm,
    "QAdd": qadd.qadd,
    "QCodebookConv": qcodebook.qcodebook_conv,
    "QCodebookConvAdd": qcodebook.qcodebook_conv_add,
    "QCodebookGemm": qcodebook.qcodebook_gemm,
    "QConcat": qconcat.qconcat,
    "QConv": qconv.qconv,
    "QConvAdd": qconv.qconv_add,
    "QConvLookup": qconv.qconv_lookup,
    "QGemm": qgemm.qgemm,
    "QGemmAdd": qgemm.qgemm_add,
    "QGemmLookup": qgemm.qgemm_lookup,
    "QGlobalAveragePool": qpool.qglobal_average_pool,
    "QMaxPool": qpool.qmax_pool,
}
