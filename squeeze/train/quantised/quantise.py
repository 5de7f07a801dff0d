"""Distils the teacher into a network at quantised weights: batches of its answers in, integers and grids out.

The stages of a training: weights quantised and activations in float; from the middle on activations on their grids
too (for 8-bit weights from the start); at the end the statistics of normalisation anew. Views and answers are those of
the distillation before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from squeeze import losses
from squeeze.guides import open_answers
from squeeze.guides.views import Views
from squeeze.train import checkpoint, loop
from squeeze.train.batches import Batch, Batches
from squeeze.train.compute import HOST
from squeeze.train.lesson import Lesson, lesson_of, on_scale
from squeeze.train.order import Order
from squeeze.train.pace import pace_of
from squeeze.train.precision import cast
from squeeze.train.quantised import QUANTISERS, ranges
from squeeze.train.quantised.door import Trained, network_of, to_float, trained
from squeeze.train.quantised.network import QuantNetwork
from squeeze.train.quantised.rate import at_a_rate, judged
from squeeze.train.quantised.redistribution import gradient_norms, redistribute
from squeeze.train.quantised.settings import Settings, Source
from squeeze.train.quantised.trainer import Switch, Trainer
from squeeze.workdir import digest_json

if TYPE_CHECKING:
    from pathlib import Path

    import onnx_ir as ir

    from squeeze.budget import Pace
    from squeeze.guides import Guide
    from squeeze.progress import Progress
    from squeeze.train.compute import Compute

logger = logging.getLogger(__name__)

Json = dict[str, Any]  # Any: JSON

_MOMENTS = 256  # samples, for the statistics of the folded normalisation
_BATCH = 64
_NORM_BATCHES = 20
# From this share of the steps on activations are on their grids.
_ACTIVATIONS_FROM = 0.5


@dataclass(frozen=True)
class Recovered:
    """A float graph with trained weights, and the history of `loop.train`."""

    model: ir.Model
    history: list[Json]


def train_quantised(
    model: ir.Model,
    bits: dict[str, int],
    settings: Settings,
    source: Source,
    *,
    compute: Compute,
    threads: int,
    folder: Path,
    progress: Progress,
) -> Trained:
    """The trained integers, scales and grids for `model`, an optimised float graph that stays as it is.

    bits: output of a weighted node -> bits of its weights, 8 for those that are not named. Checkpoints go to `folder`
    and are removed at the end. Raises UnsupportedError for operators that torch training does not know, ConfigError
    when the loss is no longer a number.
    """

    def run(told: Settings, may_unlearn: bool) -> Trained:
        trainer, batches = in_training(model, bits, told, source, compute)
        key = {**_key(told, batches, compute), "bits": bits}
        learn = loop.update if may_unlearn else judged(trainer, batches)
        seconds = source.distill.checkpoint_s
        _run(trainer, batches, key, seconds, folder, progress, "quant.lr", learn)
        return trained(trainer.network)

    with compute.session(threads):
        return at_a_rate(settings, "quant.lr", run)


def recover(
    model: ir.Model,
    settings: Settings,
    source: Source,
    *,
    compute: Compute,
    threads: int,
    folder: Path,
    progress: Progress,
    lr_key: str = "prune.lr",
) -> Recovered:
    """`model`, an optimised float graph, with weights distilled from the teacher: what a pruned network needs. lr_key:
    what settings.lr is called in a recipe.

    Raises as `train_quantised`.
    """

    def run(told: Settings, may_unlearn: bool) -> Recovered:
        trainer, batches = in_recovery(model, told, source, compute)
        key = _key(told, batches, compute)
        learn = loop.update if may_unlearn else judged(trainer, batches)
        seconds = source.distill.checkpoint_s
        history = _run(trainer, batches, key, seconds, folder, progress, lr_key, learn)
        return Recovered(to_float(model, trainer.network), history)

    with compute.session(threads):
        return at_a_rate(settings, lr_key, run)


def pace_of_quantised(
    model: ir.Model,
    bits: dict[str, int] | None,
    settings: Settings,
    source: Source,
    *,
    compute: Compute,
    threads: int,
) -> Pace:
    """How fast `train_quantised` would go with activations on grids, which are the slower steps; without bits, how fast
    `recover`. Raises as they do."""
    with compute.session(threads):
        if bits is None:
            trainer, batches = in_recovery(model, settings, source, compute)
        else:
            trainer, batches = in_training(model, bits, settings, source, compute, 0.0)
        course = _course(settings, batches, source.distill.checkpoint_s, "quant.lr")
        return pace_of(trainer, batches.at, course)


def in_training(
    model: ir.Model,
    bits: dict[str, int],
    settings: Settings,
    source: Source,
    compute: Compute,
    activations_from: float = _ACTIVATIONS_FROM,
) -> tuple[Trainer, Batches]:
    """The network at quantised weights before its first step, and what it will see."""
    batches = batches_of(settings, source, compute)
    network = _network(
        model,
        batches,
        compute,
        settings.keep_float,
        activation_products=settings.activation_products,
        integer_outputs=settings.integer_outputs,
    )
    dtype = compute.dtype_for(network)
    few = {layer: b for layer, o in network.weighted.items() if (b := bits.get(o, 8)) < 8}
    for layer in network.weighted:
        kind, options = (settings.quantiser, settings.options) if layer in few else ("lsq", {})
        network.quantise_weights(layer, partial(_quantiser, kind, few.get(layer, 8), options))
    ranges.prepare(network, settings.low, settings.high)
    if settings.redistribute and few:
        _share_levels(network, few, settings, batches, dtype)
    switch = Switch(
        int(settings.steps * activations_from) if few else 0,
        lambda: batches.plain(_MOMENTS, _BATCH),
    )
    # Which zero points learn shows in the ranges, and the optimiser has to know it before the switch.
    plain = (cast(x, dtype) for x in switch.plain())
    ranges.calibrate(network, plain, settings.low, settings.high)
    ranges.learn_zeros(network)
    ranges.switch(network, on=False)
    return _trainer(network.train(), settings, batches, dtype, switch), batches


def in_recovery(
    model: ir.Model, settings: Settings, source: Source, compute: Compute
) -> tuple[Trainer, Batches]:
    """The network in float before its first step, and what it will see."""
    batches = batches_of(settings, source, compute)
    network = _network(model, batches, compute)
    dtype = compute.dtype_for(network)
    return _trainer(network.train(), settings, batches, dtype, None), batches


def _quantiser(kind: str, bits: int, options: dict[str, Any], weight: Tensor) -> nn.Module:
    made: nn.Module = QUANTISERS[kind](weight, bits, **options)
    return made


def _share_levels(
    network: QuantNetwork,
    few: dict[str, int],
    settings: Settings,
    batches: Batches,
    dtype: torch.dtype,
) -> None:
    """Quantises the layers of few bits anew, the levels shared out by the norms of their gradients."""
    trainer = _trainer(network, settings, batches, dtype, None)
    weights = [network.weight(layer) for layer in few]
    norms = gradient_norms(trainer, weights, batches.at)
    levels = redistribute([1 << width for width in few.values()], norms)
    logger.info("levels of %d layers by their gradients: %s", len(few), levels)
    for (layer, width), count in zip(few.items(), levels, strict=True):
        options = {**settings.options, "levels": count}
        network.quantise_weights(layer, partial(_quantiser, settings.quantiser, width, options))


def _trainer(
    network: QuantNetwork,
    settings: Settings,
    batches: Batches,
    dtype: torch.dtype,
    switch: Switch | None,
) -> Trainer:
    lesson = batches.lesson
    return Trainer(
        network,
        lesson.loss,
        settings,
        dtype=dtype,
        mean=torch.from_numpy(lesson.mean),
        spread=lesson.spread,
        switch=switch,
    )


def _network(
    model: ir.Model,
    batches: Batches,
    compute: Compute,
    keep_float: tuple[str, ...] = (),
    *,
    activation_products: bool = False,
    integer_outputs: bool = False,
) -> QuantNetwork:
    here = replace(batches, device=HOST)
    network = network_of(
        model,
        lambda: here.plain(_MOMENTS, _BATCH),
        keep_float,
        activation_products=activation_products,
        integer_outputs=integer_outputs,
    )
    return network.to(compute.device)


def batches_of(settings: Settings, source: Source, compute: Compute) -> Batches:
    """What a network given as a graph is trained on: the answers to views, and a lesson that reads logits alone."""
    views = Views(source.calib, source.distill, source.seed)
    guide = open_answers(views, folder=source.answers)
    lesson = _on_logits(lesson_of(source.distill, source.calib, guide, source.activation), guide)
    # An order of its own: what the student saw last is not what it sees first.
    seed = source.seed + 1
    return Batches(
        source.calib,
        views,
        guide,
        lesson,
        settings.batch_size,
        seed,
        compute.device,
        source.padding,
        Order.of(source.distill, guide, views),
    )


def _on_logits(lesson: Lesson, guide: Guide) -> Lesson:
    """The lesson with what of its loss reads logits alone, or with the usual loss of its space: graphs have no taps."""
    loss = lesson.loss
    plain = losses.on_logits(loss)
    if plain is loss:
        return lesson
    lacking = ", ".join(sorted(loss.student_taps)) or "parameters of a loss"
    if plain is not None:
        logger.warning(
            "distill.loss: a graph has no %s to train by; the terms on logits are used at quantised weights",
            lacking,
        )
        return on_scale(plain, guide)
    usual = losses.USUAL[loss.space]
    logger.warning(
        "distill.loss: a graph has no %s to train by; '%s' is used at quantised weights",
        lacking,
        usual,
    )
    plain = losses.LOSSES[usual](temperature=loss.temperature, label_weight=loss.label_weight)
    return on_scale(plain, guide)


def _key(settings: Settings, batches: Batches, compute: Compute) -> Json:
    """Everything that decides a training, beside its network."""
    return {
        "compute": compute.key(),
        "guide": batches.guide.key(),
        "seed": batches.seed,
        "settings": settings.key(),
    }


def _run(
    trainer: Trainer,
    batches: Batches,
    key: Json,
    checkpoint_s: float,
    folder: Path,
    progress: Progress,
    lr_key: str,
    learn: Callable[[loop.Learner, Batch, int], Tensor],
) -> list[Json]:
    """Trains to the end; the network is then in eval mode, with statistics of normalisation of its last weights.
    Returns the history of `loop.train`."""
    settings, network = trainer.settings, trainer.network
    course = _course(settings, batches, checkpoint_s, lr_key)
    identity = digest_json(key)
    history = loop.train(
        trainer,
        batches.at,
        course,
        identity=identity,
        folder=folder,
        progress=progress,
        learn=learn,
    )
    first = (cast(batches.at(i).x, trainer.dtype) for i in range(_NORM_BATCHES))
    network.estimate_norms(cast(x, torch.float32) for x in first)
    network.eval()
    checkpoint.remove_all(folder)
    return history


def _course(settings: Settings, batches: Batches, checkpoint_s: float, lr_key: str) -> loop.Course:
    return loop.Course(
        steps=settings.steps,
        batch_size=settings.batch_size,
        seed=batches.seed,
        checkpoint_s=checkpoint_s,
        lr=settings.lr,
        lr_key=lr_key,
    )
