"""First-order Taylor expansion of a loss (Molchanov et al., "Importance Estimation for Neural Network Pruning",
CVPR 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze.errors import ConfigError
from squeeze.prune.importances.channels import channels
from squeeze.prune.units import Scores, check_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from squeeze.prune.units import Bundle, Samples


def score(
    module: nn.Module,
    bundles: Sequence[Bundle],
    batches: Sequence[Samples] = (),
) -> Scores:
    """The root of mean (sum g * w)^2 over batches, of cross-entropy with class labels (yes and no where there is one
    output), or of the mean squared error of labels that are numbers; see `changes`. The square makes it blind to the
    sign.

    Raises ConfigError without samples or labels.
    """
    check_samples(batches, "taylor")

    def of(logits: Tensor, batch: Samples) -> Tensor:
        if batch.labels is None:
            raise ConfigError(
                "pruning: importance 'taylor' needs labels, got none; use 'distillation' or 'l2'"
            )
        return labelled(logits, batch.labels)

    found = changes(module, bundles, batches, of)
    return Scores(tuple(np.sqrt((c**2).mean(0)) for c in found), additive=True)


def labelled(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean loss on labels: cross-entropy of classes [n], yes and no where there is one output, the squared error of
    numbers."""
    if labels.is_floating_point():
        return functional.mse_loss(logits, labels.view_as(logits))
    if logits.ndim == 2 and logits.shape[1] == 1:
        wanted = labels.view_as(logits).to(logits.dtype)
        return functional.binary_cross_entropy_with_logits(logits, wanted)
    return functional.cross_entropy(logits, labels)


def changes(
    module: nn.Module,
    bundles: Sequence[Bundle],
    batches: Sequence[Samples],
    loss: Callable[[Tensor, Samples], Tensor],
) -> list[NDArray[np.float64]]:
    """Per bundle sum g * w over all weights that take the unit's channels: [batches, units].

    Removing a unit sets exactly these weights to zero, so minus this is the first order of what the loss changes by.
    """
    found: list[list[NDArray[np.float64]]] = [[] for _ in bundles]
    training = module.training
    kept = [(p, p.grad, p.requires_grad) for p in module.parameters()]
    module.eval()
    try:
        module.requires_grad_(True)
        for batch in batches:
            for p, _, _ in kept:
                p.grad = None
            loss(module(batch.x), batch).backward()  # type: ignore[no-untyped-call]
            for rows, bundle in zip(found, bundles, strict=True):
                rows.append(_changes(module, bundle))
    finally:
        module.train(training)
        for p, grad, wanted in kept:
            p.grad = grad
            p.requires_grad_(wanted)
    return [np.array(rows) for rows in found]


def _changes(module: nn.Module, bundle: Bundle) -> NDArray[np.float64]:
    total = np.zeros(len(bundle.units))
    for place in bundle.places:
        if place[1] == "in":
            products = channels(module, place, _gradient_times_weight)
            if products is not None:
                total += [products[list(m)].sum() for m in bundle.members(place)]
    return total


def _gradient_times_weight(weight: nn.Parameter) -> Tensor:
    return torch.zeros_like(weight) if weight.grad is None else weight.grad * weight
