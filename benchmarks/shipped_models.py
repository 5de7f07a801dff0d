"""Models that packages ship, made int8 by squeeze and by other tools: agreement with the float model, bytes, latency.

    python -m benchmarks.shipped_models                     what is not made yet, then all rows of this machine
    python -m benchmarks.shipped_models --only people       models with this text
    python -m benchmarks.shipped_models --again squeeze     makes the files of one tool anew
    python -m benchmarks.shipped_models --table             prints what the results file has; measures nothing

The models (`shipped_catalogue`) come from the package index by name and exact version and are kept with the files that
are made of them in $SQUEEZE_SHIPPED (default build/bench/shipped); a model that cannot be fetched is left out, and that
is said. Each model's files are timed in one interleaved run of one thread; a run that is cut off goes on where it was.

run            float: the file as it is shipped; others: `shipped_tools`
metric         in percent, against the float model on samples that no tool was given (`shipped_agreement`)
latency_p50_ms one sample, one thread, the median over rounds by turns; `speed`: times as fast as the float file
tool_seconds   what the tool took, alone on this machine or not
error          in the place of a file: what the tool said
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from benchmarks import results_file
from benchmarks.interleave import alternate
from benchmarks.shipped_agreement import Outputs
from benchmarks.shipped_catalogue import MODELS, Shipped
from benchmarks.shipped_packages import NotFetched, folder
from benchmarks.shipped_samples import Samples
from benchmarks.shipped_summary import OURS, STOCK, summary, text
from benchmarks.shipped_tools import TOOLS, Failed
from squeeze import runtimes
from squeeze.errors import MeasureError

RESULTS = Path(__file__).parent / "results" / "shipped_models.json"
SEED, CALIBRATION, EVALUATION = 0, 64, 48
FEWER_BITS, FROM_BYTES = 4, 5_000_000
ROUNDS, TURN_MS = 15, 60.0
Json = dict[str, Any]  # Any: JSON
logger = logging.getLogger(__name__)


def main() -> None:
    """Makes, measures, writes."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logger.setLevel(logging.INFO)
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", default="", help="models with this text in their names")
    parser.add_argument("--again", choices=sorted(TOOLS), help="make its files anew")
    parser.add_argument("--bits", type=int, choices=(8, FEWER_BITS), help="these alone")
    parser.add_argument("--table", action="store_true", help="print the results file")
    given = parser.parse_args()
    if not given.table:
        for model in MODELS.values():
            if given.only in model.name:
                _run(model, given.again, (given.bits,) if given.bits else (8, FEWER_BITS))
        _write()
    if RESULTS.is_file():
        print(text(json.loads(RESULTS.read_text(encoding="utf-8"))["rows"]))


def _run(model: Shipped, again: str | None, widths: tuple[int, ...]) -> None:
    try:
        path = model.path()
        calibration = model.samples(np.random.default_rng(SEED), CALIBRATION)
        evaluation = model.samples(np.random.default_rng(SEED + 1), EVALUATION)
    except NotFetched as e:
        logger.warning("%s: left out: %s", model.name, e)
        return
    at = folder() / "made" / model.name
    at.mkdir(parents=True, exist_ok=True)
    fresh = False
    for tool in TOOLS:
        for bits in widths if tool == OURS else (8,):
            if bits < 8 and path.stat().st_size <= FROM_BYTES:
                continue
            fresh |= _made(model, tool, bits, calibration, at, anew=tool == again)
    if fresh or not (at / "rows.json").is_file():
        rows = measured(model, at, evaluation)
        (at / "rows.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
        logger.info("%s", text([{"host": "", **row} for row in rows]))


def _made(model: Shipped, tool: str, bits: int, samples: Samples, at: Path, *, anew: bool) -> bool:
    """Whether anything was made: a file, or a reason why there is none."""
    out, facts = at / f"{tool}-{bits}.onnx", at / f"{tool}-{bits}.json"
    if facts.is_file() and not anew:
        return False
    out.unlink(missing_ok=True)
    start = time.perf_counter()
    found: Json = {}
    try:
        TOOLS[tool](model, samples, out, bits)
    except Failed as e:
        found["error"] = str(e)
    found["tool_seconds"] = round(time.perf_counter() - start, 1)
    logger.info("%s %s %d bits: %s", model.name, tool, bits, found)
    facts.write_text(json.dumps(found), encoding="utf-8")
    return True


def measured(model: Shipped, at: Path, evaluation: Samples) -> list[Json]:
    """A row for each run of a model, in one interleaved timing."""
    rows: list[Json] = []
    sessions: dict[int, ort.InferenceSession] = {}
    wanted: list[Outputs] = []
    for run, bits, path, native, facts in _files(model, at):
        row: Json = {"model": model.name, "package": str(model.package), "run": run, "bits": bits}
        row |= {"metric_name": model.metric_name, "n": EVALUATION, **facts}
        try:
            if path is None:
                raise MeasureError(str(facts["error"]))
            session = runtimes.session(path, native=native)
            outputs = _outputs(session, model, evaluation)
            wanted = wanted or outputs
            row["metric"] = round(model.agreement(outputs, wanted), 3)
            row["bytes"] = path.stat().st_size
            sessions[len(rows)] = session
        except (MeasureError, KeyError, *runtimes.ORT_ERRORS) as e:
            row["error"] = str(e)[:600]
        rows.append(row)
    for i, ms in _latencies(sessions, model.feed(evaluation, 0)).items():
        rows[i]["latency_p50_ms"] = round(ms, 4)
    for row in rows:
        if "latency_p50_ms" in row:
            row["speed"] = round(rows[0]["latency_p50_ms"] / row["latency_p50_ms"], 3)
    return rows


def _files(model: Shipped, at: Path) -> list[tuple[str, int, Path | None, bool, Json]]:
    """Run, bits, file (None: there is none), whether with the library, facts of how it was made."""
    found: list[tuple[str, int, Path | None, bool, Json]] = [("float", 32, model.path(), False, {})]
    for tool in TOOLS:
        for facts_at in sorted(at.glob(f"{tool}-?.json"), reverse=True):
            facts: Json = json.loads(facts_at.read_text(encoding="utf-8"))
            bits, path = int(facts_at.stem[-1]), facts_at.with_suffix(".onnx")
            file = None if "error" in facts else path
            found.append((tool, bits, file, True, facts))
            if tool == OURS and file is not None:
                found.append((STOCK, bits, file, False, {}))
    return found


def _outputs(session: ort.InferenceSession, model: Shipped, samples: Samples) -> list[Outputs]:
    names = [output.name for output in session.get_outputs()]
    count = len(next(iter(samples.values())))
    return [
        dict(zip(names, session.run(names, model.feed(samples, i)), strict=True))
        for i in range(count)
    ]


def _latencies(sessions: dict[int, ort.InferenceSession], feed: Samples) -> dict[int, float]:
    """Milliseconds of one call, the median over rounds of each round's median."""
    turns = {}
    for key, session in sessions.items():
        _turn(session, feed, 2)
        calls = int(np.clip(TURN_MS / _turn(session, feed, 2), 1, 50))
        turns[key] = partial(_turn, session, feed, calls)
    return {key: float(np.median(taken)) for key, taken in alternate(turns, ROUNDS).items()}


def _turn(session: ort.InferenceSession, feed: Samples, calls: int) -> float:
    """The median of so many calls, after one that refills the caches."""
    session.run(None, feed)
    spent_ms = []
    for _ in range(calls):
        start = time.perf_counter_ns()
        session.run(None, feed)
        spent_ms.append((time.perf_counter_ns() - start) / 1e6)
    return float(np.median(spent_ms))


def _write() -> None:
    """All rows that were ever measured here, in the order of the catalogue."""
    rows: list[Json] = []
    for name in MODELS:
        kept = folder() / "made" / name / "rows.json"
        if kept.is_file():
            rows += json.loads(kept.read_text(encoding="utf-8"))
    about = {"seed": SEED, "calibration_samples": CALIBRATION, "summary": summary(rows)}
    results_file.write(RESULTS, "python -m benchmarks.shipped_models", rows, run=about)


if __name__ == "__main__":
    main()
