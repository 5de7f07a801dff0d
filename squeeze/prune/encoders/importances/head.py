"""The expected sensitivity of the loss on labels to a gate on each head (Michel et al., "Are Sixteen Heads Really
Better than One?", 2019), and to one on each channel between the linear layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from squeeze.errors import ConfigError
from squeeze.prune.encoders.planning import Parts
from squeeze.prune.importances.taylor import labelled
from squeeze.students.encoder import Gates, gated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.prune.encoders.seen import Seen
    from squeeze.students.encoder import Encoder


def score(encoder: Encoder, seen: Sequence[Seen], *, seed: int = 0) -> Parts:
    """E |dL/dg| at g = 1, the mean over samples of the absolute value of each sample's own gradient; in each layer
    divided by the norm of what its heads have, so that layers compare. seed: nothing is drawn.

    Raises ConfigError for samples whose labels say nothing of the encoder's outputs.
    """
    params, samples = encoder.params, sum(len(batch.x[0]) for batch in seen)
    totals = [np.zeros(w.heads) for w in params.widths] + [np.zeros(w.ffn) for w in params.widths]
    for batch in seen:
        count = len(batch.x[0])
        gates = Gates.ones(params, count)
        logits, _ = gated(encoder, batch.x, gates)
        # The mean over samples, of which each has gates of its own: times their number it is each sample's gradient.
        loss = count * labelled(logits, _labels(batch, logits))
        for total, found in zip(
            totals, torch.autograd.grad(loss, [*gates.heads, *gates.ffn]), strict=True
        ):
            total += found.double().abs().flatten(1).sum(0).numpy() / samples
    heads, ffn = totals[: params.layers], totals[params.layers :]
    norms = [max(float(np.linalg.norm(values)), 1e-30) for values in heads]
    return Parts(
        [values / norm for values, norm in zip(heads, norms, strict=True)],
        [values / norm for values, norm in zip(ffn, norms, strict=True)],
    )


def _labels(batch: Seen, logits: Tensor) -> Tensor:
    """Classes [n] or as many numbers as there are outputs."""
    labels = batch.labels
    if labels is not None:
        if labels.is_floating_point() and labels.numel() == logits.numel():
            return labels.to(logits.dtype)
        if not labels.is_floating_point() and labels.shape == logits.shape[:1]:
            return labels.long()
    got = "none" if labels is None else f"{list(labels.shape)} for outputs {list(logits.shape)}"
    raise ConfigError(
        f"prune.importance: 'head' needs a class or values as the label of each sample, got {got}; use 'distillation' "
        "or 'movement', which ask the teacher"
    )
