"""The same minutes of training in batches of other sizes: is a large one worth it on a CPU?

    python -m benchmarks.batch_sizes --cases fashion --minutes 5 --seeds 1 --batch-sizes 64 128 256

The searched student of benchmarks.inherited, whose options these are, begins anew with each size. The peak of the
learning rate grows with the root of the batch from the recipe's 0.4 at 128, since steps are clipped. Writes
benchmarks/results/batch_sizes.json, rows as benchmarks.inherited does, with `batch_size`, `lr` and `images_seen`.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks import results_file
from benchmarks.cases import ROOT
from benchmarks.inherited import METHODS, command_of, label, options, run_case
from squeeze.spec import DistillPart

RESULTS = ROOT / "benchmarks/results/batch_sizes.json"

Json = dict[str, Any]  # Any: JSON


def rows_of(name: str, given: argparse.Namespace) -> list[Json]:
    """The rows of all sizes."""
    usual = DistillPart()
    rows = list[Json]()
    for size in given.batch_sizes:
        lr = round(usual.lr * (size / usual.batch_size) ** 0.5, 3)
        changed = {"distill.batch_size": size, "distill.lr": lr}
        made = run_case(name, given, METHODS, changed, f"-batch{size}")
        rows += [
            {**row, "batch_size": size, "lr": lr, "images_seen": size * row["steps"]}
            for row in made
        ]
    return rows


def main() -> None:
    """Trains what is missing, writes the rows of each case."""
    parser = options(__doc__.split("\n")[0], METHODS)
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[64, 128, 256])
    parser.set_defaults(methods=["anew"])
    given = parser.parse_args()
    for name in given.cases:
        command = command_of("batch_sizes", name, given)
        command += f" --batch-sizes {' '.join(map(str, given.batch_sizes))}"
        results_file.write(RESULTS, command, rows_of(name, given), case=label(name, given))


if __name__ == "__main__":
    main()
