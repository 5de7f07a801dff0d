"""What a recipe says of int8 and fewer bits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from squeeze.spec.frozen import Frozen


class QuantPart(Frozen):
    """int8, and below it weights of `bits` bits. `steps` of quantised distillation are made where rounding alone loses
    more than the goal allows; 0 for none."""

    enabled: bool = True
    samples: int = Field(512, ge=1)
    selection: Literal["balanced", "bins", "k-centre", "random"] = "balanced"
    observer: Literal["best", "entropy", "minmax", "mse", "percentile"] = "best"
    bias_correction: bool = True
    adaround: bool = False
    smooth: bool = True
    equalise: bool = True
    # Weights in blocks of 4 or 8 bits, activations in float: for decoders, which wait for memory.
    weights_only: bool = False
    # Names, patterns or operators of nodes that stay float.
    keep_float: tuple[str, ...] = ()
    # Matrix products of two activations (attention) in int8 whatever it costs; else where that was timed to be faster.
    activation_products: bool = False
    # Outputs of the model in int8, too: for devices that run integers alone, which say so themselves.
    integer_outputs: bool = False
    bits: Literal[2, 3, 4, 8] = 8
    scaling: Literal["uniform", "linear", "codebook", "ternary", "binary"] = "uniform"
    method: Literal["post-training", "quantised-distillation", "differentiable", "mixed"] = (
        "quantised-distillation"
    )
    steps: int = Field(600, ge=0)
    lr: float = Field(0.03, gt=0)
    # Of the first and the last layer, which mind most.
    ends_bits: Literal[2, 3, 4, 8] = 8
    # What weights are trained with: 'auto' takes lsq, and codebook for the methods that learn points.
    quantiser: Literal["auto", "binary", "codebook", "lsq", "ternary", "uniform"] = "auto"
    # Of the quantiser codebook: more levels where gradients are large, fewer elsewhere.
    redistribute: bool = False
    # Of the quantiser ternary: TTQ, whose two magnitudes are learned.
    learned_levels: bool = False
    # Of the quantisers uniform and codebook (docs/quantisation.md).
    weight_scaling: Literal["auto", "linear", "absmax", "absnorm"] = "auto"
    bucket: Literal["channel"] | Annotated[int, Field(ge=2)] = "channel"
    rounding: Literal["deterministic", "stochastic"] = "deterministic"
    gradient: Literal["straight", "truncated", "exact"] = "straight"
