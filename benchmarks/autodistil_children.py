"""Which score of a part of a weight-sharing network ranks parts as their accuracy does, and what the network saves.

python -m benchmarks.autodistil_children [--steps N] [--further N] [--folder DIR]   replaces this machine's rows in
results/autodistil_children.json

Teacher and metric as in `autodistil`, TEXTS of its texts, batches of BATCH, every third pair (the files are in order of
where pairs come from). One network of the space "small" is trained for --steps; CHILDREN of its parts, evenly over the
order of operations, are then trained alone for --further steps each. Rows: `part-I`, its scores; `child-I`, Spearman on
STS-B (dev, test) after these steps; `alone-I`, the same part cut out of the teacher, never in the network: trained as
many core seconds as its share of the network's and its own steps took (`-equal`, ALONE of them), or as those of the
whole network and its own (`-long`, --long of them). `rank-S`: Kendall's tau-b of a score with the loss in the trained
network, and tau and nDCG@5 with the accuracy of those children that there are.
`cost`: core seconds of the network with all parts asked and one trained, beside those of all
parts trained alone until they are as good. Core seconds are the processor's, not the clock's. Needs $SQUEEZE_DATA.

With --folder a run that was stopped goes on, and rows are there as they are made.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import results_file
from benchmarks.autodistil import LENGTH, LR, SEED, SPACE, corpus
from benchmarks.sentence_encoder import export, spearman
from squeeze.progress import Progress
from squeeze.search.score import kendall_tau

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.case import Case
    from squeeze.run import Run
    from squeeze.spec import Recipe
    from squeeze.steps.inheriting_work import Kept
    from squeeze.students.encoder import Params

RESULTS = Path(__file__).parent / "results" / "autodistil_children.json"
CASE, CHILDREN, ALONE = "minilm-children", 24, 6
TEXTS, BATCH, EVERY = 6000, 16, 3
TOP = 5
# Scores of which less is better.
_LOSSES = ("loss", "loss_untrained")
SCORES = (*_LOSSES, "w_pca", "swap", "params", "macs")
logger = logging.getLogger(__name__)

Json = dict[str, Any]  # Any: JSON


class CoreSeconds(Progress):
    """Core seconds of the steps that were made here, by name; the last of a name counts."""

    def __init__(self) -> None:
        self.found: dict[str, float] = {}
        self._name, self._began = "", 0.0

    def begin(self, step: str) -> None:
        self._name, self._began = step, time.process_time()

    def end(self, summary: str, seconds: float, *, reused: bool = False) -> None:
        if not reused:
            self.found[self._name] = time.process_time() - self._began


@dataclass(frozen=True)
class Setting:
    """What all rows share."""

    run: Run
    case: Case
    recipe: Recipe
    inherited: Kept
    clock: CoreSeconds

    def trained(self, origin: Kept, child: Params, steps: int) -> tuple[Json, float]:
        """(`judged`, core seconds) of a part of `origin` that was trained alone."""
        from squeeze.seal import WEIGHTS
        from squeeze.steps.sharing import further_trained

        part = self.recipe.supernet.model_copy(update={"further": steps})
        self.clock.found.pop("distill", None)
        kept = further_trained(self.run, self.case, self.inherited, origin, child, part)
        return judged(child, kept.path / WEIGHTS), self.clock.found.get("distill", math.nan)


class Rows:
    """Rows that are written as they are made, and found again by `run`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.known = {row["run"]: row for row in map(json.loads, lines)}

    def add(self, run: str, row: Json) -> Json:
        made = {"case": CASE, "run": run, **row}
        with self.path.open("a") as file:
            file.write(json.dumps(made) + "\n")
        self.known[run] = made
        logger.info("%s", made)
        return made


def main() -> None:
    """Trains, judges and writes the rows."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    for name in (__name__, "squeeze.run"):
        logging.getLogger(name).setLevel(logging.INFO)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=150, help="of the network")
    parser.add_argument("--further", type=int, default=100, help="of a part alone")
    parser.add_argument("--long", type=int, default=2, help="parts alone as long as the network")
    parser.add_argument("--folder", type=Path, help="where finished steps and rows stay")
    parser.add_argument("--finish", action="store_true", help="with the rows of --folder alone")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        rows = Rows(folder / f"children-{given.steps}-{given.further}.jsonl")
        if not given.finish:
            _measure(folder, rows, given.steps, given.further, given.long)
        measured = _told(rows)
    numbers = " ".join(f"--{name} {getattr(given, name)}" for name in ("steps", "further", "long"))
    command = f"python -m benchmarks.autodistil_children {numbers}"
    facts = {"seed": SEED, "threads": 1, "tokens": LENGTH, "space": SPACE}
    results_file.write(RESULTS, command, measured, run=facts)


def _measure(folder: Path, rows: Rows, network: int, further: int, long: int) -> None:
    from squeeze import steps
    from squeeze.spec import load_recipe
    from squeeze.steps.sharing import inherited_from, parts_of, shared_network, untrained_parts

    model, texts = folder / "minilm.onnx", folder / "corpus.npz"
    if not model.exists():
        export(model)
    if not texts.exists():
        corpus(texts, TEXTS)
    keys = {"supernet.steps": network, "supernet.lr": LR, "supernet.batch_size": BATCH}
    recipe = load_recipe("balanced", keys)
    clock = CoreSeconds()
    run = steps.begin(recipe, folder / "cache", 1, "cpu", clock)
    case = steps.load(run, str(model), None, str(texts), None)
    inherited = inherited_from(run, case)
    setting = Setting(run, case, recipe, inherited, clock)
    parts = parts_of(SPACE, inherited)
    chosen = _spread(parts, CHILDREN)
    untrained = untrained_parts(run, case, inherited, recipe.supernet, chosen, proxies=True)
    if "untrained" not in rows.known:
        rows.add("untrained", {"children": len(chosen), **_core(clock, "parts")})
    trained, scored = shared_network(run, case, inherited, recipe.supernet, SPACE)
    if "network" not in rows.known:
        row = {"steps": network, "parts": len(parts), **_core(clock, "supernet")}
        rows.add("network", {**row, "asked_core_s": _core(clock, "parts")["core_s"]})
    losses = {_sizes(row): row["loss"] for row in scored.result["parts"]}
    for i, before in enumerate(untrained.result["parts"]):
        row = {**before, "loss_untrained": before["loss"], "loss": losses[_sizes(before)]}
        row["params"] = row.pop("parameters")
        if f"part-{i:02}" not in rows.known:
            rows.add(f"part-{i:02}", row)
    # Every fourth first: of a run that was stopped the children are spread as well.
    for i in sorted(range(len(chosen)), key=lambda i: (i % 4, i)):
        if f"child-{i:02}" not in rows.known:
            found, seconds = setting.trained(trained, chosen[i], further)
            rows.add(f"child-{i:02}", {**found, "steps": further, "core_s": round(seconds, 1)})
    _alone(setting, rows, chosen, further, long)


def _alone(
    setting: Setting,
    rows: Rows,
    chosen: Sequence[Params],
    further: int,
    long: int,
) -> None:
    """Some of the parts without the network."""
    network = rows.known["network"]["core_s"]
    plan = [("equal", part, network / len(chosen)) for part in _spread(chosen, ALONE)]
    plan += [("long", part, network) for part in _spread(_spread(chosen, ALONE), long)]
    for name, part, more in plan:
        i = chosen.index(part)
        if f"alone-{i:02}-{name}" in rows.known:
            continue
        steps = round(further * (1 + more / rows.known[f"child-{i:02}"]["core_s"]))
        found, seconds = setting.trained(setting.inherited, part, steps)
        row = {"steps": steps, **found, "core_s": round(seconds, 1)}
        rows.add(f"alone-{i:02}-{name}", {**dict(_sizes(part.model_dump())), **row})


def judged(child: Params, weights: Path) -> Json:
    """100 Spearman of the cosines of every third pair with what people said, by split."""
    import torch
    from safetensors.torch import load_file

    from squeeze.students.encoder import Encoder

    encoder = Encoder(child)
    encoder.load_state_dict(load_file(weights))
    encoder.eval()

    def answer(feed: Any) -> Any:  # Any: arrays of ids and mask -> of embeddings
        with torch.no_grad():
            return encoder(*(torch.from_numpy(feed[n]) for n in child.inputs)).numpy()

    return {split: spearman(answer, split, EVERY) for split in ("dev", "test")}


def ndcg(scores: Sequence[float], accuracy: Sequence[float], top: int = TOP) -> float:
    """Of the `top` best-scored (more is better): their gains, discounted by log2 of the place, as a share of the best
    order's. A gain is accuracy from 0, the worst there is, to 1, the best (Jarvelin and Kekalainen, 2002)."""
    gains = (np.asarray(accuracy) - min(accuracy)) / (max(accuracy) - min(accuracy))
    discount = 1 / np.log2(np.arange(2, top + 2))
    order = np.argsort(-np.asarray(scores), kind="stable")[:top]
    best = np.sort(gains)[::-1][:top]
    return float((gains[order] * discount).sum() / (best * discount).sum())


def _told(rows: Rows) -> list[Json]:
    """All rows, and what follows from them."""
    made = list(rows.known.values())
    parts = [row for row in made if row["run"].startswith("part-")]
    found = [rows.known.get(row["run"].replace("part", "child")) for row in parts]
    pairs = [(part, child) for part, child in zip(parts, found, strict=True) if child]
    for score in SCORES:
        sign = -1 if score in _LOSSES else 1
        row: Json = {"case": CASE, "run": f"rank-{score}", "children": len(pairs)}
        if score != "loss":
            all_of = [sign * float(part[score]) for part in parts]
            row["tau_loss"] = _tau(all_of, [-part["loss"] for part in parts])
        given = [sign * float(part[score]) for part, _ in pairs]
        for split in ("dev", "test") if len(pairs) > TOP else ():
            accuracy = [child[split] for _, child in pairs]
            row[f"tau_{split}"] = _tau(given, accuracy)
            row[f"ndcg{TOP}_{split}"] = round(ndcg(given, accuracy), 3)
        made.append(row)
    if any(name.endswith("-long") for name in rows.known):
        made.append(_cost(rows))
    return made


def _tau(one: Sequence[float], two: Sequence[float]) -> float:
    return round(kendall_tau(one, two) or 0.0, 3)


def _cost(rows: Rows) -> Json:
    """Core seconds until one of all parts is chosen and trained: by the network, and by training each alone.

    How long a part alone takes until it is as good is read between its two trainings, along the logarithm of seconds;
    one that is not as good after the long one counts as that (`not_reached`), one that is after the shorter one as
    that (`sooner`).
    """
    known = rows.known
    network = known["network"]
    parts = network["parts"]
    names = [name[: -len("-long")] for name in known if name.endswith("-long")]
    needed, owns, shares = [], [], []
    for name in names:
        child = known[f"child-{name.split('-')[1]}"]
        equal, long = known[f"{name}-equal"], known[f"{name}-long"]
        owns.append(child["core_s"])
        shares.append((child["test"] - equal["test"]) / max(long["test"] - equal["test"], 1e-9))
        share = min(1.0, max(0.0, shares[-1]))
        needed.append(equal["core_s"] * (long["core_s"] / equal["core_s"]) ** share)
    route = network["core_s"] + network["asked_core_s"] + float(np.mean(owns))
    each = float(np.mean(needed))
    return {
        "case": CASE,
        "run": "cost",
        "network_route_core_s": round(route, 1),
        "alone_core_s_of_a_part": round(each, 1),
        "sooner": sum(share < 0 for share in shares),
        "not_reached": sum(share > 1 for share in shares),
        "parts": parts,
        "every_part_alone_core_s": round(parts * each, 1),
        "ratio": round(parts * each / route, 1),
    }


def _spread(parts: Sequence[Params], count: int) -> list[Params]:
    """So many of `parts`, evenly over the order of their operations, the ends among them."""

    def size(part: Params) -> tuple[int, int]:
        costs = part.costs(LENGTH)
        return costs.macs, costs.params

    order = sorted(parts, key=size)
    return [order[round(i)] for i in np.linspace(0, len(order) - 1, count)]


def _sizes(part: Json) -> tuple[tuple[str, int], ...]:
    return tuple((name, part[name]) for name in ("layers", "hidden", "heads", "ffn"))


def _core(clock: CoreSeconds, step: str) -> Json:
    return {"core_s": round(clock.found.get(step, math.nan), 1)}


if __name__ == "__main__":
    main()
