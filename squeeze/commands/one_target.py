"""What one target says of one model, or of two that take turns: a row of `squeeze.commands.across`."""

from __future__ import annotations

import re
import tempfile
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from squeeze.errors import MeasureError, SqueezeError, UnsupportedError
from squeeze.measure.fixed_sizes import as_sized
from squeeze.measure.on_runtime import build_on, compare_costs, costs_on, figure_of
from squeeze.measure.operator_times import operators_of
from squeeze.measure.yardstick import write_yardstick, yardstick_inputs
from squeeze.runtimes.table import estimated, runtime_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from squeeze.commands.asked import Asked
    from squeeze.commands.held_to_float import HeldToFloat
    from squeeze.measure.rounds import Latency
    from squeeze.runtimes.runtime import Built, Cost, Runtime
    from squeeze.target import Target

Json = dict[str, Any]  # Any: JSON
YARDSTICK = "yardstick"
_COPY = re.compile(re.escape(tempfile.gettempdir()) + r"/\S+?\.(onnx|tflite)")


@dataclass(frozen=True)
class How:
    """How closely a target is looked at, see `squeeze.commands.across.across`."""

    runs: int
    max_seconds: float
    operators: bool
    yardstick: bool
    first_look: bool = False
    held: HeldToFloat | None = None


@dataclass(frozen=True)
class Reached:
    """A target and what tells of it here: its runtime, or our estimate while that is `missing`; None for neither."""

    target: Target
    runtime: Runtime | None
    missing: str | None

    @property
    def timed_here(self) -> bool:
        """Whether it takes this machine's time, so that nothing else may run beside it."""
        return self.runtime is not None and self.runtime.source == "measured"


def reach(target: Target) -> Reached:
    """Without loading anything heavy."""
    runtime = runtime_of(target)
    missing = runtime.missing()
    return Reached(target, estimated(target) if missing else runtime, missing)


def row_of(reached: Reached, asked: Sequence[Asked], folder: Path, how: How) -> Json:
    """What one target says of all models, the first of which the row is about; files of it are made in `folder`."""
    target, runtime = reached.target, reached.runtime
    row: Json = {"target": target.name, "summary": target.summary, "missing": reached.missing}
    if runtime is None:
        return {**row, "fits": None, "source": None, "why": [f"not asked: {reached.missing}"]}
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
        first_look=how.first_look,
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
