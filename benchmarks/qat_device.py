"""Trains the students of the quantisation benchmark, many at once on one accelerator.

    python -m benchmarks.qat_device STRUCTURES DATA OUT --float-epochs 8 --quant-epochs 6

What trains is the product's own loop: `train.loop.steps` with the networks, quantisers and optimisers of
`train.quantised`. On CUDA every network of a wave has a stream of its own and an update that is recorded once (CUDA
graph) and replayed, and the steps of the wave are taken in turn, so that small networks fill a large device. Without
CUDA they run one after the other, to try the script.

DATA: cifar.npz and fashion.npz with x_train, y_train, x_test (uint8 [n, c, h, w]), y_test; their mean and std. Writes
OUT/<wave>.npz: integers, scales, biases, grids and test logits of each quantised network, weights of the float ones.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmarks import host
from squeeze.losses.kd import KD
from squeeze.outputs import Outputs
from squeeze.students import Network
from squeeze.train import loop
from squeeze.train.batches import Batch
from squeeze.train.quantised import QUANTISERS, Codebook, ranges
from squeeze.train.quantised.door import trained
from squeeze.train.quantised.network import QuantNetwork
from squeeze.train.quantised.plan import Plan
from squeeze.train.quantised.redistribution import gradient_norms, redistribute
from squeeze.train.quantised.settings import Settings
from squeeze.train.quantised.trainer import Switch, Trainer

VIEWS = 24
SHIFT = 4
FLOAT_LR, FLOAT_WD, QUANT_LR = 0.15, 5e-4, 0.04
GRID = (0, 255)
LAST_PHASE = 0.2  # of a quantised training, with activations on their grids
CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
HALF = torch.bfloat16 if CUDA else torch.float32

METHODS = {
    "quantised-distillation": "lsq",
    "differentiable": "codebook",
    "mixed": "codebook",
    "mixed-redistributed": "codebook",
}
CONTINUED = "continued"  # in float, for as long
TEACHERS = {"cifar": "resnet56", "fashion": "fashion"}
_ALL = [(method, bits) for bits in (2, 3, 4) for method in METHODS]
_EVERY = [*_ALL, ("quantised-distillation", 8), (CONTINUED, 32)]
# What is made of each network: method, bits.
WANTED = {
    "resnet20": _EVERY,
    "fashion20": _EVERY,
    "fashion20-half": [(m, bits) for bits in (2, 3) for m in ("mixed", "mixed-redistributed")],
    "curve100": [("quantised-distillation", 3), ("mixed", 3)],
    "curve60": [("quantised-distillation", 2), ("mixed", 2)],
    "curve30": [("quantised-distillation", 2), ("mixed", 2)],
}
LARGE = ("resnet20", "fashion20")
SEEDED = (*LARGE, "fashion20-half")
USUAL = (*LARGE, "curve100", "curve60", "curve30")


class Images:
    """Training images with a border, the teacher's logits for shifted and mirrored views of them, test images."""

    def __init__(
        self,
        path: Path,
        teacher: Network,
        views: int,
        batch_size: int,
        count: int | None = None,
    ) -> None:
        with np.load(path) as z:
            mean, std = (
                torch.tensor(z[k], dtype=torch.float32).reshape(1, -1, 1, 1)
                for k in ("mean", "std")
            )
            x = torch.from_numpy(z["x_train"][:count])
            self.y = torch.from_numpy(z["y_train"][:count]).to(DEVICE)
            test = torch.from_numpy(z["x_test"])
        self.n, self.channels, self.side = len(x), x.shape[1], x.shape[2]
        self.test = (test.float() / 255 - mean) / std
        x = x.to(DEVICE)
        normal = ((x.float() / 255 - mean.to(DEVICE)) / std.to(DEVICE)).to(HALF)
        self.padded = nn.functional.pad(normal, (SHIFT,) * 4)
        g = torch.Generator().manual_seed(0)
        self.shift = torch.randint(0, 2 * SHIFT + 1, (views, self.n, 2), generator=g).to(DEVICE)
        self.flip = torch.randint(0, 2, (views, self.n), generator=g).bool().to(DEVICE)
        self.views = views
        self.at = torch.arange(self.side, device=DEVICE)
        self.plane = torch.arange(self.channels, device=DEVICE)
        with torch.no_grad(), torch.autocast(DEVICE.type, HALF, enabled=CUDA):
            first = torch.zeros(2, dtype=torch.long, device=DEVICE)
            classes = teacher(self.take(first, first)).shape[1]
            self.logits = torch.empty(views, self.n, classes, device=DEVICE)
            for v in range(views):
                for start in range(0, self.n, 2000):
                    index = torch.arange(start, min(start + 2000, self.n), device=DEVICE)
                    view = torch.full_like(index, v)
                    self.logits[v, index] = teacher(self.take(index, view)).float()
        self.length = 64 * self.n // batch_size * batch_size
        epochs = [torch.randperm(self.n, generator=g) for _ in range(64)]
        self.order = torch.cat(epochs)[: self.length].to(DEVICE)
        own = torch.randint(0, views, (self.n,), generator=g)
        seen = torch.cat([(own[p] + e) % views for e, p in enumerate(epochs)])
        self.view = seen[: self.length].to(DEVICE)

    def take(self, index: Tensor, view: Tensor) -> Tensor:
        """[n, c, h, w] views of the samples."""
        shift, flip = self.shift[view, index], self.flip[view, index]
        columns = torch.where(flip[:, None], self.side - 1 - self.at, self.at) + shift[:, 1:]
        rows = self.at + shift[:, :1]
        found = self.padded[
            index[:, None, None, None],
            self.plane[None, :, None, None],
            rows[:, None, :, None],
            columns[:, None, None, :],
        ]
        return found.contiguous(memory_format=torch.channels_last)

    def batches(self, count: int, size: int = 500) -> list[Tensor]:
        """A few batches for statistics."""
        index = torch.arange(size, device=DEVICE)
        return [
            self.take((index + i * size) % self.n, index * 0 + i % self.views) for i in range(count)
        ]


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
            checkpoint_steps=settings.steps,
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


def structure(folder: Path, name: str) -> tuple[dict[str, Any], Plan]:
    """Description and plan of a network."""
    found = json.loads((folder / f"{name}.json").read_text())
    known = found["plan"]
    read = {(a, b): root for a, b, root in known["read"]}
    return found["params"], Plan(tuple(known["weighted"]), known["made"], read, known["absorbed"])


def fresh(folder: Path, name: str, seed: int) -> QuantNetwork:
    """A student with He-normal weights and fresh normalisation."""
    network = QuantNetwork(*structure(folder, name))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in network.weighted:
            module: Any = network.layers[layer]
            if layer in network.norms:
                fan_out = module.weight.numel() / module.in_channels * module.groups
                module.weight.normal_(0, (2 / fan_out) ** 0.5, generator=generator)
            else:
                module.weight.normal_(0, module.in_features**-0.5, generator=generator)
    return network


def quantised(
    folder: Path, name: str, state: dict[str, Tensor], kind: str, bits: int
) -> QuantNetwork:
    """A trained student with weights at `bits`, 8 in the first and the last layer."""
    network = QuantNetwork(*structure(folder, name))
    network.load_state_dict(state)
    layers = list(network.weighted)
    for layer in layers:
        ends = layer in (layers[0], layers[-1])
        chosen, width = ("lsq", 8) if ends else (kind, bits)
        network.quantise_weights(layer, lambda w, c=chosen, b=width: QUANTISERS[c](w, b))
    ranges.prepare(network, *GRID)
    return network


def teacher(folder: Path, name: str) -> Network:
    """A teacher in eval mode."""
    found = Network(structure(folder, name)[0])
    found.load_state_dict(load_file(folder / f"{name}.safetensors"))
    return found.to(DEVICE).to(memory_format=torch.channels_last).eval()


def main() -> None:
    args = _arguments()
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False
    args.out.mkdir(parents=True, exist_ok=True)
    began = time.time()
    images = {
        short: Images(
            args.data / f"{short}.npz",
            teacher(args.structures, TEACHERS[short]),
            args.views,
            args.batch,
            args.images,
        )
        for short in sorted({_images_of(name) for name in args.networks})
    }
    print(f"answers {time.time() - began:.1f} s", flush=True)
    epoch = min(found.n for found in images.values()) // args.batch
    float_steps, quant_steps = (int(e * epoch) for e in (args.float_epochs, args.quant_epochs))
    floats = []
    for name in args.networks:
        for seed in range(args.seeds if name in SEEDED else 1):
            source = images[_images_of(name)]
            settings = Settings(float_steps, FLOAT_LR, args.batch, weight_decay=FLOAT_WD)
            job = Job(
                f"{name}/float/32/{seed}", source, fresh(args.structures, name, seed), settings
            )
            job.quantised = False
            job.offset = seed * source.length // 7 // args.batch * args.batch
            job.facts = {"network": name, "method": "float", "bits": 32, "seed": seed}
            job.facts["training"] = _training(args, source)
            floats.append(job)
    # In two files, for whoever fetches them by size.
    large = [job for job in floats if job.facts["network"] in LARGE]
    small = [job for job in floats if job.facts["network"] not in LARGE]
    states = train_waves([large, small], ["float-large", "float-small"], args)
    jobs = [job for origin in floats for job in _quantised_jobs(origin, states, args, quant_steps)]
    waves = [jobs[start : start + args.wave] for start in range(0, len(jobs), args.wave)]
    train_waves(waves, [f"wave{number}" for number in range(len(waves))], args)
    print(f"all {time.time() - began:.1f} s", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("structures", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--float-epochs", type=float, default=8)
    parser.add_argument("--quant-epochs", type=float, default=6)
    parser.add_argument("--wave", type=int, default=16, help="networks that are trained together")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--views", type=int, default=VIEWS)
    parser.add_argument("--images", type=int, help="the first so many to train on; else all")
    parser.add_argument("--networks", nargs="+", choices=WANTED, default=USUAL)
    parser.add_argument("--methods", nargs="+", choices=[*METHODS, CONTINUED], help="only these")
    parser.add_argument("--bits", nargs="+", type=int, help="only these")
    parser.add_argument("--batch", type=int, default=256)
    return parser.parse_args()


def _training(args: argparse.Namespace, images: Images) -> dict[str, Any]:
    """How a network was trained, to stand beside its results."""
    return {
        "machine": torch.cuda.get_device_name() if CUDA else host.describe()["cpu"],
        "torch": torch.__version__,
        "batch": args.batch,
        "images": images.n,
        "views": args.views,
        "command": shlex.join(["python", "-m", "benchmarks.qat_device", *sys.argv[1:]]),
    }


def train_waves(
    waves: list[list[Job]], files: list[str], args: argparse.Namespace
) -> dict[str, dict[str, Tensor]]:
    """Trains wave after wave, each into a file; a file that has all of its wave stays. Weights of the float ones."""
    states: dict[str, dict[str, Tensor]] = {}
    for wave, file in zip(waves, files, strict=True):
        if not wave:
            continue
        path = args.out / f"{file}.npz"
        arrays = _kept(path, wave)
        if arrays is None:
            run_wave(wave)
            arrays = {}
            for job in wave:
                finish(job, arrays)
                _say(job, args.data, arrays)
            part = path.with_suffix(".part.npz")
            np.savez(part, allow_pickle=False, **arrays)
            part.replace(path)
        for job in wave:
            start = f"{job.name}/state/"
            states[job.name] = {
                key.removeprefix(start): torch.from_numpy(value)
                for key, value in arrays.items()
                if key.startswith(start)
            }
    return states


def _kept(path: Path, wave: list[Job]) -> dict[str, np.ndarray] | None:
    """What an earlier run left of a wave, if it was told the same."""
    if not path.is_file():
        return None
    with np.load(path) as z:
        found = {key: z[key] for key in z.files}
    for job in wave:
        facts = found.get(f"{job.name}/facts")
        if (
            facts is None
            or not {**job.facts, "steps": job.settings.steps}.items()
            <= json.loads(bytes(facts)).items()
        ):
            return None
    return found


def _quantised_jobs(
    origin: Job, states: dict[str, dict[str, Tensor]], args: argparse.Namespace, steps: int
) -> list[Job]:
    """What a float student is trained on to: each method at each number of bits, and as it is."""
    name = origin.facts["network"]
    made = []
    for method, bits in WANTED[name]:
        if method not in (args.methods or [method]) or bits not in (args.bits or [bits]):
            continue
        state, facts = states[origin.name], {**origin.facts, "method": method, "bits": bits}
        if method == CONTINUED:
            network = QuantNetwork(*structure(args.structures, name))
            network.load_state_dict(state)
        else:
            network = quantised(args.structures, name, state, METHODS[method], bits)
        how: Any = "quantised-distillation" if method == CONTINUED else method
        settings = Settings(steps, QUANT_LR, args.batch, method=how.removesuffix("-redistributed"))
        job = Job(f"{name}/{method}/{bits}/{facts['seed']}", origin.images, network, settings)
        job.quantised = method != CONTINUED
        job.redistribute = method.endswith("-redistributed")
        job.facts = facts
        job.offset = (facts["seed"] + 3) * job.images.length // 7 // args.batch * args.batch
        made.append(job)
    return made


def _images_of(network: str) -> str:
    return "fashion" if network.startswith("fashion") else "cifar"


def _say(job: Job, data: Path, arrays: dict[str, np.ndarray]) -> None:
    path = data / f"{_images_of(job.name)}.npz"
    if path not in _TRUTH:
        with np.load(path) as z:
            _TRUTH[path] = z["y_test"]
    right = (arrays[f"{job.name}/top1"] == _TRUTH[path]).mean()
    print(f"{job.name} {100 * right:.2f}", flush=True)


_TRUTH: dict[Path, np.ndarray] = {}

if __name__ == "__main__":
    main()
