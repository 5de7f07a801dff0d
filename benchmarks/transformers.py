"""Transformers, kept: bytes, accuracy and speed beside every other way to quantise them.

python -m benchmarks.transformers [--case NAME] [--only RUN ...]   replaces this machine's rows of the case in
results/transformers.json

Cases and what is judged: `transformer_cases`. Other ways: `transformer_peers`. Rows `squeeze` are what `squeeze
quantize` writes, run with our library. All files of a case take turns in one process on one thread, batch 1;
`speed_of_best` is against the fastest other file at that size whose metric is close to the float one's.
Needs $SQUEEZE_DATA.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from benchmarks import results_file
from benchmarks.interleave import alternate
from benchmarks.sentence_encoder import Json
from benchmarks.transformer_cases import CASES, SEED, Case, Feed
from benchmarks.transformer_peers import PEERS, Peer
from squeeze import runtimes

RESULTS = Path(__file__).parent / "results" / "transformers.json"
ROUNDS, PEER_BATCH = 30, 8
FLOAT = "ort-float"
# Run -> what `squeeze quantize` is asked, and the bits of most weights.
OURS: dict[str, tuple[tuple[str, ...], int]] = {
    "squeeze": (("--drop", "5"), 8),
    "squeeze-4-bit": (("--bits", "4", "--drop", "20", "--for", "size"), 4),
    "squeeze-3-bit": (("--bits", "3", "--drop", "60", "--for", "size"), 3),
    "squeeze-2-bit": (("--bits", "2", "--drop", "100", "--for", "size"), 2),
    "squeeze-weights-only": (("--weights-only", "--bits", "4", "--drop", "20", "--for", "size"), 4),
}
# Of other ways than 8 bits.
OTHER_BITS = {"ort-float": 32, "ort-fused": 32, "openvino-f32": 32, "openvino-bf16": 16}
logger = logging.getLogger(__name__)


def main() -> None:
    """Makes the files, judges them and writes the rows."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for noisy in ("onnxruntime", "nncf"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--case", choices=[*CASES], default="minilm")
    parser.add_argument("--only", action="append", choices=[*OURS, *PEERS], help=f"beside {FLOAT}")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        case = CASES[given.case](folder)
        wanted = set(given.only or [*OURS, *PEERS]) | {FLOAT}
        files, seconds = _made(case, folder, wanted)
        rows = _judged(given.case, case, files, seconds)
    facts = {"run": {"seed": SEED, "threads": 1, "rounds": ROUNDS}}
    command = f"python -m benchmarks.transformers --case {given.case}"
    results_file.write(RESULTS, command, rows, case=given.case, **facts)


def _made(case: Case, folder: Path, wanted: set[str]) -> tuple[dict[str, Peer], dict[str, float]]:
    """The files that could be made, and how long each took."""
    count = len(next(iter(case.calibrate.values())))
    feeds = [
        {name: rows[i : i + PEER_BATCH] for name, rows in case.calibrate.items()}
        for i in range(0, count, PEER_BATCH)
    ]
    np.savez(folder / "calib.npz", allow_pickle=False, **case.calibrate)  # type: ignore[arg-type]
    made: dict[str, Peer] = {}
    seconds: dict[str, float] = {}
    for run in (*PEERS, *OURS):
        if run not in wanted:
            continue
        logger.info("making %s", run)
        start = time.perf_counter()
        try:
            if run in PEERS:
                made[run] = PEERS[run](case, feeds, folder)
            else:
                made[run] = _ours(case.model, folder, run)
        except Exception as e:  # one that cannot be made is no reason to be without the others
            logger.warning("%s: %s: %.300s", run, type(e).__name__, e)
            continue
        seconds[run] = time.perf_counter() - start
    return made, seconds


def _ours(model: Path, folder: Path, run: str) -> Peer:
    out = folder / f"{run}.onnx"
    command = [sys.executable, "-m", "squeeze", "quantize", str(model)]
    command += ["--calib", str(folder / "calib.npz"), "-o", str(out), *OURS[run][0]]
    done = subprocess.run(command, capture_output=True, text=True)
    logger.info("%s", done.stdout.strip())
    if not out.exists():
        raise RuntimeError(done.stderr.strip()[-300:])
    session = runtimes.session(out, threads=1)
    return Peer((out,), lambda feed: np.asarray(session.run(None, dict(feed))[0]))


def _judged(
    name: str, case: Case, files: Mapping[str, Peer], seconds: Mapping[str, float]
) -> list[Json]:
    exact = case.outputs(files[FLOAT].run)
    metric = {}
    for run, peer in files.items():
        metric[run] = round(case.score(case.outputs(peer.run), exact), 2)
        logger.info("%s: %s, %d bytes", run, metric[run], peer.bytes)
    near = [r for r in files if r not in OURS and metric[r] >= metric[FLOAT] - case.close]
    rows: list[Json] = []
    for size, feed in case.timed.items():
        times = _timed(files, feed)
        middle = {run: float(np.median(given)) for run, given in times.items()}
        best = min(near, key=middle.__getitem__)
        for run, given in times.items():
            ratio = np.asarray(times[best]) / np.asarray(given)
            row: Json = {
                "case": name,
                "tokens": size,
                "run": run,
                "bits": OURS[run][1] if run in OURS else OTHER_BITS.get(run, 8),
                "metric": metric[run],
                "teacher_metric": metric[FLOAT],
                "bytes": files[run].bytes,
                "latency_p50_ms": round(middle[run], 3),
                "best_other": best,
                "speed_of_best": round(float(np.median(ratio)), 3),
                "spread": [round(float(np.percentile(ratio, p)), 3) for p in (10, 90)],
                "made_in_s": round(seconds[run], 1),
            }
            if size in case.macs:
                row["gmacs_per_s"] = round(case.macs[size] / middle[run] / 1e6, 1)
            rows.append(row)
            logger.info("%s", row)
    return rows


def _timed(files: Mapping[str, Peer], feed: Feed) -> dict[str, list[float]]:
    """Milliseconds of a run in each round."""

    def turn(peer: Peer) -> float:
        peer.run(feed)
        start = time.perf_counter()
        peer.run(feed)
        return 1e3 * (time.perf_counter() - start)

    turns: dict[str, Callable[[], float]] = {
        run: lambda peer=peer: turn(peer)  # type: ignore[misc]
        for run, peer in files.items()
    }
    return alternate(turns, ROUNDS)


if __name__ == "__main__":
    main()
