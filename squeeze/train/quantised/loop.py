"""Distils the teacher into the network at quantised weights: batches of cached labels in, integers and grids out.

The stages of a training: weights quantised and activations in float; from the middle on activations on their grids
too (for 8-bit weights from the start); at the end the statistics of normalisation anew. Views, order and labels are
those of the distillation before, so nothing random is carried along, and a training that was killed goes on from a
checkpoint to the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from squeeze import losses
from squeeze.errors import ConfigError
from squeeze.guides.answers import Labels, open_labels
from squeeze.guides.views import Views
from squeeze.train import checkpoint, precision
from squeeze.train.checkpoint import Checkpoint
from squeeze.train.lesson import target
from squeeze.train.loop import torch_threads
from squeeze.train.quantised import QUANTISERS, ranges
from squeeze.train.quantised.door import Trained, network_of, to_float, trained
from squeeze.train.quantised.network import QuantNetwork
from squeeze.train.quantised.trainer import Method, Trainer
from squeeze.train.schedule import picks
from squeeze.workdir import digest_json

if TYPE_CHECKING:
    from pathlib import Path

    import onnx_ir as ir
    from numpy.typing import NDArray

    from squeeze.calib import Calib
    from squeeze.progress import Progress
    from squeeze.spec import DistillPart

Json = dict[str, Any]  # Any: JSON

_MOMENTS = 256  # samples, for the statistics of the folded normalisation
_BATCH = 64
_NORM_BATCHES = 20
_CHECKPOINTS = 200
_MONITORED = 8
# From this share of the steps on activations are on their grids.
_ACTIVATIONS_FROM = 0.5


@dataclass(frozen=True)
class Settings:
    """steps of `batch_size` at a peak rate of `lr`; method as in `trainer`; quantiser: a key of QUANTISERS, made with
    `options`; low, high: the integers of activations."""

    steps: int
    lr: float
    batch_size: int
    method: Method = "quantised-distillation"
    quantiser: str = "lsq"
    options: dict[str, Any] = field(default_factory=dict)  # Any: of the quantiser
    low: int = 0
    high: int = 255


@dataclass(frozen=True)
class Source:
    """Where the batches come from: views of the fit split and the teacher's labels for them."""

    calib: Calib
    distill: DistillPart
    labels: Path
    seed: int
    activation: str


def train_quantised(
    model: ir.Model,
    bits: dict[str, int],
    settings: Settings,
    source: Source,
    *,
    threads: int,
    folder: Path,
    progress: Progress,
) -> Trained:
    """The trained integers, scales and grids for `model`, an optimised float graph that stays as it is.

    bits: output of a weighted node -> bits of its weights, 8 for those that are not named. Checkpoints go to `folder`
    and are removed at the end. Raises UnsupportedError for operators that torch training does not know, ConfigError
    when the loss is no longer a number.
    """
    with torch_threads(threads):
        network = _network(model, source)
        for layer, output in network.weighted.items():
            width = bits.get(output, 8)
            kind, options = (settings.quantiser, settings.options) if width < 8 else ("lsq", {})
            network.quantise_weights(layer, partial(_quantiser, kind, width, options))
        ranges.prepare(network, settings.low, settings.high)
        late = any(b < 8 for b in bits.values())
        switch = int(settings.steps * _ACTIVATIONS_FROM) if late else 0
        key = {"bits": bits, "settings": settings.__dict__}
        _run(network, settings, source, key, folder, progress, switch=switch)
        return trained(network)


def recover(
    model: ir.Model,
    settings: Settings,
    source: Source,
    *,
    threads: int,
    folder: Path,
    progress: Progress,
) -> ir.Model:
    """`model`, an optimised float graph, with weights distilled from the teacher: what a pruned network needs."""
    with torch_threads(threads):
        network = _network(model, source)
        key = {"settings": settings.__dict__}
        _run(network, settings, source, key, folder, progress, switch=None)
        return to_float(model, network)


def _quantiser(kind: str, bits: int, options: dict[str, Any], weight: Tensor) -> nn.Module:
    made: nn.Module = QUANTISERS[kind](weight, bits, **options)
    return made


def _network(model: ir.Model, source: Source) -> QuantNetwork:
    calib = source.calib

    def batches() -> Iterator[Tensor]:
        for start in range(0, min(_MOMENTS, len(calib.calibrate)), _BATCH):
            yield torch.from_numpy(calib.inputs(calib.calibrate, start, start + _BATCH))

    return network_of(model, batches)


def _run(
    network: QuantNetwork,
    settings: Settings,
    source: Source,
    key: Json,
    folder: Path,
    progress: Progress,
    *,
    switch: int | None,
) -> None:
    batches = _Batches(network, settings, source)
    if switch is not None:
        ranges.calibrate(network, batches.plain(), settings.low, settings.high)
        ranges.learn_zeros(network)
        ranges.switch(network, on=False)
    trainer = Trainer(network.train(), batches.loss)
    identity = digest_json({**key, "labels": batches.known.digest, "seed": source.seed})
    folder.mkdir(parents=True, exist_ok=True)
    first = 0
    if (found := checkpoint.read_last(folder, identity)) is not None:
        first = found.step
        network.load_state_dict(found.state["model"])
        trainer.restore(found.state)
        ranges.switch(network, on=switch is not None and first > switch)
    began = time.monotonic()
    for step in range(first, settings.steps):
        if step == switch:
            ranges.calibrate(network, batches.plain(), settings.low, settings.high)
        trainer.set_rates(step, steps=settings.steps, peak=settings.lr, method=settings.method)
        loss = trainer.step(*batches.at(step))
        done = step + 1
        if done % _CHECKPOINTS == 0 and done < settings.steps:
            state = {"model": network.state_dict(), **trainer.state()}
            checkpoint.write(folder, Checkpoint(done, state, []), identity)
        if done % max(1, settings.steps // _MONITORED) == 0 and not np.isfinite(float(loss)):
            raise ConfigError(
                f"quantised training: at a rate of {settings.lr:g} the loss became {float(loss)} at step {done}; "
                f"lower it, such as quant.lr={settings.lr / 4:g}"
            )
        speed = (done - first) * settings.batch_size / (time.monotonic() - began)
        progress.update(done, settings.steps, f"{speed:,.0f} samples/s")
    network.estimate_norms(batches.at(i)[0].float() for i in range(_NORM_BATCHES))
    network.eval()
    checkpoint.remove_all(folder)


class _Batches:
    """The batches of a training, each a pure function of its step."""

    def __init__(self, network: QuantNetwork, settings: Settings, source: Source) -> None:
        self.settings, self.source, self.calib = settings, source, source.calib
        self.views = Views(source.calib, source.distill, source.seed)
        self.known: Labels = open_labels(self.views, folder=source.labels)
        calib = source.calib
        name = losses.choose(
            source.distill.loss,
            outputs=self.known.calibrate.shape[1],
            activation=source.activation,
            metric=calib.metric,
            classes=calib.classes,
            valued=calib.classes is None and calib.fit.y is not None,
        )
        part = source.distill
        plain = losses.LOSSES[name](temperature=part.temperature, label_weight=part.label_weight)
        self.target = target(name, self.known)
        self.loss = _Standardised(plain, self.target.mean, self.target.spread)
        self.dtype = precision.choose(part.precision, network)

    def at(self, step: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Inputs, the teacher's outputs and labels of a step."""
        samples, views = picks(
            step,
            n=len(self.calib.fit),
            batch_size=self.settings.batch_size,
            views=self.source.distill.views,
            seed=self.source.seed + 1,
        )
        batch = self.views.batch(samples, views)
        teacher = self.target.teacher(self.known.logits(samples, views))
        return self._input(batch.x), teacher, self.target.labels(batch.labels)

    def plain(self) -> Iterator[Tensor]:
        """Inputs of the calibrate split, for ranges."""
        for start in range(0, min(_MOMENTS, len(self.calib.calibrate)), _BATCH):
            yield self._input(self.calib.inputs(self.calib.calibrate, start, start + _BATCH))

    def _input(self, x: NDArray[np.generic]) -> Tensor:
        found = torch.from_numpy(np.ascontiguousarray(x))
        if found.ndim == 4:
            found = found.contiguous(memory_format=torch.channels_last)
        return found.to(self.dtype) if found.is_floating_point() else found


class _Standardised(nn.Module):
    """A loss on outputs that are brought to the scale on which the teacher's are."""

    def __init__(self, loss: nn.Module, mean: NDArray[np.float32], spread: float) -> None:
        super().__init__()
        self.loss, self.spread = loss, spread
        self.register_buffer("mean", torch.from_numpy(mean))

    def forward(self, student: Any, teacher: Any, labels: Tensor | None) -> Tensor:  # Any: Outputs
        logits = (student.logits.float() - self.mean) / self.spread
        found: Tensor = self.loss(type(student)(logits, None, None), teacher, labels)
        return found
