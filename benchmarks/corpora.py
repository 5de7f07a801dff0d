"""What more texts, and texts made of texts, do for a part of a weight-sharing network: equal steps, fewer texts.

python -m benchmarks.corpora [--texts N ...] [--mixed M ...] [--steps N] [--further N] [--seeds N] [--folder DIR]

Teacher, texts and metric are those of `benchmarks.autodistil`. Of the texts to train with the first N are taken (0:
all), and M made texts for each of them (`supernet.mixed`: tokens dropped, ends swapped, pairs joined); texts that hold
and calibrate are the same for all. The part is the best one with FEWER times fewer operations after --steps of the
network, trained alone for --further. Writes benchmarks/results/corpora.json (rows: case, run, texts, mixed, seed, the
sizes of the part, metric of the part as it was cut out and after, teacher_metric). With --folder a run that was stopped
goes on.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import results_file
from benchmarks.autodistil import LENGTH, LR, SPACE, corpus, exported
from benchmarks.sentence_encoder import export, spearman

RESULTS = Path(__file__).parent / "results" / "corpora.json"
FEWER = 6.0
logger = logging.getLogger(__name__)

Json = dict[str, Any]  # Any: JSON


def main() -> None:
    """Trains what is missing and writes the rows."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--texts", type=int, nargs="+", default=[2000, 6000, 0])
    parser.add_argument("--mixed", type=float, nargs="+", default=[0.0, 1.0])
    parser.add_argument("--steps", type=int, default=200, help="of the network")
    parser.add_argument("--further", type=int, default=300, help="of the part alone")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where finished steps stay")
    given = parser.parse_args()
    command = f"python -m benchmarks.corpora --texts {' '.join(map(str, given.texts))}"
    command += f" --mixed {' '.join(f'{m:g}' for m in given.mixed)} --steps {given.steps}"
    command += f" --further {given.further} --seeds {given.seeds}"
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        model = folder / "minilm.onnx"
        if not model.exists():
            export(model)
        teacher = judged(model)
        rows = [
            row_of(folder, model, most, mixed, seed, given.steps, given.further)
            | {"teacher_metric": teacher}
            for seed in range(given.seeds)
            for most in given.texts
            for mixed in given.mixed
        ]
    run = {"threads": 1, "tokens": LENGTH, "space": SPACE, "fewer": FEWER}
    results_file.write(RESULTS, command, rows, run=run)


def row_of(
    folder: Path, model: Path, most: int, mixed: float, seed: int, network: int, further: int
) -> Json:
    """One row: the part that these texts give."""
    from squeeze import steps
    from squeeze.spec import load_recipe
    from squeeze.steps.inheriting import pick
    from squeeze.steps.sharing import further_trained, inherited_from, shared_network
    from squeeze.students.encoder import Params

    texts = folder / f"texts-{most}.npz"
    if not texts.exists():
        corpus(texts, most or None)
    keys = {"supernet.steps": network, "supernet.lr": LR, "supernet.mixed": mixed, "seed": seed}
    recipe = load_recipe("balanced", keys)
    run = steps.begin(recipe, folder / "cache", 1, "cpu", None)
    case = steps.load(run, str(model), None, str(texts), None)
    inherited = inherited_from(run, case)
    trained, scored = shared_network(run, case, inherited, recipe.supernet, SPACE)
    teacher = Params.model_validate(inherited.result["params"])
    part = pick(scored, teacher, teacher.costs(LENGTH).macs / FEWER, float("inf"), LENGTH)
    assert part is not None  # the smallest of the space has 18 times fewer
    row: Json = {"case": "minilm", "run": f"{most or 'all'}-{mixed:g}", "seed": seed}
    row |= {"texts": len(case.data.fit), "mixed": mixed}
    row |= {n: getattr(part.params, n) for n in ("layers", "hidden", "heads", "ffn")}
    row |= {"network_steps": network, "alone_steps": further}
    for key, count in (("cut_metric", 0), ("metric", further)):
        alone = recipe.supernet.model_copy(update={"further": count})
        kept = further_trained(run, case, inherited, trained, part.params, alone)
        row[key] = judged(exported(run, case, part.params, kept))
    logger.info("%s", row)
    return row


def judged(file: Path) -> float:
    """100 times the rank correlation of a file's cosines with what people say of the pairs of STS-B (test)."""
    from squeeze import runtimes

    session = runtimes.session(file, threads=1)
    return spearman(lambda feed: session.run(None, feed)[0])


if __name__ == "__main__":
    main()
