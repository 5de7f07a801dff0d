"""Logits of which class is right at each place, [n, c, ...places], and labels [n, ...places] of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from squeeze.losses.loss import Loss

IGNORED = 255  # the label of places that do not count, as data sets have it

_POOLS: dict[int, Callable[..., Tensor]] = {
    1: functional.max_pool1d,
    2: functional.max_pool2d,
    3: functional.max_pool3d,
}


def placed(logits: Tensor) -> Tensor:
    """In float32, [n, c, ...]; with one place where there is none."""
    return logits.float() if logits.ndim > 2 else logits.float().unsqueeze(2)


def classes_at(labels: Tensor | None, teacher: Tensor) -> Tensor:
    """Class of each place, [n, ...places]: the labels, by the nearest place where `teacher` [n, c, ...places] has other
    sizes; without labels the teacher's first choice."""
    if labels is None:
        return teacher.argmax(1)
    labels = labels.reshape(len(labels), 1, *(labels.shape[1:] or (1,)))
    if labels.shape[2:] != teacher.shape[2:]:
        size = list(teacher.shape[2:])
        labels = functional.interpolate(labels.float(), size=size, mode="nearest-exact")
    return labels[:, 0].long()


def edges(classes: Tensor, radius: int) -> Tensor:
    """[n, ...places] whether the window of `radius` around a place holds several classes: the union over classes of
    what dilation adds and erosion takes away. Ignored places are of no class."""
    pool = _POOLS[classes.ndim - 1]
    counts = classes != IGNORED

    def largest(values: Tensor) -> Tensor:
        # Torch pads with -inf, so that the border of the map is no edge.
        known = values.float().masked_fill(~counts, -torch.inf)
        return pool(known[:, None], 2 * radius + 1, stride=1, padding=radius)[:, 0]

    return (largest(classes) != -largest(-classes)) & counts


def hardened(loss: Loss, soft: Tensor, logits: Tensor, labels: Tensor | None) -> Tensor:
    """(1 - w) * soft + w * cross-entropy(labels), w the label weight, the mean over places that count; without labels w
    counts as 0."""
    w = loss.label_weight
    if labels is None or w == 0:
        return soft
    wanted = classes_at(labels, logits)
    total = functional.cross_entropy(logits, wanted, ignore_index=IGNORED, reduction="sum")
    return (1 - w) * soft + w * total / (wanted != IGNORED).sum().clamp_min(1)


def divergence_over(mask: Tensor, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """t^2 * KL(softmax over places of teacher / t || that of student / t), the mean over samples and channels.

    mask: [n, ...places] which places there are; a sample without any counts 0. student, teacher: [n, c, ...places].
    """
    shown = mask.flatten(1)[:, None]
    log_p, log_q = (_over_places(z, shown, temperature) for z in (teacher, student))
    each = (log_p.exp() * (log_p - log_q) * shown).sum(2)
    return temperature**2 * each.mean()


def _over_places(z: Tensor, shown: Tensor, temperature: float) -> Tensor:
    hidden = torch.finfo(torch.float32).min
    return (z.flatten(2) / temperature).masked_fill(~shown, hidden).log_softmax(2)
