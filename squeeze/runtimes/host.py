"""ONNX Runtime on this machine's CPU, as one runtime among others: with our library where it is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.errors import MeasureError
from squeeze.machine.likeness import unlike
from squeeze.runtimes.inference import every_output
from squeeze.runtimes.installed import named_version
from squeeze.runtimes.ort import session
from squeeze.runtimes.runtime import Abilities, Array, Built, Cost, Refusal, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from squeeze.target import Target


class Host:
    """Takes the ONNX file as it is."""

    abilities = Abilities(in_this_process=True)
    source: Source = "measured"

    def __init__(self, target: Target) -> None:
        self._threads = target.runtime.threads
        self._cpu = target.cpu

    @property
    def version(self) -> str:
        """Of ONNX Runtime."""
        return named_version("onnxruntime")

    def missing(self) -> str | None:
        """Another machine, where the target is of another kind of processor than this one's."""
        why = unlike(self._cpu)
        return None if why is None else f"{why}: run squeeze on such a device (--target host)"

    def refuses(self, model: Path) -> list[Refusal]:
        """What the runtime says when it opens the file."""
        try:
            session(model, threads=self._threads)
        except MeasureError as e:
            return [Refusal("", str(e))]
        return []

    def build(self, model: Path, folder: Path) -> Built:
        """The file itself."""
        return Built({"model.onnx": model})

    def run(self, built: Built, feed: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs. Raises MeasureError."""
        return every_output(session(built.runs, threads=self._threads), feed, built.runs)

    def caller(self, built: Built, feed: Mapping[str, Array]) -> Callable[[], object]:
        """One run; outputs are fresh in each, as in an app."""
        opened = session(built.runs, threads=self._threads)
        names = [output.name for output in opened.get_outputs()]
        inputs = dict(feed)
        return lambda: opened.run(names, inputs)

    def cost(self, built: Built, feed: Mapping[str, Array] | None = None) -> Cost:
        """The bytes of the file; its latency is `caller`'s."""
        return Cost(source="measured", file_bytes=built.runs.stat().st_size)
