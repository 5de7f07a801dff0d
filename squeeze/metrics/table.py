"""What an accuracy is: the table of metrics, the user's own, and the drop between two models.

All are in points (0 to 100, higher is better) but `mse`, whose drop is an increase in percent. `outputs` is what
the model gave, [n, c] or [n]; the second argument is the labels, or the teacher's outputs where there are none.
One output per sample is a binary score: a probability when all lie within 0 and 1, else a logit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import numpy.typing as npt

from squeeze.errors import ConfigError, unknown
from squeeze.metrics import scores

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Metric:
    """One way to judge outputs. `name` is shown to people, `key` is what a recipe or command line says."""

    key: str
    name: str
    unit: str
    fn: Callable[[Array, Array], float]
    higher_is_better: bool = True
    needs_labels: bool = True


def resolve(name: str) -> Metric:
    """The metric called `name`, or the user's function "module:function" (outputs, labels) -> float, higher is
    better. Raises ConfigError with the known names, or with what failed to import."""
    if ":" not in name:
        if name not in METRICS:
            raise ConfigError(unknown("metric", name, [*METRICS, "module:function"]))
        return METRICS[name]
    module_name, _, function_name = name.partition(":")
    try:
        function = getattr(import_module(module_name), function_name)
    # A user's module may fail in any way while it is imported.
    except Exception as e:
        raise ConfigError(
            f"metric {name}: cannot be imported: {e}; its folder must be on PYTHONPATH"
        ) from e
    if not callable(function):
        raise ConfigError(f"metric {name}: got a {type(function).__name__}, allowed: a function")
    return Metric(name, function_name, "", function)


def describe(metric: str | Metric, value: float) -> str:
    """The value for people, such as "94.18 % top-1"."""
    chosen = resolve(metric) if isinstance(metric, str) else metric
    number = f"{value:.2f}" if chosen.unit else f"{value:.4g}"
    return " ".join(word for word in (number, chosen.unit, chosen.name) if word)


def score(
    metric: str | Metric, outputs: Array, labels: Array | None, reference: Array | None = None
) -> float:
    """The metric of `outputs` against the labels, or against `reference` (the teacher's outputs).

    Without either the model is the teacher, and is compared with itself. Raises ConfigError when the metric
    needs labels and there are none, when shapes do not fit, or when the user's function fails.
    """
    metric = resolve(metric) if isinstance(metric, str) else metric
    if len(outputs) == 0:
        raise ConfigError(f"metric {metric.key}: the evaluation split is empty")
    if metric.needs_labels and labels is None:
        without = ", ".join(m.key for m in METRICS.values() if not m.needs_labels)
        raise ConfigError(
            f"metric {metric.key}: needs labels and the calibration set has none; add them, or "
            f"choose one of: {without}"
        )
    truth = reference if metric.key == "agreement" or labels is None else labels
    truth = outputs if truth is None else truth
    if len(truth) != len(outputs):
        raise ConfigError(
            f"metric {metric.key}: {len(outputs)} outputs but {len(truth)} labels; they must be as many"
        )
    if metric.key in METRICS:
        return metric.fn(outputs, truth)
    try:
        value = float(metric.fn(outputs, truth))
    # A user's function may fail in any way.
    except Exception as e:
        raise ConfigError(f"metric {metric.key}: failed: {type(e).__name__}: {e}") from e
    if not math.isfinite(value):
        raise ConfigError(f"metric {metric.key}: gave {value}, allowed: a finite number")
    return value


def drop(metric: str | Metric, teacher_value: float, student_value: float) -> float:
    """How much worse the student is, in points; for `mse` by how many percent its error is larger."""
    chosen = resolve(metric) if isinstance(metric, str) else metric
    if chosen.higher_is_better:
        return teacher_value - student_value
    if teacher_value == student_value:
        return 0.0
    return 100 * (student_value / teacher_value - 1) if teacher_value > 0 else math.inf


def default_metric(labels: Array | None, outputs: Array) -> str:
    """The metric for a set that names none, from its labels and the teacher's outputs [n, ...] on some samples.

    Classes -> top1; several labels per sample -> auc; numbers -> mse. Without labels: agreement for
    classes; cosine for unit vectors and for maps; spearman for one unbounded number per sample.
    """
    flat = outputs.reshape(len(outputs), -1)
    if labels is not None:
        whole = labels.dtype.kind in "iub" or bool(
            np.all(labels == np.round(scores.floats(labels)))
        )
        if not whole:
            return "mse"
        if labels.shape == outputs.shape and flat.shape[1] > 1:
            ones = np.isin(labels, (0, 1)).reshape(flat.shape)
            return "mse" if not ones.all() else ("top1" if scores.one_hot(labels) else "auc")
        is_class = flat.shape[1] > 1 or bool(np.isin(labels, (0, 1)).all())
        return "top1" if is_class else "mse"
    if outputs.ndim > 2:
        return "cosine"
    if flat.shape[1] == 1:
        return "agreement" if scores.probabilities(flat) else "spearman"
    norms = np.linalg.norm(scores.floats(flat), axis=1)
    unit = bool(np.allclose(norms, 1, atol=1e-3)) and not bool((scores.floats(flat) >= 0).all())
    return "cosine" if unit else "agreement"


METRICS: dict[str, Metric] = {
    "agreement": Metric(
        "agreement", "teacher agreement", "%", scores.agreement, needs_labels=False
    ),
    "auc": Metric("auc", "ROC AUC", "points", scores.auc),
    "cosine": Metric("cosine", "cosine similarity", "points", scores.cosine, needs_labels=False),
    "mse": Metric(
        "mse", "mean squared error", "", scores.mse, higher_is_better=False, needs_labels=False
    ),
    "spearman": Metric(
        "spearman", "rank correlation", "points", scores.spearman, needs_labels=False
    ),
    "top1": Metric("top1", "top-1", "%", scores.top1),
}
