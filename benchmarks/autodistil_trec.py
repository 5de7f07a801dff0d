"""A student of a classifier end to end through the command line: `squeeze search --supernet`, `squeeze compile --from`.

python -m benchmarks.autodistil --case trec [--steps N] [--further N] [--folder DIR]

The teacher is the case `trec` of `transformers`: all-MiniLM-L6-v2 as it is and a trained head, six classes of
questions. Student: the best part with SPEEDUP / 3 times fewer operations, of one network that was trained on the
questions (train) without labels. Rows: `float`, the teacher, and `compiled`, the int8 file in the package;
`compiled-4` with weights of 4 bits, the table of words too, and 8 in the first and the last layer. metric: top-1 on
TREC (test), which nothing here has seen; what the package says of itself is of questions that the teacher's head was
trained on. core: the processor's time instead of the clock's, for machines that others use as well. curve: step, loss
and cosine with the teacher's logits on held-out questions, of the student alone.
"""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import transformer_cases
from benchmarks.sentence_encoder import padded

SEED, LENGTH, TOKENS, HELD = 0, 32, 32, 400
SPEEDUP, LR = 18.0, 7e-4
DROP = 20  # points: the student is what is looked at, whatever it loses
SPACE = "tiny"
FORMS: dict[str, tuple[str, ...]] = {
    "compiled": (),
    "compiled-4": ("--bits", "4"),
}
logger = logging.getLogger(__name__)

Json = dict[str, Any]  # Any: JSON


def rows(folder: Path, network: int, further: int) -> list[Json]:
    """The rows; what is finished in `folder` stays."""
    from squeeze import runtimes

    case = transformer_cases.trec(folder)
    data, supernet = folder / "questions.npz", folder / f"supernet-{network}"
    if not data.exists():
        _write(data)
    common = [str(case.model), "--calib", str(data), "--cache", str(folder / "cache")]
    keys = [f"supernet.steps={network}", f"supernet.further={further}", f"supernet.lr={LR}"]
    keys += [f"search.speedup={SPEEDUP}", f"seed={SEED}", f"goal.max_drop={DROP}"]
    sets = [word for key in keys for word in ("--set", key)]
    if not supernet.exists():
        _run("search", *common, *sets, "--supernet", "--space", SPACE, "-o", str(supernet))
    files = {"float": case.model}
    stories: dict[str, Json] = {"float": {}}
    for name, options in FORMS.items():
        out = folder / f"{name}-{network}-{further}-{DROP}"
        if not (out / "manifest.json").exists():
            shutil.rmtree(out, ignore_errors=True)
            _run("compile", *common, *sets, *options, "--from", str(supernet), "-o", str(out))
        files[name] = out / "model.onnx"
        stories[name] = _story(out)
    from benchmarks.autodistil import timed  # which is what runs this

    sessions = {name: runtimes.session(file, threads=1) for name, file in files.items()}
    exact = case.outputs(lambda feed: sessions["float"].run(None, dict(feed))[0])
    times, core = timed(sessions), timed(sessions, time.process_time)
    made: list[Json] = []
    for name, session in sessions.items():
        found = case.outputs(lambda feed, s=session: s.run(None, dict(feed))[0])  # type: ignore[misc]
        row: Json = {"case": "trec", "run": name, **stories[name]}
        row |= {"network_steps": network if stories[name] else 0}
        row |= {"alone_steps": further if stories[name] else 0}
        row |= {"metric": round(case.score(found, exact), 2)}
        row |= {"teacher_metric": round(case.score(exact, exact), 2)}
        row |= {"bytes": files[name].stat().st_size, "latency_p50_ms": times[name]}
        row |= {"teacher_latency_p50_ms": times["float"]}
        row |= {"core_p50_ms": core[name], "teacher_core_p50_ms": core["float"]}
        logger.info("%s", row)
        made.append(row)
    return made


def _write(path: Path) -> None:
    """Questions of the training split with their classes, in three parts."""
    questions, classes = transformer_cases.questions("train")
    order = np.random.default_rng(SEED).permutation(len(questions))
    parts = {"train": order[2 * HELD :], "val": order[:HELD], "test": order[HELD : 2 * HELD]}
    arrays = {}
    for name, places in parts.items():
        feed = padded([questions[i] for i in places], LENGTH)
        arrays |= {f"{key}_{name}": value for key, value in feed.items()}
        arrays[f"y_{name}"] = classes[places]
    np.savez(path, allow_pickle=False, **arrays)  # type: ignore[arg-type]


def _run(command: str, *words: str) -> None:
    """Raises RuntimeError where the command line leaves nothing."""
    logger.info("squeeze %s", " ".join((command, *words)))
    done = subprocess.run(
        [sys.executable, "-m", "squeeze", command, *words, "--threads", "1"],
        capture_output=True,
        text=True,
    )
    logger.info("%s%s", done.stdout[-3000:], done.stderr[-3000:])
    if not Path(words[-1]).exists():
        raise RuntimeError(f"squeeze {command} left nothing: {done.stderr.strip()[-300:]}")


def _story(out: Path) -> Json:
    """What of the package's manifest goes into a row: which candidate it is, its sizes, how it learned."""
    from squeeze.students.encoder import Params

    manifest = json.loads((out / "manifest.json").read_bytes())
    if manifest["arch"] is None:
        return {"candidate": manifest["verdict"]["picked"]}
    student = Params.model_validate(manifest["arch"]["params"])
    costs = student.costs(TOKENS)
    row: Json = {"candidate": manifest["verdict"]["picked"]}
    row |= {"params": costs.params, "macs": costs.macs}
    row |= {name: getattr(student, name) for name in ("layers", "hidden", "heads", "ffn")}
    watched = ("step", "loss", "cosine")
    row["curve"] = [[round(entry[n], 4) for n in watched] for entry in manifest["training"]]
    return row
