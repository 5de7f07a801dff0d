"""Of each TFLite operator: what its options are called, and the version that says what it is asked to do.

A runtime refuses a version that it does not know, and one that is too low promises less than the operator needs. The
numbers are those of TensorFlow's table of operator versions: int8 came with version 2 of most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

OPTIONS = {
    "ADD": "AddOptions",
    "ARG_MAX": "ArgMaxOptions",
    "ARG_MIN": "ArgMinOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "CAST": "CastOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "DEPTH_TO_SPACE": "DepthToSpaceOptions",
    "DEQUANTIZE": "DequantizeOptions",
    "DIV": "DivOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "GATHER": "GatherOptions",
    "GELU": "GeluOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "MIRROR_PAD": "MirrorPadOptions",
    "MUL": "MulOptions",
    "PAD": "PadOptions",
    "PADV2": "PadV2Options",
    "QUANTIZE": "QuantizeOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "REDUCE_PROD": "ReducerOptions",
    "RESHAPE": "ReshapeOptions",
    "RESIZE_BILINEAR": "ResizeBilinearOptions",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions",
    "SLICE": "SliceOptions",
    "SOFTMAX": "SoftmaxOptions",
    "SPACE_TO_DEPTH": "SpaceToDepthOptions",
    "SPLIT_V": "SplitVOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "SUB": "SubOptions",
    "SUM": "ReducerOptions",
    "TRANSPOSE": "TransposeOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
}
# Operators that had int8 from the beginning, or of which runtimes know the first version alone.
_INT8_AT_FIRST = {
    "CAST",
    "DEPTH_TO_SPACE",
    "ELU",
    "HARD_SWISH",
    "PRELU",
    "RELU_N1_TO_1",
    "RESHAPE",
}


def version(
    op: str,
    dtypes: Sequence[str],
    inputs: int,
    per_channel: bool,
    options: Mapping[str, Any],  # Any: as in `File.operator`
) -> int:
    """dtypes: of its inputs and outputs; inputs: how many; per_channel: whether weights have several scales."""
    int8 = dtypes[0] == "int8"
    if op in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        dilated = options.get("dilationWFactor", 1) > 1 or options.get("dilationHFactor", 1) > 1
        return 3 if int8 else 2 if dilated else 1
    if op == "FULLY_CONNECTED":
        if int8 and per_channel:
            return 12
        if inputs == 2:
            return 6
        return 5 if options.get("keepNumDims") else 4 if int8 else 1
    if op == "TRANSPOSE_CONV":  # dtypes[0] is of the shape
        return 3 if inputs == 4 else 2 if dtypes[1] == "int8" else 1
    if op in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
        asked = options.get("halfPixelCenters") or options.get("alignCorners")
        return 3 if asked else 2 if int8 else 1
    if op == "QUANTIZE":
        return 1 if dtypes[0] == "float32" else 2
    if op == "BROADCAST_TO":
        return 2
    if op in _INT8_AT_FIRST:
        return 1
    return 2 if int8 else 1
