"""LiteRT with XNNPACK on this CPU, as Android apps run a .tflite file; times are measured here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from squeeze.runtimes.installed import missing_package, named_version
from squeeze.runtimes.litert_interpreter import Opened
from squeeze.runtimes.repeated_runs import times_ms
from squeeze.runtimes.runtime import Abilities, Array, Built, Cost, Refusal, Source
from squeeze.runtimes.tflite_file import NAME, tflite_lacks, tflite_of, tflite_refusals
from squeeze.runtimes.tflite_tensors import made_up, stacked

if TYPE_CHECKING:
    from squeeze.target import Target


class LiteRt:
    """See `InThisProcess`. A .tflite file is taken as it is wherever a model is."""

    abilities = Abilities(
        fixes="all", looks_first=True, in_this_process=True
    )  # a .tflite file leaves no size open
    source: Source = "measured"

    def __init__(self, target: Target) -> None:
        self.target = target

    @property
    def version(self) -> str:
        return named_version("ai-edge-litert")

    def missing(self) -> str | None:
        least = self.target.runtime.min_version
        return missing_package("ai_edge_litert", "ai-edge-litert", "litert", least)

    def lacks(self, model: Path) -> list[Refusal]:
        return tflite_lacks(model)

    def refuses(self, model: Path) -> list[Refusal]:
        return tflite_refusals(model)

    def build(self, model: Path, folder: Path) -> Built:
        return Built({NAME: tflite_of(model, folder)})

    def run(self, built: Built, feed: Mapping[str, Array]) -> dict[str, Array]:
        return self._open(built).run(feed)

    def cost(self, built: Built, feed: Mapping[str, Array] | None = None) -> Cost:
        found = times_ms(self._call(built, feed), seconds=0.2)
        return Cost(
            self.source,
            latency_ms=found.p50_ms,
            latency_p10_ms=found.p10_ms,
            latency_p90_ms=found.p90_ms,
            file_bytes=built.runs.stat().st_size,
            notes=(f"{found.runs} runs in a row on this machine, {self._threads}",),
        )

    def caller(self, built: Built, feed: Mapping[str, Array]) -> Callable[[], object]:
        return self._call(built, feed)

    def _call(self, built: Built, feed: Mapping[str, Array] | None) -> Callable[[], object]:
        """feed: of which the first sample is run; None makes one."""
        opened = self._open(built)
        inputs = opened.ports.inputs
        opened.give(
            made_up(inputs) if feed is None else [one[0] for one in stacked(inputs, feed)[0]]
        )
        return opened.once

    def _open(self, built: Built) -> Opened:
        return Opened(built.runs, threads=self.target.runtime.threads)

    @property
    def _threads(self) -> str:
        count = self.target.runtime.threads
        return "1 thread" if count == 1 else f"{count} threads"
