"""Students of a text encoder from one weight-sharing network, beside the first layers kept and distilled as long.

python -m benchmarks.autodistil [--case minilm|trec] [--steps N] [--further N] [--folder DIR]   replaces this machine's
rows of the case in results/autodistil.json; `trec`: see `autodistil_trec`

all-MiniLM-L6-v2; texts: the sentences of STS-B (train, dev) and of TREC (train), without labels; metric: Spearman of
the cosines of the pairs of STS-B (test), which nothing here has seen. Rows: `float`, the teacher; `part-A`, the best
part with at least A times fewer operations (`-small`: and a twentieth of the bytes in int8), trained alone for
--further steps after the network was for --steps, and `part-A-cut` as it was cut out of the network; `first-A`, the
first layers of the teacher with as few operations, trained alone towards the same for all of these steps; `-int8`: what
`squeeze quantize` makes of it. Operations: of a text of TOKENS tokens. Speed: all files in turns in one process, one
thread. Needs $SQUEEZE_DATA.

With --folder a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import autodistil_trec, results_file
from benchmarks.cases import data
from benchmarks.interleave import alternate
from benchmarks.sentence_encoder import export, padded, sentences, spearman

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from squeeze.case import Case
    from squeeze.run import At, Run
    from squeeze.spec import Recipe
    from squeeze.steps.inheriting_work import Kept
    from squeeze.steps.problem import Source
    from squeeze.students.encoder import Params

RESULTS = Path(__file__).parent / "results" / "autodistil.json"
SEED, LENGTH, TOKENS, ROUNDS = 0, 64, 32, 30
# How many times fewer operations, and how many times fewer bytes in int8.
FEWER = {
    "2": (2.0, 1),
    "2.7": (2.7, 1),
    "4": (4.0, 1),
    "6": (6.0, 1),
    "6-small": (6.0, 20),
}
FIRST = ("2.7", "6")  # of which the first layers are trained as well
HELD, CALIBRATED = 1000, 700
QUANTISED = 256
FLOAT, SPACE, LR = "float", "small", 7e-4
OPSET = 20
_RESERVE = 0.95  # of bytes: scales, shapes and names beside a byte for each parameter
logger = logging.getLogger(__name__)

Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class Made:
    """A file, the sizes of what is in it, and how many steps it was trained alone and in the network."""

    file: Path
    params: Params
    network_steps: int = 0
    alone_steps: int = 0


def main() -> None:
    """Trains, writes the files, judges them and writes the rows."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=300, help="of the network")
    parser.add_argument("--further", type=int, default=300, help="of a part alone")
    parser.add_argument("--case", choices=["minilm", "trec"], default="minilm")
    parser.add_argument("--folder", type=Path, help="where finished steps stay")
    given = parser.parse_args()
    numbers = f"--steps {given.steps} --further {given.further}"
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        if given.case == "trec":
            rows = autodistil_trec.rows(folder, given.steps, given.further)
        else:
            rows = _judged(_made(folder, given.steps, given.further))
    command = f"python -m benchmarks.autodistil --case {given.case} {numbers}"
    space = autodistil_trec.SPACE if given.case == "trec" else SPACE
    facts = {"seed": SEED, "threads": 1, "rounds": ROUNDS, "tokens": TOKENS, "space": space}
    case = None if given.case == "minilm" else given.case
    results_file.write(RESULTS, command, rows, case=case, run=facts)


def corpus(path: Path, most: int | None = None) -> None:
    """Writes the texts, each once, in three parts. most: of them to train with."""
    rows = [r for split in ("train", "dev") for side in "ab" for r in sentences(split, side)]
    trec = np.load(data("text/trec_tokens.npz"))
    rows += [trec["train"][a:b].astype(np.int64) for a, b in pairwise(trec["train_off"])]
    known = dict.fromkeys(tuple(row[:LENGTH].tolist()) for row in rows)
    feed = padded([np.array(row) for row in known], LENGTH)
    order = np.random.default_rng(SEED).permutation(len(known))
    parts = {
        "train": order[HELD:][:most],
        "val": order[:CALIBRATED],
        "test": order[CALIBRATED:HELD],
    }
    arrays = {f"{n}_{part}": x[rows] for part, rows in parts.items() for n, x in feed.items()}
    np.savez(path, allow_pickle=False, **arrays)  # type: ignore[arg-type]


def _made(folder: Path, network: int, further: int) -> dict[str, Made]:
    from squeeze import steps
    from squeeze.spec import load_recipe
    from squeeze.steps.inheriting import pick
    from squeeze.steps.sharing import inherited_from, shared_network
    from squeeze.students.encoder import Params

    model, texts = folder / "minilm.onnx", folder / "corpus.npz"
    if not model.exists():
        export(model)
    if not texts.exists():
        corpus(texts)
    keys = {"supernet.steps": network, "supernet.further": further, "supernet.lr": LR}
    recipe = load_recipe("balanced", keys)
    run = steps.begin(recipe, folder / "cache", 1, "auto", None)
    case = steps.load(run, str(model), None, str(texts), None)
    inherited = inherited_from(run, case)
    trained, scored = shared_network(run, case, inherited, recipe.supernet, SPACE)
    teacher = Params.model_validate(inherited.result["params"])
    whole = teacher.costs(LENGTH).macs
    made = {FLOAT: Made(model, teacher)}
    for name, (fewer, smaller) in FEWER.items():
        room = _RESERVE * model.stat().st_size / smaller
        part = pick(scored, teacher, whole / fewer, room, LENGTH)
        if part is None:
            logger.warning("no part of %s has %s times fewer operations", SPACE, name)
            continue
        made |= _parts(run, case, recipe, inherited, trained, part.params, name, further)
    for name in reversed(FIRST):
        fewer, _ = FEWER[name]
        few = [teacher.model_copy(update={"layers": n}) for n in range(teacher.layers, 0, -1)]
        first = next((p for p in few if p.costs(LENGTH).macs <= whole / fewer), few[-1])
        made |= _first(run, case, recipe, inherited, first, name, network + further)
    return made | _quantised(folder, run, made)


def _parts(
    run: Run,
    case: Case,
    recipe: Recipe,
    inherited: Kept,
    trained: Kept,
    child: Params,
    name: str,
    further: int,
) -> dict[str, Made]:
    """The part as it is cut out, and after it was trained alone."""
    from squeeze.steps.sharing import further_trained

    found = {}
    for end, steps in (("-cut", 0), ("", further)):
        part = recipe.supernet.model_copy(update={"further": steps})
        kept = further_trained(run, case, inherited, trained, child, part)
        file = exported(run, case, child, kept)
        found[f"part-{name}{end}"] = Made(file, child, recipe.supernet.steps, steps)
    return found


def _first(
    run: Run,
    case: Case,
    recipe: Recipe,
    inherited: Kept,
    child: Params,
    name: str,
    steps: int,
) -> dict[str, Made]:
    """The first layers of the teacher, trained alone."""
    from squeeze.steps.sharing import further_trained

    part, layers = recipe.supernet.model_copy(update={"further": steps}), range(child.layers)
    kept = further_trained(run, case, inherited, inherited, child, part, tuple(layers))
    file = exported(run, case, child, kept)
    return {f"first-{name}": Made(file, child, 0, steps)}


def exported(run: Run, case: Case, child: Params, kept: Kept) -> Path:
    from squeeze import students
    from squeeze.spec import ArchSpec
    from squeeze.steps.exporting import export_student

    arch = ArchSpec(family=students.ENCODER, params=child.model_dump(mode="json"))
    step = run.step(
        "export", export_student, trained=kept, arch=arch, case=case.blind(), opset=OPSET
    )
    return step.path / "student.onnx"


def quantised(at: At, *, source: Source, texts: Source) -> Json:
    """Writes what `squeeze quantize` makes of a file. Raises RuntimeError where it makes none."""
    whole = np.load(texts.path)
    names = ("input_ids", "attention_mask")
    calib, out = at.folder / "calib.npz", at.folder / "int8.onnx"
    np.savez(calib, allow_pickle=False, **{n: whole[f"{n}_val"][:QUANTISED] for n in names})
    command = [sys.executable, "-m", "squeeze", "quantize", source.path, "--drop", "5"]
    done = subprocess.run(
        [*command, "--calib", str(calib), "-o", str(out)], capture_output=True, text=True
    )
    if not out.exists():
        raise RuntimeError(done.stderr.strip()[-300:])
    return {"summary": done.stdout.strip().splitlines()[-1]}


def _quantised(folder: Path, run: Run, made: Mapping[str, Made]) -> dict[str, Made]:
    from squeeze.steps.problem import Source
    from squeeze.workdir import digest_file

    def source(path: Path) -> Source:
        return Source(str(path), None, digest_file(path))

    found = {}
    for name, one in made.items():
        if name == FLOAT or name.startswith("first") or name.endswith("-cut"):
            continue
        step = run.step(
            "int8", quantised, source=source(one.file), texts=source(folder / "corpus.npz")
        )
        file = step.path / "int8.onnx"
        found[f"{name}-int8"] = Made(file, one.params, one.network_steps, one.alone_steps)
    return found


def _judged(made: Mapping[str, Made]) -> list[Json]:
    from squeeze import runtimes

    sessions = {run: runtimes.session(one.file, threads=1) for run, one in made.items()}
    metric = {}
    for run, session in sessions.items():
        metric[run] = spearman(lambda feed, s=session: s.run(None, feed)[0])  # type: ignore[misc]
        logger.info("%s: %s", run, metric[run])
    times = timed(sessions)
    rows: list[Json] = []
    for run, one in made.items():
        costs = one.params.costs(TOKENS)
        row: Json = {"case": "minilm", "run": run, "params": costs.params, "macs": costs.macs}
        row |= {n: getattr(one.params, n) for n in ("layers", "hidden", "heads", "ffn")}
        row |= {"network_steps": one.network_steps, "alone_steps": one.alone_steps}
        row |= {"metric": metric[run], "teacher_metric": metric[FLOAT]}
        row["bytes"] = one.file.stat().st_size
        row |= {"latency_p50_ms": times[run], "teacher_latency_p50_ms": times[FLOAT]}
        rows.append(row)
        logger.info("%s", row)
    return rows


def timed(
    sessions: Mapping[str, Any],  # Any: sessions of the runtime
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Milliseconds of a run of TOKENS tokens, the median over rounds in which all take turns."""
    ids = np.random.default_rng(SEED).integers(1000, 30000, (1, TOKENS))
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}

    def turn(session: Any) -> float:
        session.run(None, feed)
        start = clock()
        session.run(None, feed)
        return 1e3 * (clock() - start)

    turns: dict[str, Callable[[], float]] = {
        run: lambda session=session: turn(session)  # type: ignore[misc]
        for run, session in sessions.items()
    }
    found = alternate(turns, ROUNDS)
    return {run: round(float(np.median(given)), 3) for run, given in found.items()}


if __name__ == "__main__":
    main()
