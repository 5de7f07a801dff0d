"""Networks of the quantisation benchmark in training, a wave of them together.

What trains is the product's own loop: `train.loop.steps` with the networks, quantisers and optimisers of
`train.quantised`. On CUDA every network of a wave has a stream of its own and an update that is recorded once (CUDA
graph) and replayed, and the steps of the wave are taken in turn, so that small networks fill a large device. Without
CUDA they run one after the other.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.qat_views import CUDA, DEVICE, HALF, Images
from squeeze.losses.kd import KD
from squeeze.outputs import Outputs
from squeeze.train import loop
from squeeze.train.batches import Batch
from squeeze.train.quantised import Codebook
from squeeze.train.quantised.door import trained
from squeeze.train.quantised.network import QuantNetwork
from squeeze.train.quantised.redistribution import gradient_norms, redistribute
from squeeze.train.quantised.settings import Settings
from squeeze.train.quantised.trainer import Switch, Trainer

LAST_PHASE = 0.2  # of a quantised training, with activations on their grids


@dataclass
class Job:
    """One network in training. `offset`: where in the endless row of samples it begins."""

    name: str
    images: Images
    network: QuantNetwork
    settings: Settings
    quantised: bool = True
    redistribute: bool = False
    offset: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    def batch_at(self, step: int) -> Batch:
        """The batch of a step."""
        images, size = self.images, self.settings.batch_size
        at = (self.offset + step * size + torch.arange(size, device=DEVICE)) % images.length
        index, view = images.order[at], images.view[at]
        answers = Outputs(images.logits[view, index])
        return Batch(images.take(index, view), answers, images.y[index])

    def start(self) -> Iterator[Tensor]:
        """The training, a step each time that something is asked for."""
        network = self.network.to(DEVICE).to(memory_format=torch.channels_last)
        settings = self.settings
        if self.redistribute:
            _share_levels(self)
        switch = None
        if self.quantised:
            first = int(settings.steps * (1 - LAST_PHASE))
            switch = Switch(first, lambda: self.images.batches(4))
        learner = Trainer(network.train(), KD(), settings, dtype=HALF, switch=switch)
        course = loop.Course(
            steps=settings.steps,
            batch_size=settings.batch_size,
            seed=0,
            checkpoint_s=math.inf,
            lr=settings.lr,
            lr_key="lr",
        )
        learn = Recorded() if CUDA else loop.update
        return loop.steps(learner, self.batch_at, course, learn=learn)


class Recorded:
    """An update that is recorded once and replayed with the next batch in the place of the first."""

    def __init__(self) -> None:
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, learner: Trainer, batch: Batch, step: int) -> Tensor:
        switched = learner.switch is not None and step == learner.switch.step
        if self.graph is None or switched:
            self._record(learner, batch, step)
        for place, value in zip(self._tensors(self.batch), self._tensors(batch), strict=True):
            place.copy_(value)
        self.graph.replay()
        return self.loss

    def _record(self, learner: Trainer, batch: Batch, step: int) -> None:
        """The three updates before it have the rate 0 and change nothing but momentum and statistics."""
        stream = torch.cuda.current_stream()
        rates = [*learner.rates.values(), *learner.point_rates]
        kept = [rate.clone() for rate in rates]
        for rate in rates:
            rate.zero_()
        labels = None if batch.labels is None else batch.labels.clone()
        self.batch = Batch(batch.x.clone(), Outputs(batch.answers.logits.clone()), labels)
        for _ in range(3):
            loop.update(learner, self.batch, step)
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=stream):
            self.loss = loop.update(learner, self.batch, step)
        torch.cuda.synchronize()
        for rate, value in zip(rates, kept, strict=True):
            rate.copy_(value)

    def _tensors(self, batch: Batch) -> list[Tensor]:
        return [t for t in (batch.x, batch.answers.logits, batch.labels) if t is not None]


def train_waves(
    waves: list[list[Job]], files: list[str], folder: Path
) -> dict[str, dict[str, Tensor]]:
    """Trains wave after wave, each into a file of `folder`. Weights of the float networks, by the names of their jobs.

    A file that an earlier run with the same jobs left is taken as it is.
    """
    states: dict[str, dict[str, Tensor]] = {}
    for wave, file in zip(waves, files, strict=True):
        path = folder / f"{file}.npz"
        arrays = _left(path, wave)
        if wave and arrays is None:
            run_wave(wave)
            arrays = {}
            for job in wave:
                finish(job, arrays)
                right = arrays[f"{job.name}/top1"] == job.images.test_labels
                print(f"{job.name} {100 * right.mean():.2f}", flush=True)
            part = path.with_suffix(".part")
            with part.open("wb") as f:
                np.savez(f, allow_pickle=False, **arrays)
            part.replace(path)
        for job in wave:
            start = f"{job.name}/state/"
            states[job.name] = {
                key.removeprefix(start): torch.from_numpy(value)
                for key, value in (arrays or {}).items()
                if key.startswith(start)
            }
    return states


def _left(path: Path, wave: list[Job]) -> dict[str, np.ndarray] | None:
    """The arrays of a wave, if the file has all of it and was told the same; None otherwise."""
    if not path.is_file():
        return None
    with np.load(path) as z:
        found = {key: z[key] for key in z.files}
    for job in wave:
        told = {**job.facts, "steps": job.settings.steps}
        known = json.loads(bytes(found.get(f"{job.name}/facts", b"{}")))
        if any(known.get(key) != value for key, value in told.items()):
            return None
    return found


def run_wave(jobs: list[Job]) -> None:
    """Trains the jobs together, a step of each in turn; all of them have the same number of steps."""
    began = time.time()
    streams = [torch.cuda.Stream() if CUDA else None for _ in jobs]
    running = []
    for job, stream in zip(jobs, streams, strict=True):
        with _on(stream):
            running.append(job.start())
    count = jobs[0].settings.steps
    for _ in range(count):
        for run, stream in zip(running, streams, strict=True):
            with _on(stream):
                next(run)
    if CUDA:
        torch.cuda.synchronize()
    seconds, size = time.time() - began, jobs[0].settings.batch_size
    print(
        f"  {len(jobs)} networks, {count} steps, {len(jobs) * count * size / seconds:,.0f} img/s, {seconds:.1f} s",
        flush=True,
    )


def _on(stream: Any) -> Any:
    return torch.cuda.stream(stream) if stream is not None else nullcontext()


def _share_levels(job: Job) -> None:
    """More points for the layers with larger gradients, as `quant.redistribute` does it."""
    network = job.network.eval()
    few = {k: m.levels for k, m in network.weight_quantisers.items() if isinstance(m, Codebook)}
    trainer = Trainer(network, KD(), job.settings, dtype=HALF)
    norms = gradient_norms(trainer, [network.weight(layer) for layer in few], job.batch_at)
    shared = redistribute(list(few.values()), norms)
    for layer, levels in zip(few, shared, strict=True):
        network.quantise_weights(layer, lambda w, n=levels: Codebook(w, 0, levels=n))
    job.facts["levels"] = shared


@torch.no_grad()
def finish(job: Job, arrays: dict[str, np.ndarray]) -> None:
    """Final statistics, the test logits in float32, and what a file needs."""
    job.network.estimate_norms([x.float() for x in job.images.batches(10)])
    job.network.eval()
    parts = [
        job.network(
            job.images.test[i : i + 1000].to(DEVICE).contiguous(memory_format=torch.channels_last)
        )
        for i in range(0, len(job.images.test), 1000)
    ]
    logits = torch.cat(parts).float().cpu().numpy()
    arrays[f"{job.name}/logits"] = logits.astype(np.float16)
    arrays[f"{job.name}/top1"] = logits.argmax(1).astype(np.uint8)
    job.facts["steps"] = job.settings.steps
    arrays[f"{job.name}/facts"] = np.frombuffer(json.dumps(job.facts).encode(), np.uint8)
    if not job.quantised:
        for key, value in job.network.state_dict().items():
            arrays[f"{job.name}/state/{key}"] = value.cpu().numpy()
        return
    found = trained(job.network)
    for output, codes in found.weights.items():
        arrays[f"{job.name}/integers/{output}"] = codes.integers
        arrays[f"{job.name}/scales/{output}"] = codes.scales
        arrays[f"{job.name}/bias/{output}"] = codes.bias.astype(np.float64)
    grids = {root: list(grid) for root, grid in found.grids.items()}
    arrays[f"{job.name}/grids"] = np.frombuffer(json.dumps(grids).encode(), np.uint8)
