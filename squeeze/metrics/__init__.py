"""What is scored: the table of metrics, the user's own, what is read off which output, and the drop between two models.

`outputs` is what a model gave, samples first; it is compared with labels, or with the teacher's outputs where there are
none. Values of unit "%" and "points" are of a scale of 100.
"""

from __future__ import annotations

from squeeze.errors import ConfigError, unknown
from squeeze.metrics import (
    agreement,
    auc,
    cer,
    channel_error,
    cosine,
    edit_distance,
    error,
    f1,
    f1_boxes,
    feature_error,
    map50,
    mcc,
    miou,
    mse,
    neighbours,
    pair_spearman,
    r2,
    si_sdr,
    span_f1,
    spearman,
    token_accuracy,
    top1,
)
from squeeze.metrics import map as map_of_boxes
from squeeze.metrics.infer import labelled_metric, unlabelled_metric
from squeeze.metrics.metric import Metric
from squeeze.metrics.own import looks_own, own
from squeeze.metrics.reading import Reading, output_for, readings
from squeeze.metrics.scorer import Beside, Scorer
from squeeze.metrics.scoring import Score, drops, interval, score, scores, scores_of

__all__ = [
    "DEFAULT_DROP",
    "METRICS",
    "Beside",
    "Metric",
    "Reading",
    "Score",
    "Scorer",
    "check_name",
    "describe",
    "drops",
    "interval",
    "labelled_metric",
    "output_for",
    "readings",
    "resolve",
    "score",
    "scores",
    "scores_of",
    "split_name",
    "unlabelled_metric",
]

# Points that a file may lose without a word where nobody gave a limit; `Metric.drop` says what a point is of each.
DEFAULT_DROP = 1.0

METRICS: dict[str, Metric] = {
    "agreement": agreement.METRIC,
    "auc": auc.METRIC,
    "cer": cer.METRIC,
    "channel_error": channel_error.METRIC,
    "cosine": cosine.METRIC,
    "edit_distance": edit_distance.METRIC,
    "error": error.METRIC,
    "feature_error": feature_error.METRIC,
    "f1": f1.METRIC,
    "f1_boxes": f1_boxes.METRIC,
    "map": map_of_boxes.METRIC,
    "map50": map50.METRIC,
    "mcc": mcc.METRIC,
    "miou": miou.METRIC,
    "mse": mse.METRIC,
    "neighbours": neighbours.METRIC,
    "pair_spearman": pair_spearman.METRIC,
    "r2": r2.METRIC,
    "si_sdr": si_sdr.METRIC,
    "span_f1": span_f1.METRIC,
    "spearman": spearman.METRIC,
    "token_accuracy": token_accuracy.METRIC,
    "top1": top1.METRIC,
}


def resolve(name: str) -> Metric:
    """The metric called `name`, or the user's function "module:function" (`own`). Raises ConfigError with the known
    names, or with what is wrong with the function."""
    if ":" in name:
        return own(name)
    check_name(name, "metric")
    return METRICS[name]


def check_name(name: str, where: str) -> None:
    """ConfigError unless `name` is known or looks like "module:function"; nothing is imported."""
    if name not in METRICS and not looks_own(name):
        raise ConfigError(unknown(where, name, [*METRICS, "module:function"]))


def split_name(text: str) -> tuple[str, str | None]:
    """The metric and the output of "top1@logits"; without an output None. Raises ConfigError for an empty part."""
    name, at, output = text.partition("@")
    if not name or (at and not output):
        raise ConfigError(f"metric: got '{text}', allowed: METRIC or METRIC@OUTPUT, as top1@logits")
    return name, output or None


def describe(metric: str, value: float) -> str:
    """The value for people, such as "94.18 % top-1"."""
    return resolve(metric).describe(value)
