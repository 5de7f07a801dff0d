"""Trains the students of the quantisation benchmark, many at once on one accelerator, or few on a CPU.

    python -m benchmarks.qat_device STRUCTURES DATA OUT --float-epochs 8 --quant-epochs 6

STRUCTURES: of `benchmarks.qat_structures`; DATA: of `benchmarks.qat_images`. Writes OUT/<wave>.npz: integers, scales,
biases, grids and test logits of each quantised network, weights of the float ones. A wave whose file is there is not
trained again.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import host
from benchmarks.qat_networks import fresh, quantised, structure, teacher
from benchmarks.qat_views import CUDA, Images
from benchmarks.qat_waves import Job, train_waves
from squeeze.train.quantised.network import QuantNetwork
from squeeze.train.quantised.settings import Settings

VIEWS = 24
FLOAT_LR, FLOAT_WD, QUANT_LR = 0.15, 5e-4, 0.04

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
    states = train_waves([large, small], ["float-large", "float-small"], args.out)
    jobs = [job for origin in floats for job in _quantised_jobs(origin, states, args, quant_steps)]
    waves = [jobs[start : start + args.wave] for start in range(0, len(jobs), args.wave)]
    train_waves(waves, [f"wave{number}" for number in range(len(waves))], args.out)
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


if __name__ == "__main__":
    main()
