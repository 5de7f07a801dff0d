"""One compile on its way: what every step needs to know, how a step is kept for the next run, and the log of steps."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from squeeze import __version__
from squeeze.errors import ConfigError
from squeeze.workdir import DISK_FULL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from squeeze.measure import LatencyTable
    from squeeze.progress import Progress
    from squeeze.spec import Target
    from squeeze.workdir import Step, Workdir

logger = logging.getLogger(__name__)
Json = dict[str, Any]  # Any: whatever JSON can hold

# Raise it when a step computes something else from the same inputs: results of older versions are then not reused.
STEPS_VERSION = 2
LIBRARIES = ("torch", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "numpy")


def versions() -> dict[str, str]:
    """Versions of the libraries that can change a result."""
    return {"squeeze": __version__, **{name: version(name) for name in LIBRARIES}}


@dataclass
class Run:
    """What the steps of one compile share. `log` grows by one entry a step and goes into the manifest."""

    workdir: Workdir
    target: Target
    seed: int
    threads: int
    progress: Progress
    table: LatencyTable
    log: list[Json] = field(default_factory=list)

    def step(self, name: str, inputs: Json, work: Callable[[Path], Json]) -> Step:
        """The finished step `name` for these inputs: found, or made by `work(folder) -> result`.

        `result["summary"]` is the line that people read; `result["tried"]` lists what was tried, kept, undone and why.
        """
        self.progress.begin(name)
        started = time.perf_counter()
        common: Json = {"versions": versions(), "seed": self.seed, "threads": self.threads}
        step = self.workdir.step(name, {"steps_version": STEPS_VERSION, **common, **inputs})
        reused = step.done
        if not reused:
            with step.alone():
                if not step.done:
                    self._work(step, work)
        seconds = time.perf_counter() - started
        result = step.result
        self.note(
            name,
            "reused" if reused else result.get("status", "done"),
            result.get("summary", ""),
            seconds,
            result.get("tried", []),
        )
        return step

    def _work(self, step: Step, work: Callable[[Path], Json]) -> None:
        try:
            step.finish(work(step.partial))
        except OSError as e:
            if e.errno not in DISK_FULL:
                raise
            raise ConfigError(
                f"{self.workdir.root}: the disk is full ({e.strerror}) in step '{step.name}'; "
                "free some space or choose another --cache, then the same command goes on"
            ) from e

    def skip(self, name: str, why: str) -> None:
        """Says that a step was not needed, and why."""
        self.progress.begin(name)
        self.note(name, "skipped", why, 0.0, [])

    def note(self, name: str, status: str, summary: str, seconds: float, tried: list[Json]) -> None:
        """Adds a finished step to the log and shows its line."""
        self.log.append(
            {
                "name": name,
                "status": status,
                "summary": summary,
                "seconds": round(seconds, 3),
                "tried": tried,
            }
        )
        logger.info("%s: %s (%.1f s)", name, summary, seconds)
        self.progress.end(
            f"skipped: {summary}" if status == "skipped" else summary,
            seconds,
            reused=status == "reused",
        )
