"""Distillation losses, and which one fits a task. What a loss is and says of itself: `loss.Loss`."""

from __future__ import annotations

from squeeze.errors import ConfigError, unknown
from squeeze.losses import bce, cosine, dist, dkd, kd, mse
from squeeze.losses.loss import Loss, Space
from squeeze.metrics import METRICS

LOSSES: dict[str, type[Loss]] = {
    "bce": bce.BCE,
    "cosine": cosine.Cosine,
    "dist": dist.DIST,
    "dkd": dkd.DKD,
    "kd": kd.KD,
    "mse": mse.MSE,
}

# What 'auto' takes.
USUAL: dict[Space, str] = {
    "classes": "kd",
    "directions": "cosine",
    "values": "mse",
    "yes-no": "bce",
}

__all__ = ["LOSSES", "USUAL", "Loss", "Space", "choose", "needs", "space_of"]


def choose(
    name: str,
    *,
    outputs: int,
    activation: str,
    metric: str | None,
    classes: int | None,
    valued: bool = False,
) -> str:
    """The key in LOSSES for `distill.loss`; 'auto' takes the usual one of `space_of`. Raises ConfigError."""
    if name == "auto":
        return USUAL[space_of(outputs, activation, metric, classes, valued=valued)]
    if name not in LOSSES:
        raise ConfigError(unknown("distill.loss", name, [*LOSSES, "auto"]))
    fewest = LOSSES[name].fewest_outputs
    if outputs < fewest:
        raise ConfigError(
            f"distill.loss: '{name}' needs {fewest} outputs or more, but the teacher has {outputs}; use 'auto'"
        )
    return name


def needs(name: str) -> frozenset[str]:
    """The taps that `distill.loss` reads, of teacher and student; of 'auto' those of all that it may take.

    Raises ConfigError.
    """
    if name == "auto":
        return frozenset().union(*(LOSSES[usual].needs for usual in USUAL.values()))
    if name not in LOSSES:
        raise ConfigError(unknown("distill.loss", name, [*LOSSES, "auto"]))
    return LOSSES[name].needs


def space_of(
    outputs: int, activation: str, metric: str | None, classes: int | None, *, valued: bool
) -> Space:
    """What the outputs of a task are. valued: the data has labels that are real numbers.

    The first that holds: a metric of values (mse) -> values; one of directions (cosine) -> directions, for one output
    values; a final sigmoid -> yes-no; real labels -> yes-no for a metric that takes several labels at once (auc), else
    values; two or more outputs -> classes (they count as class logits when nothing says otherwise); one output with
    classes or a class metric -> yes-no, else values.
    """
    known = METRICS.get(metric or "")
    if known is not None and known.takes_numbers:
        return "directions" if known.compares == "directions" and outputs > 1 else "values"
    if activation == "sigmoid":
        return "yes-no"
    if valued:
        return "yes-no" if known is not None and known.many else "values"
    if outputs > 1:
        return "classes"
    told_apart = classes is not None or (known is not None and known.classifies)
    return "yes-no" if told_apart else "values"
