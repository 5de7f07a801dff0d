"""The usual preprocessings, tried on a few samples: is another one the teacher's?"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze import measure, metrics
from squeeze.calib import Preprocess, Split
from squeeze.calib.preprocess import COLOURS, channel_axis
from squeeze.calib.presets import NAMES, in_words, preset
from squeeze.calib.rows import select, value_range
from squeeze.errors import ConfigError, MeasureError
from squeeze.metrics.answers import classes
from squeeze.metrics.class_order import class_order, moved
from squeeze.metrics.skill import SAMPLES, beside_chance

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squeeze.calib import Calib
    from squeeze.case import Case
    from squeeze.metrics import Reading
    from squeeze.metrics.metric import Array
    from squeeze.run import At, Run
    from squeeze.teacher import Teacher

Json = dict[str, Any]  # Any: JSON
_MOST_MACS = 1e11  # of a look at a teacher that works: some seconds
_FEWEST = 32
_DEVIATIONS = 3.0
_INT16 = 32768.0
_EPSILON = 1e-6


def better_one(run: Run, case: Case, reading: Reading, *, broken: bool) -> str | None:
    """The option that makes the teacher work, in words; of a teacher that is not broken one that is better beyond
    doubt. None where there is none, or where it would take long to find out."""
    if len(case.data.preprocesses) != 1 or not _may_be_other(case.data, broken=broken):
        return None
    choices = usual(case.data)
    cost = max(1, case.teacher.macs or 0) * (len(choices) + 1)
    count = SAMPLES if broken else min(SAMPLES, int(_MOST_MACS / cost))
    if not choices or count < _FEWEST:
        return None
    step = run.step(
        "preprocess",
        try_each,
        teacher=case.teacher,
        data=case.data.blind(),
        reading=reading,
        samples=count,
        threads=run.threads,
    )
    found = step.result["found"]
    as_it_is, others = found[0], found[1:]
    if not others:
        return None
    best = max(others, key=lambda one: (one["works"], _rank(reading, one["value"])))
    ahead = _rank(reading, best["value"]) > _rank(reading, as_it_is["value"])
    reordered = [one for one in others if one["order"]]
    if broken and not (best["works"] and ahead) and reordered:
        options = " or ".join(f"{one['option']} ({one['order']})" for one in reordered)
        return (
            f"{case.data.source}: the teacher tells the classes apart, in another order than the data's, with "
            f"{options}; number the labels as the teacher does"
        )
    if not (best["works"] and ahead):
        return (
            f"none of the usual preprocessings makes it work ({', '.join(_names(others))})"
            if broken
            else None
        )
    if not broken and best["gained"] - best["lost"] <= _DEVIATIONS * math.sqrt(
        best["gained"] + best["lost"]
    ):
        return None
    got, now = (metrics.describe(reading.metric, one["value"]) for one in (best, as_it_is))
    return (
        f"{case.data.source}: with {best['option']} ({best['words']}) the teacher has {got} on "
        f"{step.result['samples']} samples, as it is now {now}"
    )


def _may_be_other(data: Calib, *, broken: bool) -> bool:
    """Whoever gave mean and std knows what the teacher takes."""
    (known,) = data.preprocesses.values()
    if np.dtype(known.dtype).kind != "f":
        return False
    return broken or (set(known.mean), set(known.std)) == ({0.0}, {1.0})


def usual(data: Calib) -> dict[str, tuple[Preprocess, str]]:
    """Option -> the preprocessing and what it is in words, of all that are usual for such samples and another than
    that of `data`, which is fitted and has one input."""
    ((name, known),) = data.preprocesses.items()
    x = data.fit.arrays[name] if len(data.fit) else data.calibrate.arrays[name]
    x = np.asarray(select(x, np.arange(min(len(x), SAMPLES))))
    found: dict[str, tuple[Preprocess, str]] = {}
    low, high = value_range([x])
    plain = {"layout": known.layout, "dtype": known.dtype}
    if data.modality == "image" and low >= 0 and high <= 255:
        shape = Preprocess(**plain).apply(x[:1]).shape
        coloured = channel_axis(known.layout, shape, COLOURS) is not None
        for one in NAMES:
            keys = preset(one, x, data.source)
            if coloured or (len(keys.get("mean", ())) <= 1 and "channel_order" not in keys):
                found[f"--preprocess {one}"] = Preprocess(**plain, **keys), in_words(one)
        found |= _standardised(x, known, high)
    elif data.modality in ("signal", "vector", "spectrogram"):
        for scale, text in ((1.0, "1"), (1 / _INT16, "1/32768"), (_INT16, "32768")):
            found[f"--scale {text}"] = Preprocess(**plain, scale=scale), f"x * {text}"
    return {option: made for option, made in found.items() if not _same(made[0], known)}


def _standardised(x: Array, known: Preprocess, high: float) -> dict[str, tuple[Preprocess, str]]:
    """Less the mean of these samples, by their deviation: of each colour, or of all."""
    scale = 1 / 255 if high > 1 else 1.0
    scaled = Preprocess(layout=known.layout, scale=scale, dtype="float32").apply(x)
    axis = channel_axis(known.layout, scaled.shape, COLOURS)
    over = tuple(i for i in range(scaled.ndim) if i != axis)
    mean = [round(float(v), 3) for v in np.atleast_1d(scaled.mean(axis=over, dtype=np.float64))]
    std = [round(float(v), 3) for v in np.atleast_1d(scaled.std(axis=over, dtype=np.float64))]
    if min(std) <= 0:
        return {}
    text = "1/255" if high > 1 else "1"
    option = f"--scale {text} --mean {','.join(map(str, mean))} --std {','.join(map(str, std))}"
    made = Preprocess(
        layout=known.layout, dtype=known.dtype, scale=scale, mean=tuple(mean), std=tuple(std)
    )
    return {option: (made, "the data's own mean and deviation")}


def _same(one: Preprocess, other: Preprocess) -> bool:
    def numbers(p: Preprocess) -> Array:
        return np.asarray([(p.scale or 1.0), p.mean[0], p.std[0]])

    alike = (len(one.mean), len(one.std), one.channel_order) == (
        len(other.mean),
        len(other.std),
        other.channel_order,
    )
    return alike and bool(np.allclose(numbers(one), numbers(other), rtol=_EPSILON))


def try_each(
    at: At, *, teacher: Teacher, data: Calib, reading: Reading, samples: int, threads: int
) -> Json:
    """The score of some samples of the calibrate split as they are preprocessed now, then in each usual way."""
    ((name, known),) = data.preprocesses.items()
    chosen = data.sample(data.calibrate, samples)
    labels = data.calibrate.y
    assert labels is not None
    some = Split(
        {name: select(data.calibrate.arrays[name], chosen)}, labels[chosen], digest="", groups=None
    )
    choices = {"": (known, ""), **usual(data)}
    found, before = [], None
    for i, (option, (preprocess, words)) in enumerate(choices.items()):
        at.progress.update(i, len(choices), "preprocessings tried")
        try:
            outputs = measure.evaluate(
                teacher.model,
                replace(data, preprocesses={name: preprocess}),
                some,
                [reading],
                interface=teacher.interface,
                threads=threads,
            ).outputs
            beside = beside_chance(reading, outputs, labels[chosen], data.class_names)
            hits = _hits(reading, outputs, labels[chosen])
        except (ConfigError, MeasureError):
            if not option:
                raise
            continue  # far from what it was trained with, outputs may be no numbers, or no boxes
        before = hits if before is None else before
        found.append(
            {
                "option": option,
                "words": words,
                "value": beside.value,
                "works": beside.works,
                "gained": int((hits > before).sum()),
                "lost": int((hits < before).sum()),
                "order": order_of(reading, outputs, labels[chosen]),
            }
        )
    return {
        "summary": f"{len(choices) - 1} other preprocessings on {len(chosen)} samples",
        "samples": len(chosen),
        "found": found,
    }


def _hits(reading: Reading, outputs: Mapping[str, Array], labels: Array) -> Array:
    """[n]; of metrics that are no mean over samples nothing, and one is never better beyond doubt."""
    metric = metrics.resolve(reading.metric)
    if not metric.share or metric.per_sample is None:
        return np.zeros(len(labels))
    return metric.per_sample(outputs[reading.output], labels)


def order_of(reading: Reading, outputs: Mapping[str, Array], labels: Array) -> str | None:
    """The order of classes in which outputs fit labels, in words; None where that is the one there is."""
    if reading.metric != "top1" or labels.ndim != 1:
        return None
    some = np.asarray(outputs[reading.output][:])
    order = class_order(classes(some, some).reshape(len(labels), -1)[:, 0], labels)
    return None if order is None else moved(order)


def _rank(reading: Reading, value: float) -> float:
    return value if metrics.resolve(reading.metric).higher_is_better else -value


def _names(found: list[Json]) -> list[str]:
    return [one["option"].removeprefix("--preprocess ") for one in found if one["words"]]
