"""Trains the students of the quantisation benchmark, many at once on one accelerator.

    python -m benchmarks.qat_device STRUCTURES DATA OUT --float-seconds 200 --quant-seconds 250

Every network has its own stream and a recorded step (CUDA graph), and the steps of a wave of networks are replayed in
turn, so that small networks fill a large device. What is trained is the product's own: `quant.train` network,
quantisers and optimiser. A wave measures its speed first and then fits its number of steps to the seconds it has; every
network of a wave gets the same number of steps. Without CUDA the steps run one after the other, to try the script.

DATA: cifar.npz and fashion.npz with x_train, y_train, x_test (uint8 [n, c, h, w]); their mean and std. Writes
OUT/<wave>.npz: integers, scales, biases, grids and test logits of each quantised network, weights of the float ones.
"""

from __future__ import annotations

import argparse
import json
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from squeeze.losses.kd import KD
from squeeze.students import Network
from squeeze.train.quantised import QUANTISERS, ranges
from squeeze.train.quantised.door import trained
from squeeze.train.quantised.network import QuantNetwork
from squeeze.train.quantised.plan import Plan
from squeeze.train.quantised.trainer import Trainer

BATCH = 256
VIEWS = 24
SHIFT = 4
FLOAT_LR, QUANT_LR, QUANT_WD = 0.15, 0.04, 1e-4
GRID = (0, 255)
LAST_PHASE = 0.2  # of a quantised training, with activations on their grids
RATE_EVERY = 4
CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
HALF = torch.bfloat16 if CUDA else torch.float32

METHODS = {
    "quantised-distillation": "lsq",
    "differentiable": "codebook",
    "mixed": "codebook",
}


class Images:
    """Training images with a border, the teacher's logits for shifted and mirrored views of them, test images."""

    def __init__(self, path: Path, teacher: Network, views: int) -> None:
        with np.load(path) as z:
            mean, std = (
                torch.tensor(z[k], dtype=torch.float32).reshape(1, -1, 1, 1)
                for k in ("mean", "std")
            )
            x, self.y = torch.from_numpy(z["x_train"]), torch.from_numpy(z["y_train"]).to(DEVICE)
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
        self.logits = torch.empty(views, self.n, 10, device=DEVICE)
        with torch.no_grad(), torch.autocast(DEVICE.type, HALF, enabled=CUDA):
            for v in range(views):
                for start in range(0, self.n, 2000):
                    index = torch.arange(start, min(start + 2000, self.n), device=DEVICE)
                    view = torch.full_like(index, v)
                    self.logits[v, index] = teacher(self.take(index, view)).float()
        self.length = 64 * self.n // BATCH * BATCH
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
    """One network in training."""

    name: str
    images: Images
    network: QuantNetwork
    method: Any = "quantised-distillation"
    lr: float = QUANT_LR
    weight_decay: float = QUANT_WD
    quantised: bool = True
    facts: dict[str, Any] = field(default_factory=dict)
    offset: int = 0

    def start(self) -> None:
        self.network.to(DEVICE).to(memory_format=torch.channels_last).train()
        self.trainer = Trainer(self.network, KD(), weight_decay=self.weight_decay)
        self.position = torch.tensor(self.offset, device=DEVICE)
        self.run = torch.arange(BATCH, device=DEVICE)
        self.stream = torch.cuda.Stream() if CUDA else None

    def body(self) -> None:
        at = (self.position + self.run) % self.images.length
        index, view = self.images.order[at], self.images.view[at]
        x = self.images.take(index, view)
        self.trainer.step(x, self.images.logits[view, index], self.images.y[index])
        self.position += BATCH

    def record(self) -> None:
        """Records the step; the three steps before it change nothing but momentum."""
        self.replay = self.body
        if not CUDA:
            return
        self.trainer.set_rates(0, steps=1 << 30, peak=0.0, method="quantised-distillation")
        with torch.cuda.stream(self.stream):
            for _ in range(3):
                self.body()
        torch.cuda.synchronize()
        recorded = torch.cuda.CUDAGraph()
        with torch.cuda.graph(recorded, stream=self.stream):
            self.body()
        torch.cuda.synchronize()
        self.replay = recorded.replay

    def stage(self) -> Any:
        return torch.cuda.stream(self.stream) if CUDA else nullcontext()


def run_wave(jobs: list[Job], *, seconds: float, most_steps: int) -> int:
    """Trains the jobs together for about `seconds`; returns the number of steps each got."""
    began = time.time()
    for job in jobs:
        job.start()
        job.record()
    trial = 12
    clock = time.time()
    _replay(jobs, 0, trial, total=1 << 30)
    per_step = (time.time() - clock) / trial
    left = seconds - (time.time() - began) - 4.0
    total = max(20, min(most_steps, int(left / per_step)))
    quantised = [job for job in jobs if job.quantised]
    first = int(total * (1 - LAST_PHASE)) if quantised else total
    _replay(jobs, 0, first, total=total)
    if quantised:
        for job in quantised:
            ranges.calibrate(job.network, job.images.batches(4), *GRID)
        for job in jobs:
            job.record()
        _replay(jobs, first, total, total=total)
    print(
        f"  {len(jobs)} networks, {total} steps, {per_step * 1e3:.1f} ms a round, "
        f"{len(jobs) * BATCH / per_step:,.0f} img/s, {time.time() - began:.1f} s",
        flush=True,
    )
    return total


def _replay(jobs: list[Job], first: int, last: int, *, total: int) -> None:
    for step in range(first, last):
        for job in jobs:
            with job.stage():
                if step % RATE_EVERY == 0 or step == first:
                    peak = job.lr if total < 1 << 30 else 0.0
                    job.trainer.set_rates(step, steps=total, peak=peak, method=job.method)
                    if peak == 0.0:
                        for rate in job.trainer.point_rates:
                            rate.zero_()
                job.replay()
    if CUDA:
        torch.cuda.synchronize()


@torch.no_grad()
def finish(job: Job, steps: int, arrays: dict[str, np.ndarray]) -> None:
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
    job.facts["steps"] = steps
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
    global BATCH
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("structures", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--float-seconds", type=float, default=200)
    parser.add_argument("--quant-seconds", type=float, default=250)
    parser.add_argument("--float-epochs", type=float, default=100)
    parser.add_argument("--quant-epochs", type=float, default=30)
    parser.add_argument("--wave", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--views", type=int, default=VIEWS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--batch", type=int, default=256)
    args = parser.parse_args()
    BATCH = args.batch
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False
    began = time.time()
    images = {
        "cifar": Images(args.data / "cifar.npz", teacher(args.structures, "resnet56"), args.views),
        "fashion": Images(
            args.data / "fashion.npz", teacher(args.structures, "fashion"), args.views
        ),
    }
    if CUDA:
        torch.cuda.synchronize()
    print(f"labels {time.time() - began:.1f} s", flush=True)
    names = ["resnet20", "fashion20", "curve100", "curve60", "curve30"]
    if args.quick:
        names = ["resnet20", "fashion20"]
    floats = []
    for name in names:
        for seed in range(args.seeds if name.endswith("20") else 1):
            source = images["fashion" if name == "fashion20" else "cifar"]
            job = Job(f"{name}/float/32/{seed}", source, fresh(args.structures, name, seed))
            job.lr, job.weight_decay, job.quantised = FLOAT_LR, 5e-4, False
            job.offset = seed * source.length // 7 // BATCH * BATCH
            job.facts = {"network": name, "method": "float", "bits": 32, "seed": seed}
            floats.append(job)
    epoch = 50_000 // BATCH
    steps = run_wave(floats, seconds=args.float_seconds, most_steps=int(args.float_epochs * epoch))
    # In two files, for whoever fetches them by size.
    files: dict[str, dict[str, np.ndarray]] = {"float-large": {}, "float-small": {}}
    states = {}
    for job in floats:
        large = job.facts["network"] in ("resnet20", "fashion20")
        arrays = files["float-large" if large else "float-small"]
        finish(job, steps, arrays)
        states[job.name] = {
            k: v.detach().cpu().clone() for k, v in job.network.state_dict().items()
        }
        _say(job, args.data, arrays)
    for file, found in files.items():
        np.savez(args.out / f"{file}.npz", **found)
    jobs = []
    for job in floats:
        name, seed = job.facts["network"], job.facts["seed"]
        if name.endswith("20"):
            wanted = [(m, b) for b in (2, 3, 4) for m in METHODS]
            wanted += [("quantised-distillation", 8), ("continued", 32)]
        else:
            bits = {"curve100": 3, "curve60": 2, "curve30": 2}[name]
            wanted = [("quantised-distillation", bits), ("mixed", bits)]
        jobs += [(job, method, bits) for method, bits in wanted]
    # Cheap ones last: if time is short, they suffer least.
    waves = [jobs[i : i + args.wave] for i in range(0, len(jobs), args.wave)]
    del floats
    first: int | None = None
    ended = time.time() + args.quant_seconds
    for number, wave in enumerate(waves):
        made = []
        for origin, method, bits in wave:
            facts = {**origin.facts, "method": method, "bits": bits}
            name = f"{facts['network']}/{method}/{bits}/{facts['seed']}"
            state = states[origin.name]
            if method == "continued":
                network = QuantNetwork(*structure(args.structures, facts["network"]))
                network.load_state_dict(state)
                job = Job(name, origin.images, network, lr=QUANT_LR, quantised=False, facts=facts)
            else:
                network = quantised(args.structures, facts["network"], state, METHODS[method], bits)
                job = Job(name, origin.images, network, method=method, facts=facts)
            job.offset = (facts["seed"] + 3) * job.images.length // 7 // BATCH * BATCH
            made.append(job)
        left = (ended - time.time()) / (len(waves) - number) - 0.8 * len(wave)
        # Every wave has the steps of the first one, so that all rows are comparable.
        steps = run_wave(made, seconds=left, most_steps=first or int(args.quant_epochs * epoch))
        first = first or steps
        arrays = {}
        for job in made:
            finish(job, steps, arrays)
            _say(job, args.data, arrays)
        np.savez(args.out / f"wave{number}.npz", **arrays)
        del made
        if CUDA:
            torch.cuda.empty_cache()
    print(f"all {time.time() - began:.1f} s", flush=True)


def _say(job: Job, data: Path, arrays: dict[str, np.ndarray]) -> None:
    path = data / ("fashion.npz" if "fashion" in job.name else "cifar.npz")
    if path not in _TRUTH:
        with np.load(path) as z:
            _TRUTH[path] = z["y_test"]
    right = (arrays[f"{job.name}/top1"] == _TRUTH[path]).mean()
    print(f"{job.name} {100 * right:.2f}", flush=True)


_TRUTH: dict[Path, np.ndarray] = {}

if __name__ == "__main__":
    main()
