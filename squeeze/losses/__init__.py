"""Distillation losses, and which one fits a task.

The contract: `Loss(temperature=..., label_weight=...)` is a module whose `forward(student, teacher, labels)` takes two
`Outputs` of tensors and labels or None, and returns a scalar in float32. The teacher gets no gradient.
"""

from __future__ import annotations

from torch import nn

from squeeze.errors import ConfigError, unknown
from squeeze.losses import bce, cosine, dist, dkd, kd, mse

LOSSES: dict[str, type[nn.Module]] = {
    "bce": bce.BCE,
    "cosine": cosine.Cosine,
    "dist": dist.DIST,
    "dkd": dkd.DKD,
    "kd": kd.KD,
    "mse": mse.MSE,
}

_FEWEST_OUTPUTS = {"bce": 1, "cosine": 2, "dist": 3, "dkd": 3, "kd": 2, "mse": 1}


def choose(
    name: str,
    *,
    outputs: int,
    activation: str,
    metric: str | None,
    classes: int | None,
    valued: bool = False,
) -> str:
    """The key in LOSSES for `distill.loss`. Raises ConfigError.

    valued: the data has labels that are real numbers. 'auto' takes the first that holds: metric mse -> mse; cosine or
    spearman -> cosine, for one output mse; a final sigmoid -> bce; real labels -> bce for metric auc (several labels at
    once), else mse; two or more outputs -> kd (they count as class logits when nothing says otherwise); one output with
    classes or a class metric -> bce, else mse.
    """
    if name == "auto":
        return _fitting(outputs, activation, metric, classes, valued)
    if name not in LOSSES:
        raise ConfigError(unknown("distill.loss", name, [*LOSSES, "auto"]))
    if outputs < _FEWEST_OUTPUTS[name]:
        raise ConfigError(
            f"distill.loss: '{name}' needs {_FEWEST_OUTPUTS[name]} outputs or more, but the teacher has {outputs};"
            " use 'auto'"
        )
    return name


def _fitting(
    outputs: int, activation: str, metric: str | None, classes: int | None, valued: bool
) -> str:
    if metric == "mse":
        return "mse"
    if metric in ("cosine", "spearman"):
        return "cosine" if outputs > 1 else "mse"
    if activation == "sigmoid":
        return "bce"
    if valued:
        return "bce" if metric == "auc" else "mse"
    if outputs > 1:
        return "kd"
    return "bce" if classes is not None or metric in ("top1", "auc") else "mse"
