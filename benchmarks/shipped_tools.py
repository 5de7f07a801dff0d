"""What makes small files of the shipped models: squeeze as a user runs it, and the tools it is compared with.

    squeeze        `squeeze quantize MODEL --calib data.npz` in a process of its own; run with the library
    squeeze-stock  the same file, without the library
    ort-static     onnxruntime.quantization: pre-processing, QDQ, U8 activations, S8 weights per channel
    ort-dynamic    onnxruntime.quantization, dynamic: S8 weights per channel
    nncf           nncf's post-training quantisation of the ONNX file; left out where it is not installed

Each gets the same calibration samples and nothing else. A tool that fails is a Failed with its own last words.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.cases import ROOT
from benchmarks.peers import MissingPeer, optional
from benchmarks.shipped_catalogue import Shipped
from benchmarks.shipped_samples import Samples

LIMIT_SECONDS = 1800
BEYOND_DROP = 4  # the exit code where a file was written that loses more than the limit; its row says how much
Make = Callable[
    [Shipped, Samples, Path, int], None
]  # model, calibration samples, file to write, bits


class Failed(Exception):
    """A tool made no file; the message is what it said."""


def squeeze(model: Shipped, samples: Samples, out: Path, bits: int) -> None:
    """The command line, so that a crash and its memory are a user's too."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.npz"
        # All are for calibration, but for the few that the splits of a set must have besides.
        parts = {"train": slice(0, 4), "val": slice(None), "test": slice(-4, None)}
        arrays = {f"{k}_{part}": v[at] for k, v in samples.items() for part, at in parts.items()}
        np.savez(data, allow_pickle=False, **arrays)
        command = [sys.executable, "-m", "squeeze", "quantize", str(model.path())]
        command += ["--calib", str(data), "--bits", str(bits), "-o", str(out), "--json"]
        said = _run(command, allowed=(0, BEYOND_DROP))
    # Its steps with their seconds are in it, and what it found itself.
    out.with_suffix(".said").write_text(said, encoding="utf-8")


def ort_static(model: Shipped, samples: Samples, out: Path, bits: int) -> None:
    """As its guide recommends for x86 with VNNI; in a process of its own, for its calibrator may need much memory."""
    _peer("ort-static", model, samples, out)


def ort_dynamic(model: Shipped, samples: Samples, out: Path, bits: int) -> None:
    """Its one line."""
    _peer("ort-dynamic", model, samples, out)


def nncf(model: Shipped, samples: Samples, out: Path, bits: int) -> None:
    """Its default preset, for the CPU."""
    try:
        optional("nncf")
    except MissingPeer as e:
        raise Failed(str(e)) from e
    _peer("nncf", model, samples, out)


TOOLS: dict[str, Make] = {
    "squeeze": squeeze,
    "ort-static": ort_static,
    "ort-dynamic": ort_dynamic,
    "nncf": nncf,
}


def _peer(tool: str, model: Shipped, samples: Samples, out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        feeds = Path(folder) / "feeds"
        feeds.mkdir()
        count = len(next(iter(samples.values())))
        for i in range(count):
            np.savez(feeds / f"{i:04}.npz", allow_pickle=False, **model.feed(samples, i))
        _run(
            [
                *(sys.executable, "-m", "benchmarks.shipped_peer", tool),
                *(str(model.path()), str(feeds), str(out)),
            ]
        )


def _run(command: list[str], allowed: tuple[int, ...] = (0,)) -> str:
    """What it printed, run in a folder that goes: some tools leave files where they are. Raises Failed."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    try:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=LIMIT_SECONDS,
                env=environment,
                cwd=folder,
                check=False,
            )
    except subprocess.TimeoutExpired as e:
        raise Failed(f"not done after {LIMIT_SECONDS} s") from e
    if done.returncode not in allowed:
        said = [line for line in done.stderr.strip().splitlines() if line.strip()]
        raise Failed(f"exit {done.returncode}: {' '.join(said[-2:])[:600]}")
    return done.stdout
