"""Fewer heads of attention and fewer channels between the linear layers of a text encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from squeeze import graph, students
from squeeze.errors import UnsupportedError
from squeeze.steps.exporting import encoder_graph
from squeeze.steps.inheriting import shareable
from squeeze.steps.inheriting_work import tokens_of
from squeeze.steps.training import source

if TYPE_CHECKING:
    from pathlib import Path

    import onnx_ir as ir
    from torch import nn

    from squeeze.case import Case
    from squeeze.progress import Progress
    from squeeze.prune import Making, Reduced
    from squeeze.prune.encoders import Cutter
    from squeeze.spec import DistillPart, PrunePart
    from squeeze.train import Compute

MOVEMENT = "movement"
_COMPARED = 8


def of_text(case: Case) -> bool:
    """Whether the teacher could be a text encoder that heads can be taken from."""
    return case.data.modality == "tokens" and shareable(case)


def refuse_heads(case: Case, base: Path, importance: str) -> str:
    """Why the text encoder `base` cannot be pruned, in a line; empty where it can."""
    from squeeze.prune.encoders import IMPORTANCES
    from squeeze.train.supernet.inherited import inherited, stored

    if importance not in IMPORTANCES and importance != MOVEMENT:
        known = ", ".join((*IMPORTANCES, MOVEMENT))
        return f"prune.importance '{importance}' is of convolutions; for text encoders there are {known}"
    feed = case.data.feed(case.data.calibrate, 0, _COMPARED)
    try:
        found = inherited(base, case.interface, feed, case.teacher.output_activation)
    except UnsupportedError as e:
        return str(e)
    if stored(found) is not None:
        return "its layers are one and the same, and would take more bytes where each loses parts of its own"
    if found.params.distances:
        return "its layers share one bias of relative positions, a column for each head: heads of one layer cannot go"
    return ""


def heads_graph(case: Case, opset: int) -> Callable[[nn.Module], ir.Model]:
    """What writes the optimised float graph of a text encoder."""
    sample = case.data.feed(case.data.calibrate, 0, 3)

    def to_graph(module: nn.Module) -> ir.Model:
        whole = students.deployed(module.eval(), case.teacher.output_activation)
        made = encoder_graph(whole, case.teacher, sample, opset)
        graph.optimise(made, sample, case.interface)
        return made

    return to_graph


def reduce_heads(
    model: ir.Model,
    case: Case,
    part: PrunePart,
    making: Making,
    *,
    lesson: tuple[DistillPart, Path],  # what is learned, and the teacher's answers
    compute: Compute,
    seed: int,
    threads: int,
    progress: Progress,
) -> Reduced:
    """`model`, a text encoder, with fewer heads and channels. Raises ConfigError where the importance wants labels that
    there are not."""
    from squeeze.prune.encoders import IMPORTANCES, by_movement, by_scores, reduce_encoder, seen_of
    from squeeze.train.quantised.quantise import batches_of
    from squeeze.train.quantised.settings import Settings
    from squeeze.train.supernet.inherited import encoder_of

    params, (distill, answers) = encoder_of(model).params, lesson
    tokens = tokens_of(case, params)

    with compute.session(threads):
        seen = seen_of(case.data, params)
        cutter: Cutter
        if part.importance == MOVEMENT:
            settings = Settings(part.steps, part.lr, distill.batch_size)
            cutter = by_movement(
                batches_of(settings, source(distill, case, answers, seed), compute),
                seen,
                part,
                tokens=tokens,
                checkpoint_s=distill.checkpoint_s,
                seed=seed,
                folder=making.folder,
                progress=progress,
            )
        else:
            cutter = by_scores(IMPORTANCES[part.importance], seen, part, tokens=tokens, seed=seed)
        return reduce_encoder(
            model,
            part,
            cutter,
            making,
            tokens=tokens,
        )
