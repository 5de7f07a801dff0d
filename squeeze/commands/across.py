"""One model on several targets: does it run, what does it cost, what limits it; each number with its class.

`squeeze profile --target a --target b` and `squeeze fit`, which asks all of them. A target whose tool is not installed
is told by the command that brings it; where its file says what the device reaches, it is estimated meanwhile.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze.build_date import build_date
from squeeze.commands.asked import Asked, ask
from squeeze.commands.held_to_float import HeldToFloat, held_to_float
from squeeze.commands.one_target import How, reach, row_of
from squeeze.commands.runnable import runnable, shapes_of_package, taken_by
from squeeze.machine import usable_cores
from squeeze.machine.facts import facts_of_this_machine
from squeeze.progress import Progress
from squeeze.runtimes.concurrent import in_order
from squeeze.runtimes.shapes import ANY
from squeeze.target import Target, load_target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.calib import AskedText

Json = dict[str, Any]  # Any: JSON


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
    text: AskedText | None = None,
    first_look: bool = False,
    progress: Progress | None = None,
) -> Json:
    """A row for each target: "fits" (None where nothing could be asked), and the fields of `Cost`, None where unknown.

    operators: whether a target that measures is asked what each operator takes; others always say what they know.
    yardstick: a fixed network takes turns with the model where that is measured.
    model, against: a package, .onnx or .pt2; against is asked the same, interleaved where the target measures.
    calib, metric, text: data as for `squeeze.compile`; then "accuracy" of a row is what the very file that runs there
    answers, as `squeeze.commands.held_to_float` has it, or says as "not_asked" why that is not to be had here.
    first_look: a few runs are enough where a target measures, also on a busy machine.
    Raises ConfigError for what cannot be read and for unknown targets; that a target refuses is a row.
    """
    found = [load_target(name) for name in targets]
    shapes = dict(shape) if isinstance(shape, Mapping) else {} if shape is None else {ANY: shape}
    with tempfile.TemporaryDirectory(prefix="squeeze-") as scratch:
        models = [str(one) for one in (model, against) if one is not None]
        usual, said = ({}, "") if shapes else shapes_of_package(models)
        held = None
        if calib is not None:
            held = held_to_float(models, calib, metric, shapes, Path(scratch) / "data", text)
        asked = [
            _asked(one, shapes or taken_by(one, usual), Path(scratch) / f"model{i}", held)
            for i, one in enumerate(models)
        ]
        how = How(runs, max_seconds, operators, yardstick, first_look, held)
        rows = _rows(found, asked, Path(scratch), how, progress or Progress())
        return {
            "schema": 1,
            "model": str(model),
            "against": None if against is None else str(against),
            "params": asked[0].params,
            "macs": asked[0].macs,
            "host": facts_of_this_machine().host,
            "date": build_date(),
            "file_bytes": asked[0].file.stat().st_size,
            "assumed": [*asked[0].assumed, *([said] if said and held is None else [])],
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


def _rows(
    targets: Sequence[Target], asked: Sequence[Asked], scratch: Path, how: How, progress: Progress
) -> list[Json]:
    """In the order of the targets. Compilers and interpreters of other devices work beside each other, on all cores;
    what is timed on this machine has it for itself afterwards."""
    progress.begin("targets")
    reached = [reach(target) for target in targets]
    alone = [i for i, one in enumerate(reached) if one.timed_here]
    offline = [i for i in range(len(reached)) if i not in alone]

    def work(i: int) -> Json:
        return row_of(reached[i], asked, scratch / f"target{i}", how)

    rows: dict[int, Json] = {}
    progress.update(0, len(reached), "compilers of other devices" if offline else "")
    for i, row in zip(offline, in_order(work, offline, usable_cores()), strict=True):
        rows[i] = row
        progress.update(len(rows), len(reached), targets[i].name)
    for i in alone:
        progress.update(len(rows), len(reached), targets[i].name)
        rows[i] = work(i)
    return [rows[i] for i in range(len(reached))]
