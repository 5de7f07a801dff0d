"""Arm Ethos-U NPUs by vela, Arm's compiler: cycles, memory and traffic of its model of the NPU, and what the CPU runs.

Outputs are those of the .tflite file that vela was given, by the reference kernels of LiteRT: vela chooses scales and
roundings of the NPU so that it equals them bit for bit.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from squeeze.errors import ConfigError, MeasureError, UnsupportedError, unknown
from squeeze.quantities import show_bytes
from squeeze.runtimes import vela
from squeeze.runtimes.host_core import refused_beside
from squeeze.runtimes.installed import missing_package, named_version
from squeeze.runtimes.litert_interpreter import Opened
from squeeze.runtimes.runtime import Abilities, Array, Built, Cost, Refusal, Source
from squeeze.runtimes.tflite_file import (
    NAME,
    NPU_OPERATOR,
    TfliteOperator,
    operators,
    tflite_lacks,
    tflite_of,
    tflite_refusals,
)
from squeeze.runtimes.tflite_nodes import NAMELESS, NodeNames, node_names
from squeeze.runtimes.vela_costs import limit_of, operator_costs, traffic_of
from squeeze.workdir import write_atomic

if TYPE_CHECKING:
    from squeeze.target import Target


@dataclass(frozen=True)
class _Compiled:
    """Of one .tflite file, by its digest. not_asked: why nobody knows whether the CPU runs what is left to it."""

    digest: str
    report: vela.Report
    compiled: bytes
    refusals: list[Refusal]
    not_asked: str


class EthosU:
    """See `Runtime`. files: model.tflite, which LiteRT runs, and model_vela.tflite, which the device loads."""

    # A .tflite file leaves no size open.
    abilities = Abilities(fixes="all", looks_first=True, answers_by="LiteRT's reference kernels")
    source: Source = "cycles"

    def __init__(self, target: Target) -> None:
        self.target = target
        # Digest of model.tflite -> what vela said of it, and of which nodes it is, where this has built it.
        self._reports: dict[str, vela.Report] = {}
        self._nodes: dict[str, NodeNames] = {}
        self._not_asked: dict[str, str] = {}
        self._made: _Compiled | None = None  # the last one: who asks whether it runs builds it next

    @property
    def version(self) -> str:
        return named_version("ethos-u-vela")

    def missing(self) -> str | None:
        least = self.target.runtime.min_version
        return missing_package("ethosu.vela", "ethos-u-vela", "npu", least) or missing_package(
            "ai_edge_litert", "ai-edge-litert", "npu"
        )

    def lacks(self, model: Path) -> list[Refusal]:
        return tflite_lacks(model)

    def refuses(self, model: Path) -> list[Refusal]:
        """By a look at the operators, then by compiling: what is left to the CPU is known no sooner."""
        if refusals := tflite_refusals(model):
            return refusals
        with tempfile.TemporaryDirectory(prefix="squeeze-") as folder:
            return self._compiled(tflite_of(model, Path(folder)), model).refusals

    def build(self, model: Path, folder: Path) -> Built:
        with tempfile.TemporaryDirectory(prefix="squeeze-") as scratch:
            written = tflite_of(model, Path(scratch))
            made = self._compiled(written, model)
            if made.refusals:
                raise UnsupportedError(
                    *(f"{self.target.name}: {refusal}" for refusal in made.refusals)
                )
            path, compiled = folder / NAME, folder / vela.COMPILED
            write_atomic(path, written.read_bytes())
        write_atomic(compiled, made.compiled)
        digest = _digest(path)
        self._reports[digest] = made.report
        self._nodes[digest] = node_names(model)
        self._not_asked[digest] = made.not_asked
        left, count = self._left_over(path, compiled), len(operators(path))
        notes = (
            f"the NPU takes {count - len(left)} of {count} operators; the CPU runs {_listed(left)}",
        )
        return Built({NAME: path, vela.COMPILED: compiled}, notes if left else ())

    def _compiled(self, path: Path, model: Path) -> _Compiled:
        """What vela makes of `path`, the .tflite file of `model`, and what keeps that from running."""
        digest = _digest(path)
        if self._made is None or self._made.digest != digest:
            with tempfile.TemporaryDirectory(prefix="squeeze-") as folder:
                report = vela.compiled(path, Path(folder), self._options())
                compiled = Path(folder) / vela.COMPILED
                refusals, not_asked = self._beyond_sram(report), ""
                if any(one.op != NPU_OPERATOR for one in operators(compiled)):
                    beside, not_asked = refused_beside(compiled, node_names(model))
                    refusals += beside
                self._made = _Compiled(digest, report, compiled.read_bytes(), refusals, not_asked)
        return self._made

    def run(self, built: Built, feed: Mapping[str, Array]) -> dict[str, Array]:
        """By LiteRT's reference kernels on model.tflite."""
        return Opened(built.files[NAME], reference=True).run(feed)

    def cost(self, built: Built, feed: Mapping[str, Array] | None = None) -> Cost:
        """Without running anything; `feed` is not looked at."""
        path = built.files[NAME]
        report = self._report(path, built.runs)
        said, left = report.summary, self._left_over(path, built.runs)
        count = len(operators(path))
        cycles = int(said["cycles_total"])
        clock_hz = self._clock_hz(said)
        dram = round(said["dram_memory_used"] * 1024)
        return Cost(
            self.source,
            latency_ms=1e3 * cycles / clock_hz,
            cycles=cycles,
            ram_bytes=_sram_bytes(report),
            flash_bytes=built.runs.stat().st_size,
            file_bytes=built.runs.stat().st_size,
            traffic_bytes=traffic_of(said),
            accelerator_share=1 - len(left) / count if count else None,
            left_over=tuple(operator.name for operator in left),
            operators=operator_costs(report, self._names(path)),
            limited_by=limit_of(report),
            leaves_out=_left_out(left, self._not_asked.get(_digest(path), "")),
            notes=_cost_notes(clock_hz, dram, said),
        )

    def _beyond_sram(self, report: vela.Report) -> list[Refusal]:
        """Where the model needs more SRAM than the target says that there is."""
        has, needs = self.target.memory.sram_bytes, _sram_bytes(report)
        if has is None or needs <= has:
            return []
        why = (
            f"SRAM: {show_bytes(needs)} ({needs} bytes), the target has {has} bytes; smaller inputs or fewer "
            "channels in its first layers take less"
        )
        return [Refusal("", why)]

    def _report(self, path: Path, compiled: Path) -> vela.Report:
        """vela's report of a file, from `build` where this very file was built.

        Raises MeasureError where `compiled` is not what this vela makes of it.
        """
        digest = _digest(path)
        if digest not in self._reports:
            with tempfile.TemporaryDirectory(prefix="squeeze-") as folder:
                report = vela.compiled(path, Path(folder), self._options())
                if _digest(Path(folder) / vela.COMPILED) != _digest(compiled):
                    raise MeasureError(
                        f"{compiled}: not what {self.version} makes of {path.name} for "
                        f"{self.target.name}; build it again"
                    )
            self._reports[digest] = report
        return self._reports[digest]

    def _options(self) -> dict[str, str]:
        """For vela's command line. Raises ConfigError where the target does not say all that vela has to be told."""
        part = self.target.accelerator
        options = dict(part.options) if part else {}
        where = f"target '{self.target.name}': [accelerator.options]"
        for name in options:
            if name not in vela.ALLOWED:
                raise ConfigError(unknown(where, name, vela.ALLOWED))
        if absent := [name for name in vela.NEEDED if name not in options]:
            raise ConfigError(
                f"{where} has no {', '.join(absent)}; vela would take those "
                "of another NPU: name them as `vela --list-configs Arm/vela.ini` does"
            )
        if self.target.memory.sram_bytes is not None:
            options.setdefault("arena-cache-size", str(self.target.memory.sram_bytes))
        return options

    def _clock_hz(self, said: Mapping[str, float]) -> float:
        part = self.target.accelerator
        return part.clock_hz if part and part.clock_hz else said["core_clock"]

    def _names(self, path: Path) -> NodeNames:
        return self._nodes.get(_digest(path), NAMELESS)

    def _left_over(self, path: Path, compiled: Path) -> list[TfliteOperator]:
        """What is not inside of the NPU's own operators, by the names of its nodes."""
        names = self._names(path)
        return [
            replace(one, name=names.of(one.name, one.op))
            for one in operators(compiled)
            if one.op != NPU_OPERATOR
        ]


def _sram_bytes(report: vela.Report) -> int:
    return round(report.summary["sram_memory_used"] * 1024)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _listed(left: list[TfliteOperator], most: int = 5) -> str:
    shown = ", ".join(f"'{operator.name}' ({operator.op})" for operator in left[:most])
    return shown if len(left) <= most else f"{shown} and {len(left) - most} more"


def _left_out(left: list[TfliteOperator], not_asked: str) -> tuple[str, ...]:
    """What stays unknown where the CPU has a part."""
    if not left:
        return ()
    said = f"cycles and time are without what the CPU runs: {_listed(left)}"
    return (said, not_asked) if not_asked else (said,)


def _cost_notes(clock_hz: float, dram: int, said: Mapping[str, float]) -> tuple[str, ...]:
    notes = [
        f"cycles of Arm's compiler, not of a device; time is cycles at {clock_hz / 1e6:g} MHz",
        "outputs are of model.tflite by LiteRT's reference kernels",
        "memory is the NPU's SRAM; flash is model_vela.tflite without the code around it",
    ]
    if dram:
        notes.append(
            f"{show_bytes(dram)} ({dram} bytes) lie in DRAM: weights, and tensors that are not in SRAM"
        )
    if clock_hz != said["core_clock"]:
        notes.append(
            f"vela's system has {said['core_clock'] / 1e6:g} MHz: its memories are as fast as there, in cycles"
        )
    return tuple(notes)
