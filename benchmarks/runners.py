"""One model, opened and ready to be timed: in ONNX Runtime here, or in OpenVINO in a process that talks over a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from benchmarks.peers import MissingPeer
from squeeze import ops

ROOT = Path(__file__).resolve().parent.parent
WARM_CALLS = 2
# With several threads a turn starts with so long a time that does not count: threads wake up, others fall asleep.
SETTLE_NS = 3_000_000

# What OpenVINO calls the clusters of instruction sets.
OPENVINO_LIMITS = {
    "x86_avx2": "AVX2",
    "x86_avx512vnni": "AVX512_CORE_VNNI",
    "x86_amx": "ALL",
}

Turn = Callable[[int], float]  # calls -> microseconds of one call, their median


@contextmanager
def limited(isa: str) -> Iterator[None]:
    """Our ops in sessions that are opened here use the kernels of `isa` at best."""
    before = os.environ.get("SQUEEZE_ISA")
    os.environ["SQUEEZE_ISA"] = isa
    try:
        yield
    finally:
        del os.environ["SQUEEZE_ISA"]
        if before is not None:
            os.environ["SQUEEZE_ISA"] = before


def cores() -> list[int]:
    """The numbers of the cores that this run may use."""
    return sorted(os.sched_getaffinity(os.getpid()))


@contextmanager
def on_first_core(threads: int) -> Iterator[None]:
    """The caller keeps off the cores of a pool's threads; left to the scheduler they may share one for milliseconds."""
    if threads == 1:
        yield
        return
    allowed = cores()
    os.sched_setaffinity(0, allowed[:1])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


class OrtModel:
    """A model in ONNX Runtime, with its input and its outputs bound once."""

    def __init__(
        self, model: bytes, threads: int, *, native: bool = False, optimised: Path | None = None
    ) -> None:
        self.threads = threads
        self.session = _session(model, threads, native, optimised)
        self.binding = self.session.io_binding()
        feed = self.session.get_inputs()[0]
        x = _random(feed.type, [d if isinstance(d, int) else 1 for d in feed.shape])
        self.input = ort.OrtValue.ortvalue_from_numpy(x)
        self.binding.bind_ortvalue_input(feed.name, self.input)
        names = [output.name for output in self.session.get_outputs()]
        self.outputs = [
            ort.OrtValue.ortvalue_from_numpy(y) for y in self.session.run(names, {feed.name: x})
        ]
        for name, value in zip(names, self.outputs, strict=True):
            self.binding.bind_ortvalue_output(name, value)

    def turn(self, calls: int) -> float:
        """The median of so many calls, in microseconds."""
        with on_first_core(self.threads):
            return median_us(
                lambda: self.session.run_with_iobinding(self.binding), calls, self.threads
            )

    def result(self) -> np.ndarray:
        """The last output for the input that is bound; the same for every model with such an input."""
        self.session.run_with_iobinding(self.binding)
        return np.array(self.outputs[-1].numpy())  # the value may go before its copy


class OpenVino:
    """OpenVINO in a process of its own, held to the instructions of `isa`."""

    def __init__(self, isa: str) -> None:
        if isa not in OPENVINO_LIMITS:
            raise MissingPeer(f"OpenVINO cannot be held to {isa}")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.openvino_worker"],
            cwd=ROOT,
            env={**os.environ, "ONEDNN_MAX_CPU_ISA": OPENVINO_LIMITS[isa]},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._ask()  # says that it is up, or why not

    def open(self, path: Path, threads: int) -> tuple[Turn, dict[str, int]]:
        """The model at `path` ready to be timed, and how many nodes of each kernel and precision it runs."""
        answer = self._ask({"open": str(path), "threads": threads})
        number = answer["model"]
        return lambda calls: float(self._ask({"time": number, "calls": calls})["us"]), answer["ran"]

    def forget(self) -> None:
        """Lets go of all models."""
        self._ask({"forget": True})

    def close(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()

    def _ask(self, request: dict[str, Any] | None = None) -> dict[str, Any]:  # Any: JSON
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if request is not None:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise MissingPeer(f"the OpenVINO process ended ({self.process.wait()})")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise MissingPeer(answer["error"])
        return answer


def _session(
    model: bytes, threads: int, native: bool, optimised: Path | None
) -> ort.InferenceSession:
    """Threads spin while a run lasts and sleep afterwards, so that they do not slow down the next contender."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if threads > 1:
        numbers = [str(core + 1) for core in cores()[1:threads]]
        options.add_session_config_entry("session.intra_op_thread_affinities", ";".join(numbers))
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    if native:
        library = ops.library_path()
        if library is None:
            raise MissingPeer(
                "libsqueeze_ops.so is not built: cmake -S . -B build && cmake --build build"
            )
        options.register_custom_ops_library(str(library))
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def median_us(call: Callable[[], object], calls: int, threads: int) -> float:
    """The median of `calls` calls, after some that are not counted: others have just used the caches."""
    settled = time.perf_counter_ns() + (SETTLE_NS if threads > 1 else 0)
    warm = 0
    while warm < WARM_CALLS or time.perf_counter_ns() < settled:
        call()
        warm += 1
    spent_ns = []
    for _ in range(calls):
        start = time.perf_counter_ns()
        call()
        spent_ns.append(time.perf_counter_ns() - start)
    return float(np.median(spent_ns)) / 1e3


def _random(kind: str, shape: list[int]) -> np.ndarray:
    rng = np.random.default_rng(0)
    if kind == "tensor(uint8)":
        return rng.integers(0, 256, shape, dtype=np.uint8)
    return rng.normal(size=shape).astype(np.float32)
