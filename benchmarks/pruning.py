"""Prunes the CIFAR teacher to 1.5x, 2x and 3x fewer MACs, with distillation in between, for `benchmarks.quantisation`.

    python -m benchmarks.pruning --seconds 420

One network goes down the three steps: pruned, trained, pruned again from where training left it. Writes per step
`pruned-<ratio>.onnx` (float) and `pruned-<ratio>.json` (MACs, seconds and images of training, accuracy before training)
into build/bench/pruned. A step is trained for a time and not for a schedule: what it reaches depends on the machine.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn

from benchmarks.cases import ROOT, data
from benchmarks.feeds import optimise
from squeeze import export, graph, runtimes
from squeeze.losses.kd import KD
from squeeze.outputs import Outputs
from squeeze.prune import Bundle, Samples, Scores, importance, macs, prune_once
from squeeze.students import Network
from squeeze.students.imported import imported
from squeeze.train.batches import Batch
from squeeze.train.loop import update
from squeeze.train.quantised.door import network_of, to_float
from squeeze.train.quantised.settings import Settings
from squeeze.train.quantised.trainer import Trainer

RATIOS = (1.5, 2.0, 3.0)
TEACHER = "teachers-cifar10/resnet56_jpeg.onnx"
BATCH, PEAK, SHIFT, SEED = 64, 0.03, 4, 0
RATE_STEPS = 10_000  # the cosine follows the clock, in so many steps
CHECKPOINT_SECONDS = 120.0


class Images:
    """CIFAR-10 as the teacher takes it."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as z:
            self.mean, self.std = (z[k].reshape(1, -1, 1, 1) for k in ("mean", "std"))
            self.x, self.y = z["x_train"], z["y_train"]
            self.test, self.y_test = z["x_test"], z["y_test"]

    def normal(self, x: np.ndarray) -> np.ndarray:
        """[n, c, h, w] integers -> float32."""
        return np.asarray((x / 255 - self.mean) / self.std, np.float32)

    def batch(self, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Shifted and mirrored training images, and their labels."""
        index = generator.integers(0, len(self.x), BATCH)
        padded = np.pad(self.normal(self.x[index]), ((0, 0), (0, 0), (SHIFT,) * 2, (SHIFT,) * 2))
        side = self.x.shape[2]
        rows, columns = generator.integers(0, 2 * SHIFT + 1, (2, BATCH))
        views = [
            one[:, r : r + side, c : c + side]
            for one, r, c in zip(padded, rows, columns, strict=True)
        ]
        flipped = generator.random(BATCH) < 0.5
        views = [v[:, :, ::-1] if f else v for v, f in zip(views, flipped, strict=True)]
        x = torch.from_numpy(np.stack(views)).contiguous(memory_format=torch.channels_last)
        return x, torch.from_numpy(self.y[index])

    def batches(self, count: int, size: int = 256) -> list[Tensor]:
        """Training images as they are, for statistics."""
        parts = (self.normal(self.x[i * size : (i + 1) * size]) for i in range(count))
        return [torch.from_numpy(part) for part in parts]


def pruned(
    network: Network, teacher: Network, images: Images, *, left: float
) -> tuple[ir.Model, int]:
    """The graph with `left` of the MACs of `network`, and its MACs."""
    x = images.batches(2)
    with torch.no_grad():
        batches = [Samples(part, teacher=teacher(part)) for part in x]
    by_loss = importance("distillation")

    def score(module: nn.Module, bundles: Sequence[Bundle]) -> Scores:
        return by_loss(module, bundles, batches)

    found = prune_once(network, x[0][:2], ratio=1 - left, score=score)
    model = export.to_ir(found.module, x[0][:3].numpy(), input_name="x", output_name="logits")
    optimise(model, x[0].numpy())
    return model, found.macs_after


def recover(
    model: ir.Model, teacher: Network, images: Images, path: Path, *, seconds: float
) -> tuple[ir.Model, int]:
    """The graph after distillation for `seconds`, and how many images that took; saves it from time to time."""
    network = network_of(model, lambda: images.batches(2))
    network.train()
    settings = Settings(RATE_STEPS, PEAK, BATCH)
    trainer = Trainer(network, KD(), settings, dtype=torch.bfloat16)
    generator = np.random.default_rng(SEED)
    began, saved, count = time.time(), time.time(), 0
    while (spent := time.time() - began) < seconds:
        step = int(spent / seconds * RATE_STEPS)
        trainer.begin(step)
        x, labels = images.batch(generator)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            logits = teacher(x.bfloat16()).float()
        update(trainer, Batch(x, Outputs(logits), labels), step)
        count += len(x)
        if time.time() - saved > CHECKPOINT_SECONDS:
            graph.save(to_float(model, network.eval()), path)
            network.train()
            saved = time.time()
    network.estimate_norms(images.batches(8))
    return to_float(model, network.eval()), count


def accuracy(path: Path, images: Images, count: int = 2000) -> float:
    """Share of the first test images, by ONNX Runtime: what pruning alone leaves."""
    logits = runtimes.run(path, images.normal(images.test[:count]))
    return float((logits.argmax(1) == images.y_test[:count]).mean())


def main() -> None:
    """Prunes and trains, one step after the other."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=420.0, help="of training, per step")
    parser.add_argument("--folder", type=Path, default=ROOT / "build/bench/pruned")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    images = Images(ROOT / "build/bench/qatdata/cifar.npz")
    model = graph.load(data(TEACHER))
    optimise(model, images.normal(images.x[:1]))
    teacher = imported(model)
    teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's lacks it
    whole = now = macs(teacher, images.batches(1)[0][:2])
    total = 0
    for ratio in RATIOS:
        path = given.folder / f"pruned-{ratio:g}.onnx"
        model, after = pruned(imported(model), teacher, images, left=whole / ratio / now)
        now = after
        graph.save(model, path)
        before = accuracy(path, images)
        model, count = recover(model, teacher, images, path, seconds=given.seconds)
        graph.save(model, path)
        total += count
        facts: dict[str, Any] = {
            "asked": ratio,
            "macs_ratio": whole / now,
            "macs": now,
            "seed": SEED,
            "seconds": given.seconds,
            "images": count,
            "images_so_far": total,
            "untrained_metric": before,
        }
        path.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
        print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
