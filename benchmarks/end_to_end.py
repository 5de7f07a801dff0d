"""The whole line against other tools: same images, interleaved, one thread, on the exported file.

python -m benchmarks.end_to_end                  every case; adds to what results/end_to_end.json already has
python -m benchmarks.end_to_end fashion cifar-resnet56
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np

import squeeze
from benchmarks import host, table
from benchmarks.cases import CASES, Case, MissingData, cache_dir
from benchmarks.interleave import interleave
from benchmarks.peers import PEERS, MissingPeer, Peer
from squeeze import calib as calibration
from squeeze import metrics, runtimes, teacher
from squeeze.console.terminal import Terminal
from squeeze.errors import GoalMissed

RESULTS = Path(__file__).parent / "results" / "end_to_end.json"
SEED = 0
logger = logging.getLogger(__name__)
Json = dict[str, Any]  # Any: JSON

# What a user would type for each case, where students begin anew; the time of cifar-resnet56 was chosen to stay
# under an hour.
SETTINGS: dict[str, Json] = {
    "fashion": {"drop": 1.5, "overrides": {"search.start": "anew"}},
    "cifar-resnet56": {
        "drop": 1.5,
        "size_bytes": 425_000,
        "overrides": {"search.start": "anew", "distill.steps": 14000, "distill.views": 6},
    },
    "cifar-resnet56-published": {"recipe": "ptq", "drop": 1.5},
    "cifar-resnet20": {"recipe": "ptq", "drop": 1.5},
    "mlperf-resnet8": {"recipe": "ptq", "drop": 1.5},
    "mlperf-mobilenetv1": {"recipe": "ptq", "drop": 1.5},
}


def main() -> None:
    """Runs the named cases (default: all) and writes results and table."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    measure_only = "--measure-only" in sys.argv
    names = [a for a in sys.argv[1:] if a != "--measure-only"] or list(CASES)
    document = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"rows": []}
    for name in names:
        try:
            rows = run_case(CASES[name], measure_only=measure_only)
        except MissingData as e:
            logger.warning("%s: skipped: %s", name, e)
            continue
        kept = [row for row in document["rows"] if row["case"] != name]
        document = {
            "schema": 1,
            "host": host.describe(),
            "versions": host.versions(),
            "command": "python -m benchmarks.end_to_end",
            "seed": SEED,
            "rows": sorted(kept + rows, key=lambda row: list(CASES).index(row["case"])),
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(document, indent=1) + "\n")
        table.write(RESULTS)


def run_case(case: Case, *, measure_only: bool) -> list[Json]:
    """One row a tool, all timed in one interleaved run after all files are made."""
    folder = cache_dir() / case.name
    folder.mkdir(parents=True, exist_ok=True)
    source, data = str(case.teacher_path()), case.calib()
    logger.info("== %s", case.name)
    package = (
        squeeze.open(folder / "package")
        if measure_only
        else compiled(case, source, data, folder / "package")
    )
    raw = calibration.load(data, seed=SEED)
    loaded = teacher.load(source, weights=None, example=raw.feed(raw.fit, 0, 4), folder=folder)
    fitted = raw.fitted(loaded.interface)
    peers = [ours(package)]
    for name, make in PEERS.items():
        try:
            chosen = fitted.sample(fitted.calibrate, 512, SEED)
            calibrate = fitted.preprocess.apply(fitted.calibrate.x[chosen])
            peers.append(make(loaded.model, calibrate, folder))
        except MissingPeer as e:
            logger.warning("%s: %s", name, e)
    rows = measured(case, fitted, peers, package, loaded)
    # Whether the package was compiled in this run, or by an earlier one and only measured here.
    rows[0]["measured_only"] = measure_only
    return rows


def compiled(case: Case, source: str, data: str, out: Path) -> squeeze.artifact.Artifact:
    """The package that a user would get; also when the goal was missed."""
    from rich.console import Console

    terminal = Terminal(Console())
    try:
        return squeeze.compile(
            source, data, out=out, seed=SEED, progress=terminal, **SETTINGS[case.name]
        )
    except GoalMissed as e:
        logger.warning("%s", e)
        return squeeze.open(out)
    finally:
        terminal.close()


def ours(package: squeeze.artifact.Artifact) -> Peer:
    """The artifact as `squeeze` runs it, one thread."""
    session = runtimes.session(package.model, threads=1)
    feed = session.get_inputs()[0].name

    def run(x: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(None, {feed: x})[0])

    return Peer("squeeze", (package.model,), run, run)


def measured(
    case: Case,
    data: calibration.Calib,
    peers: list[Peer],
    package: squeeze.artifact.Artifact,
    loaded: teacher.Teacher,
) -> list[Json]:
    """Accuracy of each peer on all evaluation images, then latency of all of them interleaved."""
    inputs = [data.inputs(data.evaluate, i, i + 500) for i in range(0, len(data.evaluate), 500)]
    rows = []
    for peer in peers:
        outputs = np.concatenate([peer.outputs(x) for x in inputs])
        value = metrics.score(case.metric, outputs, data.evaluate.y, reference=None)
        logger.info("%-18s %s %.2f", peer.name, case.metric, value)
        student = package.manifest["measurements"]["student"]
        own = peer.name == "squeeze"
        rows.append(
            {
                "case": case.name,
                "run": peer.name,
                "metric": round(float(value), 4),
                "metric_name": case.metric,
                "n": len(data.evaluate),
                "bytes": peer.file_bytes,
                "params": student["params"] if own else loaded.params,
                "macs": student["macs"] if own else loaded.macs,
            }
        )
    timings, ratios = interleave(
        {p.name: p.once for p in peers}, inputs[0][:1], reference="teacher-fp32-ort"
    )
    for row in rows:
        timing, ratio = timings[row["run"]], ratios[row["run"]]
        row["latency_p50_ms"] = round(timing.p50_ms, 5)
        row["latency_p90_ms"] = round(timing.p90_ms, 5)
        row["latency_ratio_to_teacher"] = round(ratio.p50, 5)
        row["latency_ratio_p10_p90"] = [round(ratio.p10, 5), round(ratio.p90, 5)]
        row["runs"] = timing.runs
    own_row = next(row for row in rows if row["run"] == "squeeze")
    own_row["picked"] = package.manifest["verdict"]["picked"]
    own_row["goal_met"] = package.goal_met
    own_row["settings"] = SETTINGS[case.name]
    own_row["training_seconds"] = sum(
        s["seconds"] for s in package.manifest["steps"] if s["name"] in ("labels", "distill")
    )
    return rows


if __name__ == "__main__":
    main()
