"""The work of fitting replacements for the parts of a teacher, and of the plan of it."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze import budget
from squeeze.note import Note
from squeeze.seal import WEIGHTS
from squeeze.steps.planning import recorded
from squeeze.steps.planning_graphs import pace_of_graph
from squeeze.steps.puzzling_work import network_of
from squeeze.steps.shrinking_work import seen_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from squeeze.budget import Ahead, Left
    from squeeze.case import Case
    from squeeze.front import Candidate
    from squeeze.run import At
    from squeeze.spec import DistillPart, PuzzlePart
    from squeeze.train import Compute
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON

_BATCH = 64
_REFITTED = 256  # samples that weights in closed form are taken from


def fit_pieces(
    at: At,
    *,
    base: Candidate,
    case: Case,
    index: int,
    part: PuzzlePart,
    align: int,
    seed: int,
    threads: int,
) -> Json:
    """Writes the weights of every replacement of part number `index`, fitted, and says what each loses."""
    from safetensors.torch import save_file

    from squeeze.shrink.puzzle.fit import ends_of, error_of, fit, samples_kept
    from squeeze.shrink.puzzle.parts import inside, joined, parts
    from squeeze.shrink.puzzle.replacements import replacements
    from squeeze.train.threads import torch_threads

    with torch_threads(threads):
        network, seen = network_of(base, case), seen_of(case, threads)
        place = parts(network, seen.held.x[:2])[index]
        count = samples_kept(place, min(part.samples, len(case.data.fit)))
        ends = ends_of(network, place, _inputs(case, count))
        few = ends.x[:: max(1, count // _REFITTED)].float()
        made = replacements(inside(network, place), place, few, align, seed)
        untouched = seen.lost(network)
        told: dict[str, Json] = {}
        weights: dict[str, Tensor] = {}
        for kind, replacement in made.items():
            fit(
                replacement,
                ends,
                steps=part.steps,
                lr=part.lr,
                seed=seed,
                folder=at.folder / kind,
                progress=at.progress,
            )
            loss = seen.lost(joined(network, {place: replacement}))
            told[kind] = {
                "params": replacement.description(),
                "loss": max(0.0, loss - untouched),
                "error": error_of(replacement, ends),
            }
            weights |= {
                f"{kind}/{name}": value.contiguous()
                for name, value in replacement.state_dict().items()
            }
    save_file(weights, at.folder / WEIGHTS)
    for kind in made:  # with its checkpoints
        shutil.rmtree(at.folder / kind, ignore_errors=True)
    said = ", ".join(f"{kind} {one['loss']:.3f}" for kind, one in told.items())
    notes = [
        Note(
            kind,
            True,
            f"{one['error']:.1%} of the variance missed",
            {"loss": one["loss"], "error": one["error"]},
        )
        for kind, one in told.items()
    ]
    return {
        "summary": f"losses in the place of '{place.exit}': {said}",
        "pieces": told,
        "tried": [note.to_json() for note in notes],
    }


def plan_pieces(
    at: At,
    *,
    left: Left,
    ahead: Ahead,
    base: Candidate,
    case: Case,
    part: PuzzlePart,
    align: int,
    following: int,
    distill: DistillPart,
    answers: Step,
    training: str,
    compute: Compute,
    seed: int,
    threads: int,
) -> Json:
    """Measures some steps of every replacement of every part, and what surrounds them, and says how many steps each
    gets. following: steps of the distillation of what is pieced together, no slower ones than the teacher's; ahead:
    nothing in this share of the time."""
    from squeeze.budget import Pace
    from squeeze.shrink.puzzle.fit import ends_of, samples_kept, step_s
    from squeeze.shrink.puzzle.parts import inside, parts
    from squeeze.shrink.puzzle.replacements import replacements
    from squeeze.train.threads import torch_threads

    each_s = once_s = 0.0
    with torch_threads(threads):
        network, seen = network_of(base, case), seen_of(case, threads)
        began = time.perf_counter()
        seen.lost(network)
        judged_s = time.perf_counter() - began
        places = parts(network, seen.held.x[:2])
        for done, place in enumerate(places):
            at.progress.update(done, len(places), "parts timed")
            count = samples_kept(place, min(part.samples, len(case.data.fit)))
            few = min(count, _REFITTED)
            began = time.perf_counter()
            ends = ends_of(network, place, _inputs(case, few))
            once_s += (time.perf_counter() - began) * count / few
            began = time.perf_counter()
            kinds = replacements(inside(network, place), place, ends.x.float(), align, seed)
            once_s += time.perf_counter() - began + judged_s * (1 + len(kinds))
            each_s += sum(
                step_s(one, ends, steps=part.steps, lr=part.lr, seed=seed) for one in kinds.values()
            )
    after = pace_of_graph(
        base, following, case, distill, answers, compute=compute, seed=seed, threads=threads
    )
    later_s = after.seconds(following) if following else 0.0
    pace = Pace(each_s, once_s, 1)
    made = budget.plan(training, "puzzle.steps", part.steps, pace, left, later_s=later_s)
    return recorded(made)


def _inputs(case: Case, count: int) -> Iterator[Tensor]:
    """`count` samples of the fit split, from all over it, for its order may mean something."""
    from squeeze.train.batches import inputs
    from squeeze.train.compute import HOST

    data, name = case.data, case.interface.only_input.name
    chosen = np.linspace(0, len(data.fit) - 1, count).astype(np.int64)
    for start in range(0, count, _BATCH):
        yield inputs(data.take(data.fit, chosen[start : start + _BATCH])[name], HOST)
