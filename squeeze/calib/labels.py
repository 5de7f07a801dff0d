"""Labels and values that a set may hold, and the metric they imply. Everything wrong is said with the first bad index.

Labels become int64 classes [n] (metrics that classify, a user's own), or float32 [n] or [n, k] (metrics of numbers, and
those that take several yes-or-no labels of one sample). One-hot rows are read as classes. Boxes and texts are told by
`label_rows`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squeeze.calib import label_rows
from squeeze.calib.rows import Array, Origin, Raw, chunks
from squeeze.errors import ConfigError
from squeeze.metrics import METRICS
from squeeze.metrics.answers import one_hot


@dataclass(frozen=True)
class Labelled:
    """The labels of each array that was read, all of one kind; `classes` is the largest class + 1, or None.

    metric: the one that was named, or that labels imply; None without either.
    """

    labels: tuple[Array | None, ...]
    metric: str | None
    classes: int | None
    assumed: tuple[str, ...] = ()


def check_values(x: Raw, where: str, *, may_be_empty: bool = False) -> None:
    """ConfigError for no samples, empty samples unless they may be that, or a value that is not finite in float32."""
    if x.ndim == 0:
        raise ConfigError(f"{where}: is a single number, wanted [n, ...] with one sample a row")
    if len(x) == 0 or (0 in x.shape and not may_be_empty):
        raise ConfigError(
            f"{where}: is empty (shape {list(x.shape)}); at least 3 samples are needed"
        )
    if x.dtype.kind != "f" or 0 in x.shape:
        return
    nans, infinities, first = 0, 0, None
    for start, block in chunks(x):
        with np.errstate(over="ignore"):
            values = block.astype(np.float32, copy=False)
        bad = ~np.isfinite(values)
        if not bad.any():
            continue
        found = int(np.isnan(values).sum())
        nans, infinities = nans + found, infinities + int(bad.sum()) - found
        if first is None:
            row, *rest = (int(i[0]) for i in np.nonzero(bad))
            first = [start + row, *rest]
    if first is not None:
        raise ConfigError(
            f"{where}: {nans} NaN and {infinities} infinite values (as float32), the first at index {first}; "
            "remove those samples"
        )


def read(given: list[tuple[Array | None, int, str]], metric: str | None) -> Labelled:
    """Checks the labels of arrays that belong together: (labels, number of samples, where) each. Raises ConfigError."""
    found = [None if y is None else _numbers(y, n, where) for y, n, where in given]
    places = [where for _, _, where in given]
    present = [(y, where) for y, where in zip(found, places, strict=True) if y is not None]
    if not present:
        if metric is not None and (metric not in METRICS or METRICS[metric].needs == "labels"):
            raise ConfigError(
                f"{places[0]}: there are none, but metric '{metric}' needs labels; add them, or use 'agreement'"
            )
        return Labelled(tuple(found), metric, None)
    if rows := _of_rows(present, metric):
        ready, metric, assumed = rows
        rest = iter(ready)
        labels = tuple(None if y is None else next(rest) for y in found)
        return Labelled(labels, metric, None, assumed)
    first, place = present[0]
    for y, where in present[1:]:
        if y.shape[1:] != first.shape[1:]:
            raise ConfigError(
                f"{where}: {list(y.shape[1:])} per sample, but {place} has {list(first.shape[1:])}; "
                "they must be alike"
            )
    ready, metric, assumed = _as_metric_wants(present, metric)
    classes = _classes([(y, w) for y, (_, w) in zip(ready, present, strict=True)], metric)
    rest = iter(ready)
    return Labelled(
        tuple(None if y is None else next(rest) for y in found), metric, classes, assumed
    )


def _of_rows(
    present: list[tuple[Array, str]], metric: str | None
) -> tuple[list[Array], str | None, tuple[str, ...]] | None:
    """Boxes or texts, the metric, and what was assumed; None for other labels."""
    known = METRICS.get(metric or "")
    if known is not None and known.labels != "plain":
        ready = [label_rows.checked(y, known.labels, known.key, where) for y, where in present]
        return ready, metric, ()
    arrays = [y for y, _ in present]
    form = label_rows.form_of(arrays)
    if form is None and metric is None and label_rows.mostly_boxes(arrays):
        # As numbers they would be judged without a word; `checked` says which is wrong.
        form = "boxes"
    if form is None or known is not None:
        return None
    chosen = metric or label_rows.METRIC_OF[form]
    said = () if metric else (f"metric {chosen}: labels have the form of {form}",)
    return [label_rows.checked(y, form, chosen, where) for y, where in present], chosen, said


def check_range(
    labels: list[tuple[Array, Origin | None]], where: str, metric: str, outputs: int
) -> None:
    """ConfigError when labels cannot be answers of a model with `outputs` outputs."""
    # The farthest first; a split has no samples where nothing is trained.
    given = [(y, origin) for y, origin in labels if len(y)]
    for y, origin in sorted(given, key=lambda one: np.max(one[0]), reverse=True):
        if y.dtype.kind == "f":
            per_sample = y.shape[1] if y.ndim == 2 else 1
            if y.ndim > 2 or per_sample != outputs:
                raise ConfigError(
                    f"{where}: labels have {list(y.shape[1:]) or 'one number'} per sample, the model has {outputs} "
                    "outputs; they must be as many"
                )
        elif _classifies(metric) and int(y.max()) >= max(2, outputs):
            at = int(y.argmax())
            shifted = int(y.max()) == outputs and min(int(one.min()) for one, _ in given) == 1
            hint = (
                "do they begin at 1? Subtract 1"
                if shifted
                else "for a number to predict, metric 'mse' is the one"
                if outputs == 1
                else "give the labels of this model"
            )
            place = where if origin is None else origin.where
            index = "" if origin is None else f" (index {origin.at[at]})"
            raise ConfigError(
                f"{place}: labels go up to {y[at]}{index}, allowed: 0..{max(2, outputs) - 1}, for the "
                f"model has {outputs} output{'s' if outputs > 1 else ''}; {hint}"
            )


def _numbers(y: Array, samples: int, where: str) -> Array:
    """int64 or float32, [n] or [n, k]; axes of size 1 behind the first are dropped."""
    if y.dtype.kind not in "biuf":
        raise ConfigError(f"{where}: got {y.dtype}, allowed: class numbers 0, 1, ... or floats")
    if y.ndim == 0 or len(y) != samples:
        got = len(y) if y.ndim else "a single number"
        raise ConfigError(
            f"{where}: {got} labels for {samples} samples; there must be one for each"
        )
    if y.size == 0:
        raise ConfigError(f"{where}: is empty (shape {list(y.shape)})")
    flat = y.reshape(len(y)) if y.size == len(y) else y
    if flat.dtype.kind == "f":
        check_values(flat, where)
        return flat.astype(np.float32)
    if flat.dtype.kind == "u" and int(flat.max()) > np.iinfo(np.int64).max:
        raise ConfigError(f"{where}: label {int(flat.max())} is too large")
    return flat.astype(np.int64)


def _as_metric_wants(
    present: list[tuple[Array, str]], metric: str | None
) -> tuple[list[Array], str, tuple[str, ...]]:
    arrays = [y for y, _ in present]
    whole = all(y.dtype.kind == "i" for y in arrays)
    known = METRICS.get(metric or "")
    if metric is not None and known is not None and known.takes_numbers:
        return [y.astype(np.float32) for y in arrays], metric, ()
    if arrays[0].ndim == 2:
        several = all(bool(np.isin(y, (0, 1)).all()) for y in arrays)
        if (known is None or known.needs != "teacher") and several and all(map(one_hot, arrays)):
            return (
                [y.argmax(axis=1).astype(np.int64) for y in arrays],
                metric or "top1",
                ("one-hot labels are read as classes",),
            )
        if known is not None and known.classifies and not known.many:
            raise ConfigError(
                f"{present[0][1]}: {list(arrays[0].shape[1:])} numbers per sample are not one-hot, metric '{metric}' "
                "needs one class per sample"
            )
        chosen = metric or ("auc" if several else "mse")
        said = () if metric else (f"metric {chosen}: labels have several numbers per sample",)
        return [y.astype(np.float32) for y in arrays], chosen, said
    if whole:
        return arrays, metric or "top1", ()
    if metric is not None and _classifies(metric) and arrays[0].ndim == 1:
        return [_whole(y, where, metric) for y, where in present], metric, ()
    if metric is None and all(bool((y == np.round(y)).all()) for y in arrays):
        said = ("metric mse: labels are floats, though whole numbers; for classes store integers",)
        return arrays, "mse", said
    return arrays, metric or "mse", ()


def _whole(y: Array, where: str, metric: str) -> Array:
    if (bad := np.flatnonzero(y != np.round(y))).size:
        raise ConfigError(
            f"{where}: label {y[bad[0]]:g} at index {int(bad[0])}, allowed with metric '{metric}': whole "
            "numbers; for a number to predict, metric 'mse' is the one"
        )
    return y.astype(np.int64)


def _classes(present: list[tuple[Array, str]], metric: str) -> int | None:
    """The largest class + 1; ConfigError for negative classes, and for a single one where the metric tells apart."""
    if any(y.dtype.kind != "i" for y, _ in present):
        return None
    for y, where in present:
        if (bad := np.flatnonzero(y < 0)).size:
            at = int(bad[0])
            raise ConfigError(
                f"{where}: {bad.size} negative labels, the first is {y[at]} at index {at}; allowed: 0, 1, ...; remove "
                "those samples"
            )
        alone = len(present) == 1 or (metric in METRICS and METRICS[metric].pairs)
        if _classifies(metric) and (y == y[0]).all() and alone:
            raise ConfigError(_one_class(where, y, metric))
    everything = np.unique(np.concatenate([np.unique(y) for y, _ in present]))
    if _classifies(metric) and len(everything) == 1:
        raise ConfigError(_one_class(present[0][1], everything, metric))
    return int(everything.max()) + 1


def _classifies(metric: str) -> bool:
    return metric in METRICS and METRICS[metric].classifies


def _one_class(where: str, y: Array, metric: str) -> str:
    return (
        f"{where}: all labels are {y[0]}, metric '{metric}' needs samples of two classes at least; add some, or use "
        "metric 'agreement' (a TOML, or --metric)"
    )
