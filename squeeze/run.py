"""One compile on its way: how a step is kept for the next run, and the log of steps.

    step = run.step("distill", train, arch=arch, data=case.data, part=recipe.distill, seed=run.seed)

`train(at, *, arch, data, part, seed)` is a top-level function and sees nothing else, and the step is found again by the
`key()` of each of these, by the versions of all libraries that decide something, and, with `measured_on`, by everything
that the device says of itself. What has no key cannot be given.
"""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Protocol

from squeeze import __version__
from squeeze.errors import ConfigError
from squeeze.workdir import DISK_FULL

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.budget import Budget
    from squeeze.device import Device
    from squeeze.guides.panel import Panel
    from squeeze.progress import Progress
    from squeeze.search import SearchResult
    from squeeze.steps.supernet import Supernet
    from squeeze.train import Compute
    from squeeze.workdir import Step, Workdir

logger = logging.getLogger(__name__)
Json = dict[str, Any]  # Any: whatever JSON can hold

# Raise it when a step computes something else from the same inputs: results of older versions are then not reused.
STEPS_VERSION = 46
# All that can change a result; pillow decodes images, and is there only where it was asked for.
LIBRARIES = (
    *("numpy", "onnx", "onnx-ir", "onnxruntime", "onnxscript", "pillow"),
    *("safetensors", "scipy", "torch"),
)


class Keyed(Protocol):
    """What a step may be given: something that says what of it decides the result."""

    def key(self) -> Any:  # Any: JSON
        """JSON; equal for things that give equal results."""


Given = Keyed | str | int | float | bool | None | tuple["Given", ...] | Mapping[str, "Given"]


@dataclass(frozen=True)
class At:
    """Where a step works: a folder of its own that survives a kill, and whom to tell how far it is."""

    folder: Path
    progress: Progress


Work = Callable[..., Json]  # (At, **given) -> the step's result


def keyed(value: Given) -> Any:  # Any: JSON
    """The key of what a step is given. Raises TypeError for what has none: a path, a function, an array."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, Mapping):
        return {str(name): keyed(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [keyed(item) for item in value]
    if not callable(getattr(value, "key", None)):
        raise TypeError(f"a step cannot be given a {type(value).__name__}: it has no key()")
    return value.key()


def versions() -> dict[str, str]:
    """Versions of everything that can change a result; without those that are not installed."""
    found = {"squeeze": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        if (installed := _installed(name)) is not None:
            found[name.replace("-", "_")] = installed
    return found


@cache
def _installed(name: str) -> str | None:
    # Reading the metadata of all of them takes a tenth of a second, and every step asks.
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@dataclass
class Run:
    """What the steps of one compile share. `log` grows by one entry a step and goes into the manifest; `found` is what
    was searched so far, for one training serves many devices. supernet: one that was trained before, by
    `squeeze search --supernet`. panel: the teachers that answer together, where there are several. pretrained: the step
    with the model that the teacher was fine-tuned from, where it was given. budget: what it may
    take, where that is limited; repeated_s: what `repeated` steps took, those that were found when they were made."""

    workdir: Workdir
    seed: int
    threads: int
    compute: Compute
    progress: Progress
    log: list[Json] = field(default_factory=list)
    found: list[SearchResult] = field(default_factory=list)
    supernet: Supernet | None = None
    panel: Panel | None = None
    pretrained: Step | None = None
    budget: Budget | None = None
    repeated_s: float = 0.0

    def on_one_device(self) -> Run:
        """The same run with a log of its own, which begins with what was done so far, and its part of the time."""
        if self.budget is not None:
            self.budget.next_package()
        return replace(self, log=list(self.log))

    def step(
        self,
        name: str,
        work: Work,
        *,
        measured_on: Device | None = None,
        repeated: bool = False,
        **given: Given,
    ) -> Step:
        """The finished step `name`: found, or made by `work(at, **given)`.

        With `measured_on`, `work` is given the device too, and facts of the machine, its library and its runtime count.
        repeated: it is done for the teacher's own network, as it will be for each that comes.
        `result["summary"]` is the line that people read; `result["tried"]` lists notes of what was kept or undone.
        """
        self.progress.begin(name)
        started = time.perf_counter()
        if measured_on is not None:
            given = {**given, "device": measured_on}
        inputs = {n: keyed(value) for n, value in sorted(given.items())}
        step = self.workdir.step(
            name, {"steps_version": STEPS_VERSION, "versions": versions(), "given": inputs}
        )
        reused = step.done
        if not reused:
            with step.alone():
                if not step.done:
                    self._work(step, work, given)
        seconds = time.perf_counter() - started
        if repeated:
            self.repeated_s += step.seconds if reused else seconds
        result = step.result
        self._note(
            name,
            "reused" if reused else result.get("status", "done"),
            result.get("summary", ""),
            seconds,
            result.get("tried", []),
        )
        return step

    def skip(self, name: str, why: str) -> None:
        """Says that a step was not needed, or could not be made, and why."""
        self.progress.begin(name)
        self._note(name, "skipped", why, 0.0, [])

    def tell(self, name: str, what: str) -> None:
        """Says what was found on the way, by which the next steps are chosen."""
        self.progress.begin(name)
        self._note(name, "done", what, 0.0, [])

    def _work(self, step: Step, work: Work, given: Mapping[str, Given]) -> None:
        started = time.perf_counter()
        try:
            result = work(At(step.partial, self.progress), **given)
            step.finish(result, time.perf_counter() - started)
        except OSError as e:
            if e.errno not in DISK_FULL:
                raise
            raise ConfigError(
                f"{self.workdir.root}: the disk is full ({e.strerror}) in step '{step.name}'; "
                "free some space, or choose another folder (--cache of compile, $TMPDIR else), then the same "
                "command goes on"
            ) from e

    def _note(
        self, name: str, status: str, summary: str, seconds: float, tried: list[Json]
    ) -> None:
        self.log.append(
            {
                "name": name,
                "status": status,
                "summary": summary,
                "seconds": round(seconds, 3),
                "tried": tried,
            }
        )
        # The progress says it to people.
        logger.debug("%s: %s (%.1f s)", name, summary, seconds)
        self.progress.end(
            f"skipped: {summary}" if status == "skipped" else summary,
            seconds,
            reused=status == "reused",
        )
