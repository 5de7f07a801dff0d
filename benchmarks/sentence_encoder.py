"""A sentence encoder (all-MiniLM-L6-v2): bytes, accuracy and speed beside the runtime's dynamic quantisation.

python -m benchmarks.sentence_encoder    replaces this machine's rows in results/sentence_encoder.json

Rows of 8 bits: `float`; `squeeze`, as `squeeze quantize` makes it; `ort-dynamic` with its defaults, and with scales per
channel and 7 bits, which CPUs without VNNI need. Accuracy: Spearman's correlation of cosines with the labels of the STS
benchmark's test split, and the mean cosine with the float embeddings. Speed: all in turns in one process, one thread.
Needs $SQUEEZE_DATA.
"""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks import results_file
from benchmarks.cases import data
from benchmarks.interleave import alternate
from squeeze import runtimes

RESULTS = Path(__file__).parent / "results" / "sentence_encoder.json"
SEED, SAMPLES, LENGTH = 0, 600, 32
BATCHES = ((1, 12), (1, 32), (8, 32))  # sentences, tokens each
ROUNDS, CALLS = 40, 3
PAIRS_AT_ONCE = 16
OUTPUT = "sentence_embedding"
logger = logging.getLogger(__name__)

Json = dict[str, Any]  # Any: JSON
Ids = list[NDArray[np.int64]]
Feed = dict[str, NDArray[np.int64]]
Run = Callable[[Feed], NDArray[np.generic]]


def export(path: Path) -> None:
    """Writes the float model, with a free batch and a free length."""
    import torch
    from safetensors.torch import load_file

    spec = importlib.util.spec_from_file_location("minilm", data("models/minilm.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    net = module.MiniLM().eval()
    weights = load_file(data("teacher-minilm/minilm_fp16.safetensors"))
    net.load_state_dict({name: value.float() for name, value in weights.items()})
    example = tuple(torch.ones(2, 17, dtype=torch.int64) for _ in range(2))  # not one for both
    free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("seq", min=2, max=512)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            net,
            example,
            dynamo=True,
            verbose=False,
            dynamic_shapes=(free, free),
            input_names=["input_ids", "attention_mask"],
            output_names=[OUTPUT],
            opset_version=18,
        )
    assert program is not None
    program.save(path)


def sentences(split: str, side: str) -> Ids:
    """The tokens of each."""
    found = np.load(data("text/stsb_en_tokens.npz"))
    tokens, starts = found[f"{split}_{side}"], found[f"{split}_{side}_off"]
    return [tokens[a:b].astype(np.int64) for a, b in pairwise(starts)]


def padded(rows: Ids, length: int) -> Feed:
    """The first `length` tokens of each, filled up with 0 that are masked."""
    ids = np.zeros((len(rows), length), np.int64)
    mask = np.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = row[:length], 1
    return {"input_ids": ids, "attention_mask": mask}


def squeezed(model: Path, out: Path) -> None:
    """What the command line makes of it with tokens of the training split."""
    rows = sentences("train", "a")
    chosen = np.random.default_rng(SEED).permutation(len(rows))[:SAMPLES]
    calib = out.with_suffix(".npz")
    np.savez(calib, allow_pickle=False, **padded([rows[i] for i in chosen], LENGTH))
    command = [sys.executable, "-m", "squeeze", "quantize", str(model), "--calib", str(calib)]
    done = subprocess.run([*command, "-o", str(out)], capture_output=True, text=True)
    if not out.exists():
        raise SystemExit(f"squeeze quantize made no file: {done.stderr.strip()}")


def dynamic(model: Path, out: Path, *, safe: bool) -> None:
    """The runtime's own tool in one line."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    options = {"per_channel": True, "reduce_range": True} if safe else {}
    quantize_dynamic(str(model), str(out), weight_type=QuantType.QInt8, **options)


def embeddings(run: Run, rows: Ids) -> NDArray[np.float32]:
    """What `run` gives for each sentence, [sentences, width]; those of like lengths run together."""
    order = np.argsort([len(row) for row in rows], kind="stable")
    found: dict[int, NDArray[np.float32]] = {}
    for start in range(0, len(rows), PAIRS_AT_ONCE):
        at = order[start : start + PAIRS_AT_ONCE]
        some = [rows[i] for i in at]
        made = np.array(run(padded(some, max(map(len, some)))))
        found.update(zip(at.tolist(), made, strict=True))
    return np.stack([found[i] for i in range(len(rows))])


def spearman(run: Run, split: str = "test", every: int = 1) -> float:
    """100 times the rank correlation of the cosines of every so manieth pair of STS-B with what people say of it."""
    a, b = (embeddings(run, sentences(split, side)[::every]) for side in "ab")
    truth = np.load(data("text/stsb_en_tokens.npz"))[f"{split}_score"][::every]
    return round(float(100 * spearmanr((a * b).sum(axis=1), truth).statistic), 2)


def timed(sessions: dict[str, Any], rows: Ids) -> dict[str, Json]:
    """File -> "sentences x tokens" -> ms of a run, and the ratio to the float file, medians over the rounds."""
    found: dict[str, Json] = {name: {} for name in sessions}
    whole = [row for row in rows if len(row) >= LENGTH] or rows
    for count, length in BATCHES:
        feed = padded(whole[:count], length)

        def turn(session: Any, feed: Feed = feed) -> float:
            session.run([OUTPUT], feed)
            start = time.perf_counter()
            for _ in range(CALLS):
                session.run([OUTPUT], feed)
            return 1e3 * (time.perf_counter() - start) / CALLS

        turns: dict[str, Callable[[], float]] = {
            name: lambda session=session: turn(session) for name, session in sessions.items()
        }
        times = alternate(turns, ROUNDS)
        for name, given in times.items():
            faster = np.median(np.asarray(times["float"]) / np.asarray(given))
            dynamics = np.asarray(times["ort-dynamic"]) / np.asarray(given)
            found[name][f"{count}x{length}"] = {
                "latency_p50_ms": round(float(np.median(given)), 3),
                "speed_of_float": round(float(faster), 3),
                "speed_of_dynamic": round(float(np.median(dynamics)), 3),
            }
    return found


def main() -> None:
    """Makes the files, judges them and writes the rows."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    scores = np.load(data("text/stsb_en_tokens.npz"))["test_score"]
    sides = [sentences("test", side) for side in "ab"]
    with tempfile.TemporaryDirectory() as folder:
        paths = {n: Path(folder) / f"{n}.onnx" for n in ("float", "squeeze", "ort-dynamic")}
        paths["ort-dynamic-7-bit"] = Path(folder) / "ort-dynamic-7-bit.onnx"
        export(paths["float"])
        squeezed(paths["float"], paths["squeeze"])
        dynamic(paths["float"], paths["ort-dynamic"], safe=False)
        dynamic(paths["float"], paths["ort-dynamic-7-bit"], safe=True)
        sessions = {name: runtimes.session(path, threads=1) for name, path in paths.items()}
        times = timed(sessions, sides[0])
        exact: list[NDArray[np.float32]] = []
        rows: list[Json] = []
        for name, session in sessions.items():
            found = [
                embeddings(lambda feed, s=session: s.run([OUTPUT], feed)[0], side)  # type: ignore[misc]
                for side in sides
            ]
            exact = exact or found
            cosine = np.mean(
                [(a * b).sum(axis=1).mean() for a, b in zip(found, exact, strict=True)]
            )
            correlation = spearmanr((found[0] * found[1]).sum(axis=1), scores).statistic
            row: Json = {"model": "all-MiniLM-L6-v2", "run": name}
            row |= {
                "bytes": paths[name].stat().st_size,
                "spearman": round(float(100 * correlation), 2),
            }
            row |= {"cosine": round(float(cosine), 5), "latency": times[name]}
            logger.info("%s", row)
            rows.append(row)
    facts = {"run": {"seed": SEED, "calibration_samples": SAMPLES, "threads": 1}}
    results_file.write(RESULTS, "python -m benchmarks.sentence_encoder", rows, **facts)


if __name__ == "__main__":
    main()
