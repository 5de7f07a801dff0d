"""How a file answers beside the model that it came from: the metric of one against the other, on data."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze import measure, metrics, runtimes, steps
from squeeze.errors import ConfigError
from squeeze.interface import Interface, TensorSpec
from squeeze.spec import load_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.calib import AskedText
    from squeeze.metrics import Score

Json = dict[str, Any]  # Any: JSON


def likeness(
    model: Path,
    against: Path,
    *,
    calib: str,
    metric: str | None = None,
    text: AskedText | None = None,
    threads: int = 1,
) -> Json:
    """Scores of `model` with `against` as the teacher, on the evaluate split of `calib`; both are ONNX files.

    Returns samples and outputs; of each output that is judged output, metric, unit, value of either, the 95 % interval
    of the model's, and the drop in points. Raises ConfigError for inputs or outputs that differ and for data that do
    not fit, MeasureError for what does not run.
    """
    recipe = load_recipe("ptq", {})
    with tempfile.TemporaryDirectory(prefix="squeeze-") as folder:
        run = steps.begin(recipe, folder, threads, "cpu", None)
        case = steps.load(run, str(against), None, calib, metric, text=text)
        split, reference = case.data.evaluate, case.reference("evaluate")
        before = metrics.scores(
            case.readings, reference, split.y, reference, measure.beside(case.data, split)
        )
        found = measure.evaluate(
            model,
            case.data,
            split,
            case.readings,
            interface=as_taken(model, case.interface),
            reference=reference,
            threads=threads,
            files={s.name: Path(folder) / f"{i}.npy" for i, s in enumerate(case.interface.outputs)},
            intervals=True,
        )
        outputs = beside_float(before, found.scores, found.intervals)
        return {"samples": len(split), "outputs": outputs}


def beside_float(
    before: Sequence[Score], after: Sequence[Score], intervals: Sequence[tuple[float, float] | None]
) -> list[Json]:
    """Each judged output as JSON: the scores of the model that is compared with, and of the one that is judged."""
    return [
        {
            "output": a.output,
            "metric": a.metric,
            "unit": metrics.resolve(a.metric).unit,
            "against": b.value,
            "value": a.value,
            "interval": interval,
            "drop": drop,
        }
        for b, a, interval, drop in zip(
            before, after, intervals, metrics.drops(before, after), strict=True
        )
    ]


def as_taken(model: Path, interface: Interface) -> Interface:
    """The interface, with the batch that this ONNX file fixes. Raises ConfigError when names differ."""
    opened = runtimes.session(model)
    inputs = {one.name: one.shape for one in opened.get_inputs()}
    for side, here, wanted in (
        ("inputs", list(inputs), interface.inputs),
        ("outputs", [one.name for one in opened.get_outputs()], interface.outputs),
    ):
        names = [spec.name for spec in wanted]
        if sorted(here) != sorted(names):
            raise ConfigError(
                f"{model}: has {side} {', '.join(here)}, but the model that it is compared with has {', '.join(names)}"
            )
    for spec in interface.inputs:
        size = None if spec.batch_axis is None else inputs[spec.name][spec.batch_axis]
        if isinstance(size, int):
            return Interface(_of_batch(interface.inputs, size), _of_batch(interface.outputs, size))
    return interface


def _of_batch(specs: tuple[TensorSpec, ...], size: int) -> tuple[TensorSpec, ...]:
    return tuple(s if s.batch_axis is None else replace(s, batch_size=size) for s in specs)
