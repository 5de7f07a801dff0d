"""Arm's compiler for Ethos-U NPUs, in a process of its own, and what its reports say.

Every number is of Arm's own model of the NPU and its memories, not of a device: cycles of each operator are the most of
what its arithmetic and each of its memories need.
"""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from squeeze.errors import MeasureError
from squeeze.runtimes.child import in_child
from squeeze.workdir import write_atomic

COMPILED = "model_vela.tflite"
# What vela has to be told of the NPU and the memories around it; left out, it takes those of one Ethos-U55 for any.
NEEDED = ("accelerator-config", "system-config", "memory-mode")
# What else of its command line a target may say; where files go is not among it.
ALLOWED = (
    *NEEDED,
    "arena-cache-size",
    "config",
    "cpu-tensor-alignment",
    "hillclimb-max-iterations",
    "ignore-ops",
    "optimise",
    "tensor-allocator",
)
# Memories, as columns of the summary name them.
AREAS = ("sram", "dram", "on_chip_flash", "off_chip_flash")
_TIMEOUT_S = 300.0
_SCRIPT = """
sys.argv = ["vela", *job["arguments"]]
from ethosu.vela.vela import main
sys.exit(main())
"""
# Columns of the table of operators -> what bounds an operator.
_BOUNDS = {
    "NPU": "arithmetic",
    "SRAM AC": "SRAM",
    "DRAM AC": "DRAM",
    "OnFlash AC": "on-chip flash",
    "OffFlash AC": "off-chip flash",
}


@dataclass(frozen=True)
class VelaOperator:
    """One row of the table of operators. name: of its output tensor; op: of the .tflite file; step: what vela makes of
    it, one of several for a softmax; bound: what it waits for."""

    name: str
    op: str
    step: str
    on_npu: bool
    cycles: int
    macs: int
    bound: str


@dataclass(frozen=True)
class Report:
    """What vela says of one model. summary: column -> number, sizes in KiB and traffic in bytes as vela has them."""

    summary: Mapping[str, float]
    operators: tuple[VelaOperator, ...]


def compiled(
    model: Path, folder: Path, options: Mapping[str, str], timeout_s: float = _TIMEOUT_S
) -> Report:
    """Compiles a .tflite file to `folder`/model_vela.tflite. options: of its command line, in its own words.

    Raises MeasureError with vela's own last line when it fails, crashes or takes longer than `timeout_s`.
    """
    with tempfile.TemporaryDirectory(prefix="squeeze-") as private:
        at = Path(private)
        shutil.copyfile(model, at / "model.tflite")
        arguments = ["model.tflite", "--output-dir", ".", "--verbose-performance"]
        for name, value in {"config": "Arm/vela.ini", **options}.items():
            arguments += [f"--{name}", value]
        try:
            ended = in_child(_SCRIPT, {"arguments": arguments}, at, timeout_s)
        except MeasureError as e:
            raise MeasureError(f"{model}: vela: {e}") from e
        summaries, tables = sorted(at.glob("*_summary_*.csv")), sorted(at.glob("*_per-layer.csv"))
        made = at / COMPILED
        if ended.code != 0 or not made.is_file() or not summaries or not tables:
            raise MeasureError(f"{model}: vela cannot compile it: {ended.why}")
        try:
            report = Report(_summary(summaries[0]), _operators(tables[0]))
        except (KeyError, ValueError) as e:
            raise MeasureError(
                f"{model}: vela's report has another form than that of 5.2: {e}; pip install ethos-u-vela==5.2.0"
            ) from e
        write_atomic(folder / COMPILED, made.read_bytes())
    return report


def _summary(path: Path) -> dict[str, float]:
    """The last row of vela's summary, its numbers alone."""
    with path.open(encoding="utf-8", newline="") as stream:
        row = list(csv.DictReader(stream))[-1]
    found = {}
    for name, text in row.items():
        try:
            found[name] = float(text)
        except (TypeError, ValueError):  # names of the model and of what it is compiled for
            continue
    return found


def _operators(path: Path) -> tuple[VelaOperator, ...]:
    with path.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["Target"] in ("NPU", "CPU")]
    return tuple(
        VelaOperator(
            name=row["Name"],
            op=row["Original Operator"],
            step=row["NNG Operator"],
            on_npu=row["Target"] == "NPU",
            cycles=int(float(row["Op Cycles"])),
            macs=int(float(row["MAC Count"])),
            bound=max(_BOUNDS, key=lambda column: float(row[column])),
        )
        for row in rows
    )


def bound_words(bound: str) -> str:
    """'arithmetic', 'SRAM', ... of a column of the table."""
    return _BOUNDS[bound]
