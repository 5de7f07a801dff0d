"""ONNX Runtime for 64-bit Arm on an emulated CPU: the answers of its kernels, and which kernels it chose; no times."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from onnx import helper

from squeeze.errors import UnsupportedError
from squeeze.paths import arm64_dir
from squeeze.runtimes.batches import inputs_of, joined_runs, outputs_of, runs_of
from squeeze.runtimes.made_feed import made_feed
from squeeze.runtimes.one_file import as_one_file
from squeeze.runtimes.ort import uses_our_ops
from squeeze.runtimes.ort_message import blamed_node, plain_reason
from squeeze.runtimes.runtime import Abilities, Array, Built, Cost, Refusal, Source
from squeeze.transports.local import succeeded
from squeeze.transports.qemu import Qemu

if TYPE_CHECKING:
    from collections import Counter

    from squeeze.target import Target
    from squeeze.transports.transport import Ran

NAME = "model.onnx"
RUNNER, LIBRARY = "squeeze_runner", "libsqueeze_ops.so"
_TIMEOUT_S = 600.0
# What each of these instructions is for, where it was found.
_KERNELS = {
    "fmla": "float products",
    "smlal": "products of 8 bits widened to 16 (signed)",
    "umlal": "products of 8 bits widened to 16 (unsigned)",
    "sdot": "dot products of 8 bits (signed)",
    "udot": "dot products of 8 bits (unsigned)",
    "usdot": "dot products of 8 bits (mixed)",
    "smmla": "matrix products of 8 bits (signed)",
    "ummla": "matrix products of 8 bits (unsigned)",
    "usmmla": "matrix products of 8 bits (mixed)",
    "bfmmla": "matrix products of bfloat16",
}


class Arm64:
    """See `Runtime`. What it runs lies in `squeeze.paths.arm64_dir`, where `make arm64` puts it."""

    abilities = Abilities(runs_many=True)
    source: Source = "emulated"

    def __init__(self, target: Target) -> None:
        self.target = target

    @property
    def version(self) -> str:
        facts = self._device().facts()
        return f"{_runtime_name()} for aarch64, {facts['emulator']} as {facts['cpu']}"

    def missing(self) -> str | None:
        if why := self._device().missing():
            return why
        folder = arm64_dir()
        if _onnxruntime() is None or not (folder / RUNNER).is_file():
            return (
                f"the runtime for Arm is not in {folder}: make arm64, in a checkout of squeeze (it needs "
                "g++-aarch64-linux-gnu)"
            )
        return None

    def refuses(self, model: Path) -> list[Refusal]:
        with TemporaryDirectory() as folder:
            return self._refusals(as_one_file(model, Path(folder) / NAME))

    def build(self, model: Path, folder: Path) -> Built:
        built = as_one_file(model, folder / NAME)
        if refused := self._refusals(built):
            raise UnsupportedError(f"{model}: {refused[0]}")
        return Built({NAME: built})

    def run(self, built: Built, feed: Mapping[str, Array]) -> dict[str, Array]:
        return joined_runs(self.run_all(built, runs_of(inputs_of(built.runs), feed)))

    def run_all(self, built: Built, feeds: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
        return self._answers(built.runs, feeds)[0]

    def time(
        self,
        built: Mapping[str, Built],
        feeds: Mapping[str, Mapping[str, Array]],
        runs: int = 200,
        max_seconds: float = 30.0,
    ) -> dict[str, list[tuple[int, ...]]]:
        raise UnsupportedError(
            f"target '{self.target.name}' is emulated: how long a run takes there says nothing of the device"
        )

    def cost(self, built: Built, feed: Mapping[str, Array] | None = None) -> Cost:
        sample = made_feed(built.runs) if feed is None else feed
        runs = runs_of(inputs_of(built.runs), sample)[:1]
        _, ran = self._answers(built.runs, runs, traced=True)
        found = ", ".join(f"{_KERNELS[name]}: {name}" for name in _KERNELS if ran[name])
        ours = self._library(built.runs)
        return Cost(
            self.source,
            file_bytes=built.runs.stat().st_size,
            notes=(
                f"emulated ({self.version}): outputs and kernels are the device's, times are not to be had",
                f"kernels that ran: {found or 'none of those that are told apart'}",
                *(("operators of ai.squeeze ran in our library",) if ours else ()),
            ),
        )

    def kernels(self, built: Built, feed: Mapping[str, Array]) -> Counter[str]:
        """In how many places of the code that ran for the first sample of `feed` each instruction stands."""
        runs = runs_of(inputs_of(built.runs), feed)[:1]
        return self._answers(built.runs, runs, traced=True)[1]

    def _refusals(self, built: Path) -> list[Refusal]:
        """By opening it there."""
        ran, _, _ = self._run(built, [])
        if ran.code == 0:
            return []
        why = plain_reason(ran.said) or f"it ended with code {ran.code}"
        said = f"{_runtime_name()} for aarch64: {why.removeprefix('squeeze_runner: ')}"
        return [Refusal(blamed_node([ran.said], built), said)]

    def _answers(
        self, model: Path, runs: Sequence[Mapping[str, Array]], traced: bool = False
    ) -> tuple[list[dict[str, Array]], Counter[str]]:
        ran, files, seen = self._run(model, runs, traced)
        succeeded(f"{model.name} on {self.target.name}", ran)
        names = outputs_of(model)
        found: list[dict[str, Array]] = [{} for _ in runs]
        for line in files["answer"].decode().splitlines():
            run, output, kind, _, *dims = map(int, line.split())
            data = np.frombuffer(
                files[f"{run}.{output}.out"], helper.tensor_dtype_to_np_dtype(kind)
            )
            found[run][names[output]] = data.reshape(dims)
        return found, seen

    def _run(
        self, model: Path, runs: Sequence[Mapping[str, Array]], traced: bool = False
    ) -> tuple[Ran, dict[str, bytes], Counter[str]]:
        """The runner's end, the files that it wrote, and the instructions that ran where that was asked for."""
        from collections import Counter

        if why := self.missing():
            raise UnsupportedError(f"target '{self.target.name}': {why}")
        runtime, library = _onnxruntime(), self._library(model)
        job = [f"{self.target.runtime.threads} 0 {len(runs)}"]
        with self._device() as device:
            device.put(model, NAME)
            names = [needs.name for needs in inputs_of(model)] if runs else []
            for k, run in enumerate(runs):
                for j, x in enumerate(run[name] for name in names):
                    device.put(np.ascontiguousarray(x).tobytes(), f"{k}.{j}.in")
                    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
                    job.append(" ".join(map(str, (kind, x.ndim, *x.shape))))
            device.put("\n".join(job).encode(), "job")
            command = [str(arm64_dir() / RUNNER), str(runtime), "."]
            command += [] if library is None else [str(library)]
            seen: Counter[str] = Counter()
            if traced:
                ran, seen = device.traced(command, _TIMEOUT_S)
            else:
                ran = device.run(command, _TIMEOUT_S)
            if ran.code != 0:
                return ran, {}, seen
            files = {"answer": device.get("answer")}
            for line in files["answer"].decode().splitlines():
                name = "{}.{}.out".format(*line.split()[:2])
                files[name] = device.get(name)
            return ran, files, seen

    def _library(self, model: Path) -> Path | None:
        """Ours, where the model needs it, the target takes it, and it is there; else the functions inside run."""
        path = arm64_dir() / LIBRARY
        wanted = self.target.runtime.custom_ops and path.is_file() and uses_our_ops(model)
        return path if wanted else None

    def _device(self) -> Qemu:
        return Qemu(self.target.cpu.features, self.target.cpu.cores or 1)


def _onnxruntime() -> Path | None:
    """The shared library in the unpacked wheel."""
    found = sorted((arm64_dir() / "onnxruntime" / "capi").glob("libonnxruntime.so.*"))
    return found[-1] if found else None


def _runtime_name() -> str:
    path = _onnxruntime()
    if path is None:
        return "onnxruntime (not installed)"
    found = re.search(r"\.so\.([\d.]+)$", path.name)
    return f"onnxruntime {found.group(1) if found else ''}".strip()
