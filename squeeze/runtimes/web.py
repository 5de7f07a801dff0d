"""onnxruntime-web in headless Chromium: WebAssembly, whose times are measured, or WebGPU on a graphics card that the
CPU stands in for, whose times say nothing and are not given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from squeeze.errors import MeasureError, UnsupportedError
from squeeze.runtimes.batches import inputs_of, joined_runs, runs_of
from squeeze.runtimes.browser.chromium import INSTALL, chromium, chromium_version
from squeeze.runtimes.browser.job import Job, Provider, Timing, Told, in_browser
from squeeze.runtimes.browser.onnxruntime_web import dist, install_command, web_version
from squeeze.runtimes.browser.placement import placement
from squeeze.runtimes.made_feed import made_feed
from squeeze.runtimes.one_file import as_one_file
from squeeze.runtimes.runtime import Abilities, Array, Built, Cost, Refusal, Source

if TYPE_CHECKING:
    from squeeze.target import Target

NAME = "model.onnx"
_SECONDS = 10.0
_OPEN_SECONDS = 120.0


class Web:
    """See `Runtime`; `time` has several models take turns in one page. The target's option `provider` is "wasm" or
    "webgpu"."""

    source: Source = "measured"

    def __init__(self, target: Target) -> None:
        self.target = target

    @property
    def provider(self) -> Provider:
        return "webgpu" if self.target.runtime.options.get("provider") == "webgpu" else "wasm"

    @property
    def abilities(self) -> Abilities:
        return Abilities(runs_many=True, times_itself=self.provider == "wasm")

    @property
    def version(self) -> str:
        program = chromium()
        browser = chromium_version(program) if program else "no browser"
        return f"onnxruntime-web {web_version() or '(not installed)'}, {browser}"

    def missing(self) -> str | None:
        if chromium() is None:
            return f"Chromium is not installed: {INSTALL}"
        if dist() is None:
            return f"onnxruntime-web is not installed: {install_command()}"
        return None

    def refuses(self, model: Path) -> list[Refusal]:
        with TemporaryDirectory() as folder:
            return self._refusals(as_one_file(model, Path(folder) / NAME))

    def build(self, model: Path, folder: Path) -> Built:
        built = as_one_file(model, folder / NAME)
        if refused := self._refusals(built):
            raise UnsupportedError(f"{model}: {refused[0]}")
        return Built({NAME: built})

    def _refusals(self, built: Path) -> list[Refusal]:
        """By opening it: what the runtime has is in no list."""
        failed = self._do({"model": built}, {"model": []}).failed
        return [] if failed is None else [Refusal(failed.node, f"onnxruntime-web: {failed.why}")]

    def run(self, built: Built, feed: Mapping[str, Array]) -> dict[str, Array]:
        return joined_runs(self.run_all(built, runs_of(inputs_of(built.runs), feed)))

    def run_all(self, built: Built, feeds: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
        told = _worked(self._do({"model": built.runs}, {"model": feeds}))
        return [dict(found) for found in told.outputs["model"]]

    def time(
        self,
        built: Mapping[str, Built],
        feeds: Mapping[str, Mapping[str, Array]],
        runs: int = 200,
        max_seconds: float = 30.0,
    ) -> dict[str, list[tuple[int, ...]]]:
        """What one run took in ns: of each model a list of rounds, of each round its readings. Round i of all models
        belongs together; the first run of a burst is not counted. Fewer runs than wanted where time is up.

        Raises UnsupportedError on WebGPU, MeasureError for a model that fails.
        """
        if not self.abilities.times_itself:
            raise UnsupportedError(f"target '{self.target.name}': {_SOFTWARE}; time on web-wasm")
        told = _worked(
            self._do(
                {name: one.runs for name, one in built.items()},
                {
                    name: runs_of(inputs_of(one.runs), feeds[name])[:1]
                    for name, one in built.items()
                },
                Timing(runs, max_seconds),
            )
        )
        return {name: list(rounds) for name, rounds in told.rounds_ns.items()}

    def cost(self, built: Built, feed: Mapping[str, Array] | None = None) -> Cost:
        sample = made_feed(built.runs) if feed is None else feed
        size = built.runs.stat().st_size
        if self.provider == "webgpu":
            given = runs_of(inputs_of(built.runs), sample)[:1]
            told = _worked(self._do({"model": built.runs}, {"model": given}, placement=True))
            share, left_over = placement(told.said)
            return Cost(
                self.source,
                file_bytes=size,
                accelerator_share=share,
                left_over=left_over,
                notes=(_SOFTWARE,),
            )
        rounds = self.time({"model": built}, {"model": sample}, max_seconds=_SECONDS)["model"]
        p10, p50, p90 = np.percentile(np.concatenate(rounds), [10, 50, 90]) / 1e6
        return Cost(
            self.source,
            latency_ms=float(p50),
            latency_p10_ms=float(p10),
            latency_p90_ms=float(p90),
            file_bytes=size,
            notes=(f"on this machine, {self.version}",),
        )

    def _do(
        self,
        models: Mapping[str, Path],
        feeds: Mapping[str, Sequence[Mapping[str, Array]]],
        timing: Timing | None = None,
        placement: bool = False,
    ) -> Told:
        program, runtime = chromium(), dist()
        if program is None or runtime is None:
            raise UnsupportedError(f"target '{self.target.name}': {self.missing()}")
        job = Job(self.provider, self.target.runtime.threads, models, feeds, timing, placement)
        timeout_s = _OPEN_SECONDS + (0 if timing is None else 3 * timing.seconds)
        return in_browser(job, program, runtime, timeout_s)


_SOFTWARE = "correctness only: a software GPU"


def _worked(told: Told) -> Told:
    """Raises MeasureError where a model failed."""
    if failed := told.failed:
        what = "cannot open it" if failed.doing == "open" else "failed"
        where = f" at node '{failed.node}'" if failed.node else ""
        raise MeasureError(f"{failed.model}: onnxruntime-web {what}{where}: {failed.why}")
    return told
