"""How far the ratio of two models moves while another process burns one core: a float model and its int8 form.

Comparisons with and without it take turns, so that a drift of the machine hits both. The load before each is in the
rows: on a machine that is not quiet, both are measured beside it.

python -m benchmarks.ratio_stability
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks import results_file
from benchmarks.cases import data
from squeeze.commands.asked import ask
from squeeze.measure.timing import compare
from squeeze.quant.rough import rough_int8

if TYPE_CHECKING:
    from collections.abc import Iterator

    from squeeze.measure.comparison import Comparison

RESULTS = Path(__file__).parent / "results" / "ratio_stability.json"
MODELS = {
    "fashion": "teacher-fashion/fashion_resnet.onnx",
    "resnet20": "teachers-cifar10/resnet20.onnx",
    "resnet8": "teachers-mlperf-tiny/ic_resnet8.onnx",
}
TURNS = 5
MAX_SECONDS = 8.0
MOST_PERCENT = 5.0
Json = dict[str, Any]  # Any: JSON


def main() -> None:
    """Measures every pair and puts this machine's rows into results/ratio_stability.json."""
    rows = [row for case, model in MODELS.items() for row in _rows(case, data(model))]
    results_file.write(RESULTS, "python -m benchmarks.ratio_stability", rows)
    for row in rows:
        print(row)


def _rows(case: str, model: Path) -> list[Json]:
    with tempfile.TemporaryDirectory() as folder:
        asked = ask(case, model, {}, Path(folder))
        taken, feed = asked.network, asked.sample
        assert taken is not None
        assert feed is not None
        int8 = Path(folder) / "int8.onnx"
        rough_int8(taken.model, feed, taken.interface, int8, activations="uint8")

        def taken_turn() -> tuple[Comparison, float]:
            load = os.getloadavg()[0]
            return compare(int8, taken.model, feed, taken.interface, max_seconds=MAX_SECONDS), load

        taken_turn()  # the first one warms up
        as_it_is, burnt = [], []
        for _ in range(TURNS):
            as_it_is.append(taken_turn())
            with one_core_burnt():
                burnt.append(taken_turn())
    return summary(case, {"as it is": as_it_is, "one core burnt": burnt})


def summary(case: str, turns: dict[str, list[tuple[Comparison, float]]]) -> list[Json]:
    """A row for each state: the median ratio of its turns, how far it is from the first state's, and how far the turn
    that is furthest from that is: what one comparison alone may be off."""
    ratios = {run: median(c.ratio for c, _ in made) for run, made in turns.items()}
    base = next(iter(ratios.values()))
    rows: list[Json] = []
    for run, made in turns.items():
        moved = 100 * (ratios[run] / base - 1)
        furthest = max((100 * (c.ratio / base - 1) for c, _ in made), key=abs)
        rows.append(
            {
                "case": case,
                "run": run,
                "ratio": round(ratios[run], 4),
                "ratios": [round(c.ratio, 4) for c, _ in made],
                "moved_percent": round(moved, 2),
                "furthest_turn_percent": round(furthest, 2),
                "within_goal": abs(moved) <= MOST_PERCENT,
                "steady": sum(c.steady for c, _ in made),
                "int8_p50_ms": round(median(c.model_p50_ms for c, _ in made), 4),
                "float_p50_ms": round(median(c.against_p50_ms for c, _ in made), 4),
                "load_before": [round(load, 1) for _, load in made],
            }
        )
    return rows


@contextmanager
def one_core_burnt() -> Iterator[None]:
    """Another process that never rests, wherever the system puts it."""
    burning = subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"])
    try:
        yield
    finally:
        burning.kill()
        burning.wait()


if __name__ == "__main__":
    main()
