"""One model on several targets: does it run, what does it cost, what limits it; each number with its class.

`squeeze profile --target a --target b` and `squeeze fit`, which asks all of them. A target whose tool is not installed
is told by the command that brings it; where its file says what the device reaches, it is estimated meanwhile.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze.commands.asked import Asked, ask
from squeeze.commands.held_to_float import HeldToFloat, held_to_float
from squeeze.commands.runnable import runnable
from squeeze.errors import MeasureError, SqueezeError, UnsupportedError
from squeeze.machine.facts import facts_of_this_machine
from squeeze.measure.fixed_sizes import as_sized
from squeeze.measure.on_runtime import build_on, compare_costs, costs_on, figure_of
from squeeze.measure.operator_times import operators_of
from squeeze.measure.yardstick import write_yardstick, yardstick_inputs
from squeeze.runtimes.shapes import ANY
from squeeze.runtimes.table import estimated, runtime_of
from squeeze.target import Target, load_target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.measure.rounds import Latency
    from squeeze.progress import Progress
    from squeeze.runtimes.runtime import Built, Cost, Runtime

Json = dict[str, Any]  # Any: JSON
YARDSTICK = "yardstick"
_COPY = re.compile(re.escape(tempfile.gettempdir()) + r"/\S+?\.(onnx|tflite)")


@dataclass(frozen=True)
class How:
    """How closely a target is looked at, see `across`."""

    runs: int
    max_seconds: float
    operators: bool
    yardstick: bool
    held: HeldToFloat | None = None


def across(
    model: str | Path,
    targets: Sequence[str],
    *,
    against: str | Path | None = None,
    runs: int = 200,
    max_seconds: float = 8.0,
    operators: bool = True,
    yardstick: bool = False,
    shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    calib: str | None = None,
    metric: str | None = None,
    progress: Progress | None = None,
) -> Json:
    """A row for each target: "fits" (None where nothing could be asked), and the fields of `Cost`, None where unknown.

    operators: whether a target that measures is asked what each operator takes; others always say what they know.
    yardstick: a fixed network takes turns with the model where that is measured.
    model, against: a package, .onnx or .pt2; against is asked the same, interleaved where the target measures.
    calib, metric: data as for `squeeze.compile`; then "accuracy" of a row is what the very file that runs there
    answers, as `squeeze.commands.held_to_float` has it, or says as "not_asked" why that is not to be had here.
    Raises ConfigError for what cannot be read and for unknown targets; that a target refuses is a row.
    """
    found = [load_target(name) for name in targets]
    shapes = dict(shape) if isinstance(shape, Mapping) else {} if shape is None else {ANY: shape}
    with tempfile.TemporaryDirectory(prefix="squeeze-") as scratch:
        models = [str(one) for one in (model, against) if one is not None]
        held = None
        if calib is not None:
            held = held_to_float(models, calib, metric, shapes, Path(scratch) / "data")
        asked = [
            _asked(one, shapes, Path(scratch) / f"model{i}", held) for i, one in enumerate(models)
        ]
        if progress is not None:
            progress.begin("targets")
        rows = []
        for i, target in enumerate(found):
            if progress is not None:
                progress.update(i, len(found), target.name)
            folder = Path(scratch) / f"target{i}"
            how = How(runs, max_seconds, operators, yardstick, held)
            rows.append(_row(target, asked, folder, how))
        return {
            "schema": 1,
            "model": str(model),
            "against": None if against is None else str(against),
            "params": asked[0].params,
            "macs": asked[0].macs,
            "host": facts_of_this_machine().host,
            "file_bytes": asked[0].file.stat().st_size,
            "assumed": list(asked[0].assumed),
            "targets": rows,
        }


def _asked(
    model: str, shapes: Mapping[str, Sequence[int]], folder: Path, held: HeldToFloat | None
) -> Asked:
    folder.mkdir(parents=True)
    if held is not None:
        return held.asked(model, folder)
    with runnable(model, shapes) as path:
        return ask(model, path, shapes, folder)


def _row(target: Target, asked: Sequence[Asked], folder: Path, how: How) -> Json:
    """What one target says of all models, the first of which the row is about."""
    runtime = runtime_of(target)
    row: Json = {"target": target.name, "summary": target.summary, "missing": runtime.missing()}
    if row["missing"]:
        fallback = estimated(target)
        if fallback is None:
            return {**row, "fits": None, "source": None, "why": [f"not asked: {row['missing']}"]}
        runtime = fallback
    row["runtime"] = runtime.version
    try:
        return {**row, **_told(runtime, target, asked, folder, how)}
    except UnsupportedError as e:
        said = _by_its_name(str(e), asked[0].called)
        return {**row, "fits": False, "source": runtime.source, "why": [said]}
    except SqueezeError as e:
        said = _by_its_name(str(e), asked[0].called)
        return {**row, "fits": None, "source": runtime.source, "why": [said]}


def _by_its_name(said: str, called: str) -> str:
    """The text with the user's file in place of the copies that were made of it."""
    return _COPY.sub(lambda _: called, said)


def _told(
    runtime: Runtime,
    target: Target,
    asked: Sequence[Asked],
    folder: Path,
    how: How,
) -> Json:
    built: dict[str, Built] = {}
    accuracy: dict[str, Json] = {}
    forms = []
    folder.mkdir()
    for name, one in zip(("model", "against"), asked, strict=False):
        file, form = one.form(target)
        file = as_sized(runtime, file, one.inputs, folder / f"{name}.onnx")
        forms.append(form)
        if refusals := runtime.refuses(file):
            of = "" if one is asked[0] else f"{one.called}: "
            return {
                "fits": False,
                "source": runtime.source,
                "form": form,
                "why": [_by_its_name(f"{of}{refusal}", one.called) for refusal in refusals],
            }
        built[name] = build_on(runtime, file, folder / name)
        if how.held is not None:
            accuracy[name] = {"accuracy": _accuracy(how.held, runtime, built[name], file)}
    if how.yardstick and runtime.abilities.in_this_process:
        file = write_yardstick(folder / "yardstick.onnx")
        built[YARDSTICK] = build_on(runtime, file, folder / YARDSTICK)
    inputs = asked[0].inputs
    costs, taken = costs_on(
        runtime,
        built,
        inputs,
        threads=target.runtime.threads,
        runs=how.runs,
        max_seconds=how.max_seconds,
        operators=how.operators,
        own_inputs={YARDSTICK: yardstick_inputs()},
    )
    beyond = beyond_memory(target, costs["model"])
    told = {"fits": not beyond, "form": forms[0], "why": beyond, **asdict(costs["model"])}
    told |= accuracy.get("model", {})
    if how.operators and runtime.source == "measured":
        told["operators"] = operators_of(told["operators"], built["model"].runs, inputs, target)
    if "against" in costs:
        of_both = accuracy.get("against", {})
        told["against"] = {"form": forms[1], **_against(costs, taken), **of_both}
    if YARDSTICK in taken:
        share = compare_costs(costs, taken, "model", YARDSTICK)
        told["yardstick"] = {
            "median": share.ratio,
            "p10": share.ratio_p10,
            "p90": share.ratio_p90,
        }
    return told


def _accuracy(held: HeldToFloat, runtime: Runtime, built: Built, file: Path) -> Json:
    try:
        return held.accuracy(runtime, built, file)
    except (MeasureError, UnsupportedError) as e:  # the rest of the row is known nevertheless
        return {"not_asked": str(e)}


def _against(costs: Mapping[str, Cost], taken: Mapping[str, Latency]) -> Json:
    """The other model's cost, and how many times it takes what the model takes."""
    ratio = compare_costs(costs, taken, "against", "model")
    return {
        "what": figure_of(costs["model"]).what,
        "ratio": ratio.ratio,
        "p10": ratio.ratio_p10,
        "p90": ratio.ratio_p90,
        "steady": ratio.steady,
        **asdict(costs["against"]),
    }


def beyond_memory(target: Target, cost: Cost) -> list[str]:
    """What of the device's memory the model is beyond, both numbers named."""
    memory, found = target.memory, []
    used = None if cost.ram_bytes is None else cost.ram_bytes + (cost.persistent_bytes or 0)
    room = memory.sram_bytes if target.accelerator is not None else memory.ram_bytes
    for what, need, limit in (("RAM", used, room), ("flash", cost.flash_bytes, memory.flash_bytes)):
        if need is not None and limit is not None and need > limit:
            found.append(f"{what}: {need:,} bytes, and the device has {limit:,}")
    return found
