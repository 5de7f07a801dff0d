"""Text encoders whose tokens get a part of each layer, beside layers that are made narrower.

python -m benchmarks.adaptive [--compute 0.75 0.5 ...] [--steps N] [--int8 0.5 ...] [--folder DIR]   replaces this
machine's rows in results/adaptive.json

all-MiniLM-L6-v2, texts and metric as in `autodistil`: sentences of STS-B (train, dev) and TREC (train) without labels;
Spearman of the cosines of the pairs of STS-B (test). Rows: `float`, the teacher; `adaptive-C`, with a share C of the
operations of its linear layers between attentions, after --steps steps of learners, half as many of gates and --steps
of all of it; `narrow-C`, the teacher with the channels that matter most, as many as the same operations allow, trained
towards the same for as many steps as all of these; `-int8`: what `squeeze quantize` makes of it. Operations: of a text
of TOKENS tokens. Speed: all files in turns in one process, one thread. Needs $SQUEEZE_DATA.

With --folder a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks import results_file
from benchmarks.autodistil import OPSET, TOKENS, corpus, quantised, timed
from benchmarks.cases import data
from benchmarks.sentence_encoder import embeddings, export, sentences

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.net import FloatNet
    from squeeze.run import At, Run
    from squeeze.spec import AdaptivePart, ArchSpec
    from squeeze.students.encoder import Costs
    from squeeze.train import Compute
    from squeeze.workdir import Step

RESULTS = Path(__file__).parent / "results" / "adaptive.json"
SEED, LR, BATCH = 0, 2e-4, 16
COMPUTE, INT8 = (0.75, 0.5, 0.35, 0.25), (0.5,)
FLOAT, ALIGNED = "float", 8
logger = logging.getLogger(__name__)

Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class Made:
    """A file, and what it costs for a text of TOKENS tokens."""

    file: Path
    costs: Costs


def main() -> None:
    """Trains, writes the files, judges them and writes the rows."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--compute", type=float, nargs="+", default=list(COMPUTE))
    parser.add_argument("--int8", type=float, nargs="*", default=list(INT8))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where finished steps stay")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        rows = judged(made(folder, given.compute, given.int8, given.steps))
    shares, int8 = (" ".join(map(str, some)) for some in (given.compute, given.int8))
    command = (
        f"python -m benchmarks.adaptive --compute {shares} --int8 {int8} --steps {given.steps}"
    )
    facts = {"seed": SEED, "threads": 1, "tokens": TOKENS, "steps": given.steps, "batch": BATCH}
    results_file.write(RESULTS, command, rows, run=facts)


def made(folder: Path, compute: list[float], int8: list[float], count: int) -> dict[str, Made]:
    """Every file by the name of its row."""
    from squeeze import steps
    from squeeze.spec import ArchSpec, load_recipe
    from squeeze.steps.adapting import APART, encoder_of, make_adaptive, make_learners
    from squeeze.students.encoder import AdaptiveParams, Params

    model, texts = folder / "minilm.onnx", folder / "corpus.npz"
    if not model.exists():
        export(model)
    if not texts.exists():
        corpus(texts)
    counts = {"module_steps": count, "gate_steps": count // 2, "steps": count}
    keys = {f"adaptive.{name}": value for name, value in counts.items()}
    keys |= {"adaptive.batch_size": BATCH, "adaptive.lr": LR}
    part = load_recipe("balanced", keys).adaptive
    run = steps.begin(load_recipe("balanced", {}), folder / "cache", 1, "auto", None)
    case = steps.load(run, str(model), None, str(texts), None)
    blind = case.blind()
    given: Json = {
        "case": blind,
        "net": case.net,
        "compute": run.compute,
        "seed": SEED,
        "threads": 1,
    }
    teacher = encoder_of(case, case.net).params
    found = {FLOAT: Made(model, teacher.costs(TOKENS))}
    cut = run.step("learners", make_learners, part=part.model_copy(update=APART), **given)
    for share in compute:
        asked = part.model_copy(update={"compute": share})
        step = run.step("adaptive", make_adaptive, cut=cut, part=asked, **given)
        arch = ArchSpec.model_validate(step.result["arch"])
        costs = AdaptiveParams.model_validate(arch.params).costs(TOKENS)
        found[f"adaptive-{share}"] = Made(exported(run, blind, arch, step), costs)
        width = channels(teacher, costs.macs)
        narrow = run.step("narrow", narrowed, width=width, part=part, **given)
        arch = ArchSpec.model_validate(narrow.result["arch"])
        costs = Params.model_validate(arch.params).costs(TOKENS)
        found[f"narrow-{share}"] = Made(exported(run, blind, arch, narrow), costs)
    return found | in_int8(run, folder, found, int8)


def in_int8(run: Run, folder: Path, found: dict[str, Made], shares: list[float]) -> dict[str, Made]:
    """What the ladder makes of the teacher and of the files of some shares."""
    from squeeze.steps.problem import Source
    from squeeze.workdir import digest_file

    def source(path: Path) -> Source:
        return Source(str(path), None, digest_file(path))

    names = [f"{kind}-{share}" for share in shares for kind in ("adaptive", "narrow")]
    files = {}
    for name in (*names, FLOAT):
        texts = source(folder / "corpus.npz")
        step = run.step("int8", quantised, source=source(found[name].file), texts=texts)
        files[f"{name}-int8"] = Made(step.path / "int8.onnx", found[name].costs)
    return files


def channels(teacher: Any, macs: int) -> int:  # Any: Params, imported late
    """As many of each layer as `macs` of a text allow."""
    widths = range(teacher.ffn, 0, -ALIGNED)
    fits = (w for w in widths if teacher.model_copy(update={"ffn": w}).costs(TOKENS).macs <= macs)
    return next(fits)


def narrowed(
    at: At,
    *,
    case: Case,
    net: FloatNet,
    width: int,
    part: AdaptivePart,
    compute: Compute,
    seed: int,
    threads: int,
) -> Json:
    """Writes the weights of the teacher with `width` channels a layer, trained as long as an adaptive one."""
    import torch
    from safetensors.torch import save_file

    from squeeze import students
    from squeeze.spec import ArchSpec
    from squeeze.steps.adapting import encoder_of
    from squeeze.steps.inheriting_work import objective_of
    from squeeze.students.encoder import without
    from squeeze.train.adaptive import phase
    from squeeze.train.supernet.importance import curvature
    from squeeze.train.supernet.samples import Samples

    teacher = encoder_of(case, net)
    params, objective = teacher.params, objective_of(case, teacher.params)
    fit, held = (Samples(case.data, s, params) for s in (case.data.fit, case.data.calibrate))
    with compute.session(threads):
        looked_at = [tuple(held.at(samples)) for samples in held.in_order(32, 128)]
        found = curvature(teacher, looked_at, seed=seed)
        best = [one.argsort(descending=True, stable=True)[:width].tolist() for one in found.ffn]
        heads = [list(range(w.heads)) for w in params.widths]
        narrow = without(teacher, heads, best)

        def loss_of(x: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                wanted = teacher.taps(*x)
            return objective(narrow.taps(*x), wanted, lambda states: states)

        named = {n: p for n, p in narrow.named_parameters() if not n.startswith("word.")}
        count = part.module_steps + part.gate_steps + part.steps
        phase.run(
            phase.Phase(named, loss_of, objective.answer, steps=count, lr=part.lr),
            fit,
            compute,
            batch_size=part.batch_size,
            seed=seed,
            checkpoint_s=30.0,
            identity=f"{case.key()} {width} {part.key()}",
            folder=at.folder / "narrow",
            progress=at.progress,
        )
    save_file(narrow.state_dict(), at.folder / "weights.safetensors")
    arch = ArchSpec(family=students.ENCODER, params=narrow.params.model_dump(mode="json"))
    return {"summary": f"{width} channels", "arch": arch.model_dump(mode="json")}


def exported(run: Run, case: Case, arch: ArchSpec, trained: Step) -> Path:
    """Its float file."""
    from squeeze.steps.exporting import export_student

    step = run.step("export", export_student, trained=trained, arch=arch, case=case, opset=OPSET)
    return step.path / "student.onnx"


def judged(files: dict[str, Made]) -> list[Json]:
    """A row for each file."""
    from squeeze import runtimes

    sessions = {run: runtimes.session(one.file, threads=1) for run, one in files.items()}
    scores = np.load(data("text/stsb_en_tokens.npz"))["test_score"]
    sides = [sentences("test", side) for side in "ab"]
    times = timed(sessions)
    rows: list[Json] = []
    for run, session in sessions.items():
        a, b = (embeddings(lambda feed, s=session: s.run(None, feed)[0], side) for side in sides)  # type: ignore[misc]
        one = files[run]
        rows.append(
            {
                "run": run,
                "macs": one.costs.macs,
                "bytes": one.file.stat().st_size,
                "metric": round(float(100 * spearmanr((a * b).sum(axis=1), scores).statistic), 2),
                "latency_p50_ms": times[run],
                "teacher_latency_p50_ms": times[FLOAT],
            }
        )
        logger.info("%s", rows[-1])
    return rows


if __name__ == "__main__":
    main()
