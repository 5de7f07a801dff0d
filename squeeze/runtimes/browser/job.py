"""Models that run in one page of a browser, by onnxruntime-web: what they give, and what they take in turns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np

from squeeze.errors import MeasureError
from squeeze.runtimes.browser.chromium import Browser, browsing
from squeeze.runtimes.browser.page_server import END, PageServer, serving
from squeeze.runtimes.ort_message import blamed_node, plain_reason
from squeeze.runtimes.runtime import Array

Provider = Literal["wasm", "webgpu"]
# As the runtime calls them.
_DTYPES = {
    "bool": "bool",
    "float16": "float16",
    "float32": "float32",
    "float64": "float64",
    "int16": "int16",
    "int32": "int32",
    "int64": "int64",
    "int8": "int8",
    "uint16": "uint16",
    "uint32": "uint32",
    "uint64": "uint64",
    "uint8": "uint8",
}
_BUNDLES: dict[Provider, str] = {"wasm": "ort.wasm.min.mjs", "webgpu": "ort.webgpu.min.mjs"}
# A graphics card that Chromium computes on the CPU.
_FLAGS: dict[Provider, tuple[str, ...]] = {
    "wasm": ("--disable-gpu",),
    "webgpu": (
        "--enable-unsafe-webgpu",
        "--use-webgpu-adapter=swiftshader",
        "--enable-features=Vulkan",
        "--use-vulkan=swiftshader",
    ),
}


@dataclass(frozen=True)
class Timing:
    """runs: of each model, after warm-up, as long as `seconds` allow."""

    runs: int
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A model that the runtime would not open, or that failed in a run. why: in the runtime's words, one line; node:
    its name, "" where the runtime does not say."""

    model: str
    doing: Literal["open", "run"]
    why: str
    node: str


@dataclass(frozen=True)
class Told:
    """outputs: of each model, a mapping for each of its feeds. rounds_ns: of each model, its readings in each round;
    round i of all models belongs together. said: the runtime's log."""

    outputs: Mapping[str, Sequence[Mapping[str, Array]]] = field(default_factory=dict)
    rounds_ns: Mapping[str, Sequence[tuple[int, ...]]] = field(default_factory=dict)
    said: Sequence[str] = ()
    failed: Failed | None = None


@dataclass(frozen=True)
class Job:
    """models: by name, the file. feeds: of each model, what it is run on once; the first is what is timed."""

    provider: Provider
    threads: int
    models: Mapping[str, Path]
    feeds: Mapping[str, Sequence[Mapping[str, Array]]]
    timing: Timing | None = None
    placement: bool = False

    def described(self) -> dict[str, Any]:  # Any: JSON
        return {
            "provider": self.provider,
            "bundle": _BUNDLES[self.provider],
            "threads": self.threads,
            "models": [
                [
                    [
                        {"name": name, "dtype": _DTYPES[x.dtype.name], "dims": list(x.shape)}
                        for name, x in feed.items()
                    ]
                    for feed in self.feeds[model]
                ]
                for model in self.models
            ],
            "timing": self.timing and {"runs": self.timing.runs, "seconds": self.timing.seconds},
            "placement": self.placement,
        }


def in_browser(job: Job, program: str, dist: Path, timeout_s: float) -> Told:
    """Runs `job` in the browser `program` with the runtime of `dist`. Raises MeasureError where the browser fails, or
    answers nothing for `timeout_s`."""
    with (
        serving(_files(job, dist)) as server,
        browsing(program, f"{server.url}page.html", _FLAGS[job.provider]) as browser,
    ):
        _wait(server, browser, timeout_s)
        return _told(job, server.posted)


def _files(job: Job, dist: Path) -> dict[str, Path | bytes]:
    here = files("squeeze.runtimes.browser")
    found: dict[str, Path | bytes] = {
        name: here.joinpath(name).read_bytes() for name in ("page.html", "page.mjs")
    }
    found["job.json"] = json.dumps(job.described()).encode()
    for path in dist.iterdir():
        if path.suffix in (".mjs", ".wasm"):
            found[f"ort/{path.name}"] = path
    for i, (name, model) in enumerate(job.models.items()):
        found[f"model/{i}"] = model
        for k, feed in enumerate(job.feeds[name]):
            for j, x in enumerate(feed.values()):
                found[f"feed/{i}/{k}/{j}"] = np.ascontiguousarray(x).tobytes()
    return found


def _wait(server: PageServer, browser: Browser, timeout_s: float) -> None:
    waited, step, answers = 0.0, 0.2, 0
    while not server.ended.wait(step):
        waited = waited + step if len(server.posted) == answers else 0.0
        answers = len(server.posted)
        if (why := browser.ended()) is not None:
            raise MeasureError(f"the browser ended before the page had answered: {why}")
        if waited > timeout_s:
            raise MeasureError(f"the page in the browser answered nothing for {timeout_s:g} s")


def _told(job: Job, posted: Mapping[str, bytes]) -> Told:
    end = json.loads(posted[END])
    names = list(job.models)
    outputs = {
        name: [_tensors(posted[f"output/{i}/{k}"]) for k in range(len(job.feeds[name]))]
        for i, name in enumerate(names)
        if all(f"output/{i}/{k}" in posted for k in range(len(job.feeds[name])))
    }
    failed = end["failed"]
    if failed is None:
        rounds = end["rounds"] or []
        return Told(
            outputs,
            {n: [tuple(r) for r in taken] for n, taken in zip(names, rounds, strict=False)},
            tuple(end["said"]),
        )
    why = " ".join(failed["why"].split())
    if failed["model"] is None:
        raise MeasureError(f"onnxruntime-web does not begin in the browser: {why}")
    name = names[failed["model"]]
    node = blamed_node([why, *reversed(end["said"])], job.models[name])
    return Told(outputs, failed=Failed(name, failed["doing"], plain_reason(why), node))


def _tensors(answer: bytes) -> dict[str, Array]:
    head, _, data = answer.partition(b"\n")
    found, at = {}, 0
    for one in json.loads(head):
        size = int(one["bytes"])
        values = np.frombuffer(data[at : at + size], np.dtype(one["dtype"]))
        found[str(one["name"])] = values.reshape(one["dims"])
        at += size
    return found
