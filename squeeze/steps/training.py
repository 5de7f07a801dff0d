"""What the recipe says of training at quantised weights, in the words of `train.quantised`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from squeeze import measure, runtimes
from squeeze.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.calib import Calib
    from squeeze.case import Case
    from squeeze.feed import Padding
    from squeeze.spec import DistillPart, QuantPart
    from squeeze.teacher import Teacher
    from squeeze.train.quantised.settings import Settings, Source

Json = dict[str, Any]  # Any: JSON

_GRIDS = {"uint8": (0, 255), "int8": (-128, 127)}


def settings(part: QuantPart, distill: DistillPart, activations: str) -> Settings:
    """Steps, rates and quantiser; activations: uint8 or int8. Raises ConfigError for post-training."""
    from squeeze.train.quantised.settings import Settings

    if part.method == "post-training":
        raise ConfigError("quant.method: 'post-training' trains nothing")
    quantiser, options = _quantiser(part)
    low, high = _GRIDS[activations]
    return Settings(
        steps=part.steps,
        lr=part.lr,
        batch_size=distill.batch_size,
        method=part.method,
        quantiser=quantiser,
        options=options,
        low=low,
        high=high,
        redistribute=part.redistribute,
        keep_float=part.keep_float,
        activation_products=part.activation_products,
        integer_outputs=part.integer_outputs,
    )


def source(distill: DistillPart, case: Case, answers: Path, seed: int) -> Source:
    """Where the batches of a training come from. Where nobody named a metric, the loss follows what is judged."""
    from squeeze.train.quantised.settings import Source

    data, activation = case.data, case.teacher.output_activation
    if data.metric is None:
        data = replace(data, metric=case.readings[0].metric)
    return Source(data, distill, answers, seed, activation, padding_of(case.teacher, data))


def padding_of(teacher: Teacher, data: Calib) -> Padding | None:
    """What of the samples to train and to calibrate with may be left away: of both the same, or nothing."""
    splits, ends = (data.fit, data.calibrate), teacher.interface
    if any(measure.lengths_of(data, split, ends) is None for split in splits):
        return None
    opened = runtimes.session(teacher.model, outputs_only=True)
    found = [
        measure.padding_of(lambda feed: runtimes.infer(opened, feed, ends), data, split, ends)
        for split in splits
    ]
    return found[0] if None not in found else None


def _quantiser(part: QuantPart) -> tuple[str, Json]:
    """What weights of few bits are trained with, and its options; `refuse` has refused what does not go together."""
    learned = part.method in ("differentiable", "mixed")
    name = ("codebook" if learned else "lsq") if part.quantiser == "auto" else part.quantiser
    # Equally spaced levels of the norm are too far apart to be of use; learned points move to where they are.
    scaling = part.weight_scaling
    if scaling == "auto":
        scaling = "absmax" if name == "uniform" else "absnorm"
    if name == "ternary":
        return name, {"learned": part.learned_levels}
    options: Json = {"scaling": scaling, "bucket": part.bucket}
    if name == "uniform":
        return name, {**options, "rounding": part.rounding, "gradient": part.gradient}
    return name, options if name == "codebook" else {}
