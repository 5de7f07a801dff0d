"""A sentence encoder (all-MiniLM-L6-v2), kept: bytes, accuracy and speed beside every other way to quantise it.

python -m benchmarks.transformers [--only NAME ...]    replaces this machine's rows in results/transformers.json

Accuracy: Spearman's correlation of cosines with the labels of the STS benchmark's test split, and the mean cosine with
the float embeddings. Speed: sentences of 32, 64, 128 and 256 tokens, batch 1, one thread, all files in turns in one
process. Rows `squeeze` are what `squeeze quantize` writes; `speed_of_best` is against the fastest other file at that
length. Needs $SQUEEZE_DATA.
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
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks import results_file
from benchmarks.cases import data
from benchmarks.interleave import alternate
from benchmarks.sentence_encoder import Json, export, padded, sentences
from benchmarks.transformer_peers import PEERS, Feed, Peer
from squeeze import runtimes

RESULTS = Path(__file__).parent / "results" / "transformers.json"
CASE = "all-MiniLM-L6-v2"
SEED, SAMPLES, LENGTH = 0, 512, 64
TOKENS = (32, 64, 128, 256)
ROUNDS, AT_ONCE, PEER_BATCH = 30, 16, 8
LAYERS, WIDTH = 6, 384
# Run -> what `squeeze quantize` is asked, and the bits of most weights.
OURS = {
    "squeeze": ((), 8),
    "squeeze-4-bit": (("--bits", "4", "--drop", "5"), 4),
    "squeeze-3-bit": (("--bits", "3", "--drop", "20"), 3),
    "squeeze-2-bit": (("--bits", "2", "--drop", "60"), 2),
    "squeeze-weights-only": (("--weights-only", "--bits", "4", "--drop", "5"), 4),
}
logger = logging.getLogger(__name__)


def main() -> None:
    """Makes the files, judges them and writes the rows."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("onnxruntime").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=[*OURS, *PEERS], help="beside ort-float")
    wanted = parser.parse_args().only
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export(folder / "model.onnx")
        files, seconds = _made(folder, set(wanted or [*OURS, *PEERS]) | {"ort-float"})
        rows = _judged(files, seconds)
    facts = {"run": {"seed": SEED, "calibration_samples": SAMPLES, "threads": 1, "rounds": ROUNDS}}
    results_file.write(RESULTS, "python -m benchmarks.transformers", rows, **facts)


def _made(folder: Path, wanted: set[str]) -> tuple[dict[str, Peer], dict[str, float]]:
    """The files that could be made, and how long each took."""
    ids = sentences("train", "a")
    chosen = np.random.default_rng(SEED).permutation(len(ids))[:SAMPLES]
    whole = padded([ids[i] for i in chosen], LENGTH)
    feeds = [
        {name: rows[i : i + PEER_BATCH] for name, rows in whole.items()}
        for i in range(0, SAMPLES, PEER_BATCH)
    ]
    np.savez(folder / "calib.npz", allow_pickle=False, **whole)
    made: dict[str, Peer] = {}
    seconds: dict[str, float] = {}
    for run in (*PEERS, *OURS):
        if run not in wanted:
            continue
        logger.info("making %s", run)
        start = time.perf_counter()
        try:
            if run in PEERS:
                made[run] = PEERS[run](folder / "model.onnx", feeds, folder)
            else:
                made[run] = _ours(folder, run)
        except Exception as e:  # one that cannot be made is no reason to be without the others
            logger.warning("%s: %s: %.300s", run, type(e).__name__, e)
            continue
        seconds[run] = time.perf_counter() - start
    return made, seconds


def _ours(folder: Path, run: str) -> Peer:
    out = folder / f"{run}.onnx"
    command = [sys.executable, "-m", "squeeze", "quantize", str(folder / "model.onnx")]
    command += ["--calib", str(folder / "calib.npz"), "-o", str(out), *OURS[run][0]]
    done = subprocess.run(command, capture_output=True, text=True)
    logger.info("%s", done.stdout.strip())
    if not out.exists():
        raise RuntimeError(done.stderr.strip())
    session = runtimes.session(out, threads=1)
    return Peer((out,), lambda feed: np.asarray(session.run(None, feed)[0]))


def _judged(files: Mapping[str, Peer], seconds: Mapping[str, float]) -> list[Json]:
    scores = np.load(data("text/stsb_en_tokens.npz"))["test_score"]
    sides = [sentences("test", side) for side in "ab"]
    exact = [_embeddings(files["ort-float"], side) for side in sides]
    teacher = _spearman(exact, scores)
    accuracy = {}
    for name, peer in files.items():
        found = [_embeddings(peer, side) for side in sides]
        cosine = np.mean([(a * b).sum(axis=1).mean() for a, b in zip(found, exact, strict=True)])
        accuracy[name] = (_spearman(found, scores), round(float(cosine), 5))
        logger.info("%s: %s, %d bytes", name, accuracy[name], files[name].bytes)
    rows: list[Json] = []
    for tokens in TOKENS:
        times = _timed(files, tokens)
        middle = {name: float(np.median(given)) for name, given in times.items()}
        best = min((n for n in files if n not in OURS), key=middle.__getitem__)
        for name, given in times.items():
            ratio = np.asarray(times[best]) / np.asarray(given)
            rows.append(
                {
                    "case": CASE,
                    "tokens": tokens,
                    "run": name,
                    "bits": OURS[name][1] if name in OURS else (32 if "float" in name else 8),
                    "metric": accuracy[name][0],
                    "teacher_metric": teacher,
                    "cosine": accuracy[name][1],
                    "bytes": files[name].bytes,
                    "latency_p50_ms": round(middle[name], 3),
                    "best_other": best,
                    "speed_of_best": round(float(np.median(ratio)), 3),
                    "speed_of_best_p10": round(float(np.percentile(ratio, 10)), 3),
                    "speed_of_best_p90": round(float(np.percentile(ratio, 90)), 3),
                    "gmacs_per_s": round(_macs(tokens) / middle[name] / 1e6, 1),
                    "made_in_s": round(seconds[name], 1),
                }
            )
            logger.info("%s", rows[-1])
    return rows


def _embeddings(peer: Peer, rows: list[NDArray[np.int64]]) -> NDArray[np.float32]:
    """[sentences, width], those of like lengths together."""
    order = np.argsort([len(row) for row in rows], kind="stable")
    found: dict[int, NDArray[np.float32]] = {}
    for start in range(0, len(rows), AT_ONCE):
        at = order[start : start + AT_ONCE]
        some = [rows[i] for i in at]
        made = np.array(peer.run(padded(some, max(map(len, some)))))
        found.update(zip(at.tolist(), made, strict=True))
    return np.stack([found[i] for i in range(len(rows))])


def _spearman(sides: list[NDArray[np.float32]], scores: NDArray[np.floating]) -> float:
    cosines = (sides[0] * sides[1]).sum(axis=1)
    return round(float(100 * spearmanr(cosines, scores).statistic), 2)


def _timed(files: Mapping[str, Peer], tokens: int) -> dict[str, list[float]]:
    """Milliseconds of a run in each round."""
    ids = np.random.default_rng(SEED).integers(1000, 30000, (1, tokens))
    feed: Feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}

    def turn(peer: Peer) -> float:
        peer.run(feed)
        start = time.perf_counter()
        peer.run(feed)
        return 1e3 * (time.perf_counter() - start)

    turns: dict[str, Callable[[], float]] = {
        name: lambda peer=peer: turn(peer) for name, peer in files.items()
    }
    return alternate(turns, ROUNDS)


def _macs(tokens: int) -> int:
    """Of a sentence: products with weights, and the two of attention."""
    return LAYERS * (12 * WIDTH * WIDTH * tokens + 2 * WIDTH * tokens * tokens)


if __name__ == "__main__":
    main()
