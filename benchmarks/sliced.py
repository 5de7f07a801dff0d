"""A child of one weight-sharing network against the same child from random weights, at equal total time.

    python -m benchmarks.sliced --network-seconds 40 --further-seconds 20 --images 4000

Of the bundled Fashion-MNIST teacher one network of the space 'small' is trained, and the part with the least held-out
loss inside a share of the teacher's operations is cut out of it and trained alone. The same architecture from random
weights (He et al., 2015) learns the same answers for as long as both together, at each of several peak rates. Seconds
are those of the process on one thread, so that what runs beside it does not count; a few steps are timed first. Asking
parts and taking statistics is not in them. Writes benchmarks/results/sliced.json (rows: case, run, seed, lr, seconds,
steps, macs, params, metric and teacher_metric in points of top-1 on the evaluate split, in float).
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import results_file
from benchmarks.cases import CASES, ROOT, cache_dir
from benchmarks.one_student import with_images
from squeeze import steps
from squeeze.case import Case
from squeeze.run import Run
from squeeze.seal import WEIGHTS
from squeeze.shrink.children import Seen
from squeeze.shrink.supernet.choice import Scored, score, settled
from squeeze.shrink.supernet.learner import Slimmable, sandwich
from squeeze.shrink.supernet.slices import Part, Sliceable, Slices
from squeeze.shrink.supernet.space import parts
from squeeze.spec import Recipe, load_recipe
from squeeze.steps.answering import answered
from squeeze.steps.shrinking_work import seen_of
from squeeze.steps.slices import slices_from
from squeeze.steps.slicing_work import slices_of
from squeeze.steps.training import source
from squeeze.train import loop
from squeeze.train.batches import inputs
from squeeze.train.quantised.quantise import batches_of
from squeeze.train.quantised.settings import Settings

logger = logging.getLogger(__name__)

RESULTS = ROOT / "benchmarks/results/sliced.json"
CASE, SPACE, ASKED = "fashion", "small", 12
TIMED_STEPS, BATCH = 8, 250

Json = dict[str, Any]  # Any: JSON
Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Problem:
    """A teacher and its data, opened."""

    run: Run
    case: Case
    recipe: Recipe
    seen: Seen

    def trained(
        self, slices: Slices, weights: Weights, among: Sequence[Part], lr: float, seconds: float
    ) -> tuple[dict[str, Tensor], int]:
        """The weights after as many steps as take `seconds` of this process, and how many those are."""
        recipe, run = self.recipe, self.run
        told = answered(run, self.case, recipe.distill).path

        def go(count: int) -> dict[str, Tensor]:
            settings = Settings(count, lr, recipe.distill.batch_size)
            given = source(recipe.distill, self.case, told, run.seed)
            batches = batches_of(settings, given, run.compute)
            learner = Slimmable(
                slices,
                weights,
                among,
                batches,
                run.compute,
                steps=count,
                lr=lr,
                between=recipe.supernet.between,
                seed=run.seed,
            )
            course = loop.Course(count, settings.batch_size, run.seed, 1e9, lr, "shrink.lr")
            for _ in loop.steps(learner, batches.at, course, learn=sandwich):
                pass
            return {**weights, **learner.finished()}

        with run.compute.session(1):
            go(2)
            began = time.process_time()
            go(TIMED_STEPS)
            count = max(1, int(seconds / (time.process_time() - began) * TIMED_STEPS))
            return go(count), count

    def top1(self, network: nn.Module) -> float:
        """In points, on the evaluate split."""
        data, name = self.case.data, self.case.interface.only_input.name
        truth, right = data.evaluate.y, 0
        assert truth is not None
        for start in range(0, len(truth), BATCH):
            x = data.feed(data.evaluate, start, min(start + BATCH, len(truth)))[name]
            with torch.no_grad():
                found = network(inputs(x, "cpu")).argmax(1).numpy()
            right += int((found == truth[start : start + BATCH]).sum())
        return 100 * right / len(truth)


def opened(images: int, seed: int) -> Problem:
    """The case with the first `images` of a fixed draw of the fit split."""
    overrides = {"distill.views": 2, "distill.batch_size": 64}
    known, recipe = CASES[CASE], load_recipe("balanced", {**overrides, "seed": seed})
    run = steps.begin(recipe, cache_dir() / "sliced", 1, "cpu", None)
    case = steps.load(run, str(known.teacher_path()), None, known.calib(), None, trained=True)
    case = with_images(case, images)
    return Problem(run, case, recipe, seen_of(case, 1))


def alone(slices: Slices, part: Part) -> Slices:
    """The network of one part, of which nothing may go."""
    plain = slices.description(part)
    return Slices(Sliceable(network=plain, groups=(), stages=(), work={}))


def fresh(slices: Slices, seed: int) -> dict[str, Tensor]:
    """Random weights (He et al., 2015) for the whole network of `slices`."""
    made = slices.network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    for layer in made.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            layer.reset_parameters()
        elif isinstance(layer, nn.Conv2d):
            fan_out = layer.weight.numel() / layer.in_channels
            nn.init.normal_(layer.weight, 0, (2 / fan_out) ** 0.5, generator=generator)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0, layer.in_features**-0.5, generator=generator)
            nn.init.zeros_(layer.bias)
    return {name: value.detach().clone() for name, value in made.state_dict().items()}


def rows_of(problem: Problem, given: argparse.Namespace) -> list[Json]:
    """One row for the part as it is cut out, one further trained, and one for each rate from random weights."""
    from safetensors.torch import load_file

    inherited = slices_from(problem.run, problem.case)
    slices, weights = slices_of(inherited), load_file(inherited.path / WEIGHTS)
    among, rate = parts(SPACE, slices), problem.recipe.shrink.lr
    network, count = problem.trained(slices, weights, among, rate, given.network_seconds)
    least = given.share * problem.case.teacher.macs
    inside = [part for part in among if slices.costs(part)[0] <= least][-ASKED:]
    scored = score(slices, network, inside, problem.seen, problem.run.progress)
    best: Scored = min(scored, key=lambda one: one.loss)
    one = alone(slices, best.part)
    told: Json = {
        "case": CASE,
        "seed": given.seed,
        "images": given.images,
        "macs": best.macs,
        "params": best.parameters,
        "teacher_macs": problem.case.teacher.macs,
        "teacher_metric": problem.top1(slices.child(weights, slices.whole)),
    }
    rows: list[Json] = []

    def note(run: str, found: Weights, lr: float, seconds: float, steps_: int) -> None:
        metric = problem.top1(settled(one, found, one.whole, problem.seen))
        known = {"run": run, "lr": lr, "seconds": seconds, "steps": steps_, "metric": metric}
        rows.append({**told, **known})
        logger.warning("%s at %g, %g s: %.2f", run, lr, seconds, metric)

    cut = {name: value.clone() for name, value in slices.weights(network, best.part).items()}
    note("cut", cut, rate, given.network_seconds, count)
    further, more = problem.trained(one, cut, [one.whole], rate, given.further_seconds)
    total = given.network_seconds + given.further_seconds
    note("network", further, rate, total, count + more)
    for lr in given.rates:
        made = alone(slices, best.part)
        anew, count = problem.trained(
            made, fresh(alone(slices, best.part), given.seed), [made.whole], lr, total
        )
        note("anew", anew, lr, total, count)
    return rows


def main() -> None:
    """Trains all of it and writes the rows."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network-seconds", type=float, default=40)
    parser.add_argument("--further-seconds", type=float, default=20)
    parser.add_argument("--share", type=float, default=1 / 6, help="of the teacher's operations")
    parser.add_argument("--images", type=int, default=4000, help="of the fit split")
    parser.add_argument("--rates", nargs="+", type=float, default=[0.05, 0.2], help="anew")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    problem = opened(given.images, given.seed)
    command = (
        f"python -m benchmarks.sliced --network-seconds {given.network_seconds:g} --further-seconds "
        f"{given.further_seconds:g} --share {given.share:.4g} --images {given.images} --rates "
        f"{' '.join(f'{rate:g}' for rate in given.rates)} --seed {given.seed}"
    )
    results_file.write(RESULTS, command, rows_of(problem, given), case=CASE)


if __name__ == "__main__":
    main()
