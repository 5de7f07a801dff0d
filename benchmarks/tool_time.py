"""How long the tool itself takes, beside onnxruntime.quantization at the same calibration samples, and its memory.

python -m benchmarks.tool_time                         results/tool_time.json
python -m benchmarks.tool_time --only people-detector  some models; writes nothing

Every tool is a process of its own, start to end, in turns; a row: the median of its `rounds`. `cpu_s` counts the work
of all cores, and is what to look at when the machine was busy; `wall_s` is what a user waits. Models: two that are
written by torch here, and shipped ones where $SQUEEZE_SHIPPED has their packages (`shipped_models` has the seconds of
all). What squeeze does besides (timing, evaluation, accuracy control where int8 loses too much) is in its numbers, by
step in `steps_s`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import results_file, tool_nets
from benchmarks.cases import ROOT
from benchmarks.shipped_catalogue import MODELS
from benchmarks.shipped_packages import NotFetched
from benchmarks.shipped_samples import Samples

RESULTS = Path(__file__).parent / "results" / "tool_time.json"
SHIPPED = ("people-detector", "letter-detector")
SAMPLES, ROUNDS = 64, 3
# A tool that took longer runs once: its spread is small against that.
LONG_S = 100.0
PEERS = ("ort-static", "ort-dynamic")
logger = logging.getLogger(__name__)
Json = dict[str, Any]  # Any: JSON


def images(side: int) -> Samples:
    """Smooth random images, for the networks that are made here."""
    rng = np.random.default_rng(0)
    coarse = rng.random((SAMPLES, 3, 8, 8), np.float32)
    return {"x": np.repeat(np.repeat(coarse, side // 8, 2), side // 8, 3)}


def problem(name: str, folder: Path) -> tuple[Path, Samples, Callable[[Samples, int], Samples]]:
    """The model's file, its samples, and what the model takes for one of them. Raises NotFetched."""
    if name in tool_nets.NETS:
        path = folder / f"{name}.onnx"
        samples = images(tool_nets.write(name, path))
        return path, samples, lambda s, i: {n: x[i : i + 1] for n, x in s.items()}
    model = MODELS[name]
    return model.path(), model.samples(np.random.default_rng(0), SAMPLES), model.feed


def measured(command: list[str], folder: Path) -> Json:
    """Runs a tool; its seconds and its peak. Raises RuntimeError with what it said where it fails."""
    said, complained = folder / "stdout", folder / "stderr"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SQUEEZE_STATE": str(folder / "state")}
    start = time.perf_counter()
    with said.open("wb") as out, complained.open("wb") as err:
        redirected = [
            (os.POSIX_SPAWN_DUP2, out.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, err.fileno(), 2),
        ]
        child = os.posix_spawn(sys.executable, command, environment, file_actions=redirected)
        _, status, usage = os.wait4(child, 0)
    wall_s = time.perf_counter() - start
    code = os.waitstatus_to_exitcode(status)
    # 3: no file would gain anything; 4: one that loses more than the limit was written. Both were found out by work.
    if code not in (0, 3, 4):
        raise RuntimeError(f"exit {code}: {complained.read_text(errors='replace')[-400:]}")
    text = said.read_text(errors="replace")
    return {"wall_s": wall_s, "cpu_s": _cpu(usage), "peak_mb": usage.ru_maxrss / 1024, "said": text}


def _cpu(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


def row(name: str, tool: str, runs: list[Json]) -> Json:
    """The median of some runs."""
    numbers = {
        key: round(statistics.median(run[key] for run in runs), 2)
        for key in ("wall_s", "cpu_s", "peak_mb")
    }
    found: Json = {"model": name, "tool": tool, "samples": SAMPLES, "rounds": len(runs), **numbers}
    if tool == "squeeze":
        steps: dict[str, float] = {}
        for step in json.loads(runs[-1]["said"])["steps"]:
            steps[step["name"]] = round(steps.get(step["name"], 0.0) + step["seconds"], 1)
        found["steps_s"] = steps
    return found


def rows(name: str, rounds: int) -> list[Json]:
    """Every tool on one model, in turns. Raises NotFetched."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model, samples, feed = problem(name, folder)
        feeds, data, out = folder / "feeds", folder / "data.npz", folder / "out.onnx"
        feeds.mkdir()
        for i in range(SAMPLES):
            np.savez(feeds / f"{i:04}.npz", allow_pickle=False, **feed(samples, i))
        parts = {"train": slice(0, 4), "val": slice(None), "test": slice(-4, None)}
        arrays = {f"{k}_{part}": v[at] for k, v in samples.items() for part, at in parts.items()}
        np.savez(data, allow_pickle=False, **arrays)
        squeeze = ["quantize", str(model), "--calib", str(data), "-o", str(out), "--json"]
        commands = {"squeeze": [sys.executable, "-m", "squeeze", *squeeze]}
        for peer in PEERS:
            module = [sys.executable, "-m", "benchmarks.shipped_peer", peer]
            commands[peer] = [*module, str(model), str(feeds), str(out)]
        runs: dict[str, list[Json]] = {tool: [] for tool in commands}
        for number in range(rounds):
            for tool, command in commands.items():
                if number and runs[tool][-1]["wall_s"] > LONG_S:
                    continue
                place = folder / f"{tool}-{number}"
                place.mkdir()
                runs[tool].append(measured(command, place))
                out.unlink(missing_ok=True)
                logger.info("%s %s: %.1f s", name, tool, runs[tool][-1]["wall_s"])
        return [row(name, tool, found) for tool, found in runs.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="+", default=[], help="names of models")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    found: list[Json] = []
    for name in options.only or (*tool_nets.NETS, *SHIPPED):
        try:
            found += rows(name, options.rounds)
        except NotFetched as e:
            logger.warning("%s: skipped, %s", name, e)
    if options.only:
        print(json.dumps(found, indent=1))
        return
    load = {"load_average": list(os.getloadavg())}
    results_file.write(RESULTS, "python -m benchmarks.tool_time", found, **load)


if __name__ == "__main__":
    main()
