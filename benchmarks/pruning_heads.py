"""What heads and channels of a sentence encoder (all-MiniLM-L6-v2) are worth: one cut each, with no training after it.

    python -m benchmarks.pruning_heads --pairs 300

`distillation` as `prune.importance`, for the whole network and layer by layer, beside parts drawn at random. Replaces
this machine's rows in results/pruning_heads.json: Spearman's correlation of cosines with the labels of the first pairs
of the STS benchmark's test split in points, and the mean cosine with the whole encoder's embeddings. Needs
$SQUEEZE_DATA.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks import results_file
from benchmarks.cases import data
from benchmarks.sentence_encoder import Feed, Ids, embeddings, export, padded, sentences
from squeeze import graph
from squeeze.prune.encoders import IMPORTANCES, Parts, Seen
from squeeze.prune.encoders.cut import Cut, cut
from squeeze.prune.encoders.planning import plan
from squeeze.students.encoder import Encoder
from squeeze.train.supernet.inherited import encoder_of

RESULTS = Path(__file__).parent / "results" / "pruning_heads.json"
SEED, TEXTS, BATCH, TOKENS = 0, 128, 32, 32
SHARES = (0.1, 0.2, 0.33, 0.5)
logger = logging.getLogger(__name__)

Json = dict[str, Any]  # Any: JSON
Scope = Literal["global", "group"]


def main() -> None:
    """See above."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1379)
    pairs = parser.parse_args().pairs
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        export(Path(folder) / "model.onnx")
        encoder = encoder_of(graph.load(Path(folder) / "model.onnx"))
    sides = [sentences("test", side)[:pairs] for side in ("a", "b")]
    labels = scores_of(pairs)
    whole = [embedded(encoder, rows) for rows in sides]
    rows = [row(None, "whole", "global", whole, whole, labels)]
    logger.info("%s", rows[-1])
    for name, scope, parts in importances(encoder):
        for share in SHARES:
            stays = plan(parts, encoder.params, tokens=TOKENS, share=share, scope=scope)
            made = cut(encoder, stays, TOKENS)
            found = [embedded(made.module, side) for side in sides]
            rows.append(row(made, name, scope, found, whole, labels))
            logger.info("%s", rows[-1])
    command = f"python -m benchmarks.pruning_heads --pairs {pairs}"
    results_file.write(RESULTS, command, rows, seed=SEED, pairs=pairs, tokens=TOKENS)


def importances(encoder: Encoder) -> list[tuple[str, Scope, Parts]]:
    """Name, scope and scores."""
    texts = sentences("train", "a")[:TEXTS]
    feeds = [padded(texts[i : i + BATCH], TOKENS) for i in range(0, TEXTS, BATCH)]
    scored = IMPORTANCES["distillation"](encoder, [Seen(tensors(f)) for f in feeds], seed=SEED)
    random = np.random.default_rng(SEED)
    drawn = Parts(
        [random.random(w.heads) for w in encoder.params.widths],
        [random.random(w.ffn) for w in encoder.params.widths],
    )
    # By the same share of each layer: of random numbers none compares for what it saves.
    return [
        ("distillation", "global", scored),
        ("distillation", "group", scored),
        ("random", "group", drawn),
    ]


def embedded(encoder: Encoder, rows: Ids) -> NDArray[np.float32]:
    """[sentences, width]."""

    def run(feed: Feed) -> NDArray[np.float32]:
        with torch.no_grad():
            found: NDArray[np.float32] = encoder(*tensors(feed)).numpy()
        return found

    return embeddings(run, rows)


def tensors(feed: Feed) -> tuple[torch.Tensor, ...]:
    """In the order of the encoder's inputs."""
    return tuple(torch.from_numpy(feed[name]) for name in ("input_ids", "attention_mask"))


def scores_of(pairs: int) -> NDArray[np.float64]:
    """The labels of the first pairs of the test split."""
    found: NDArray[np.float64] = np.load(data("text/stsb_en_tokens.npz"))["test_score"][:pairs]
    return found


def row(
    made: Cut | None,
    name: str,
    scope: Scope,
    found: list[NDArray[np.float32]],
    whole: list[NDArray[np.float32]],
    labels: NDArray[np.float64],
) -> Json:
    """Of one cut."""
    cosines = (found[0] * found[1]).sum(1)
    widths = () if made is None else made.module.params.widths
    return {
        "importance": name,
        "scope": scope,
        "macs_removed": 0.0 if made is None else round(made.ratio, 4),
        "heads": [w.heads for w in widths],
        "channels": [w.ffn for w in widths],
        "spearman": round(100 * float(spearmanr(cosines, labels).statistic), 2),
        "cosine": round(
            float(np.mean([(a * b).sum(1) for a, b in zip(found, whole, strict=True)])), 4
        ),
    }


if __name__ == "__main__":
    main()
