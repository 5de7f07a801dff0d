"""Whole compiles for a demanded size: what the file lost, with students made for weights of fewer or of 8 bits.

    python -m benchmarks.sizes --case cifar-resnet56 --sizes 114KB 57KB --bits 4 --steps 5000

Each is a process of its own on one thread, with a cache that stays in build/bench/sizes: an interrupted one goes on.
`minutes` are those of the processor for all of it, search too, and answers of the teacher where no student of another
size or number of bits had them made; what ran beside it does not count. With the drop that is allowed by default the
rung that fits is rounded alone, whatever the student lost. Writes benchmarks/results/training.json (rows as those of
`benchmarks.inherited`, and `picked`).
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import subprocess
import sys
from typing import Any

from benchmarks import results_file
from benchmarks.cases import CASES, ROOT, cache_dir
from benchmarks.inherited import RESULTS

logger = logging.getLogger(__name__)
Json = dict[str, Any]  # Any: JSON


def compiled(case: str, size: str, seed: int, given: argparse.Namespace) -> Json:
    """One row. Raises RuntimeError with what the compile said where it wrote nothing."""
    known, folder = CASES[case], cache_dir() / "sizes" / case
    student = f"{size}-{given.bits}-{given.steps}-{given.speedup:g}x"
    name = f"{student}-{given.drop:g}-{given.quant_steps}-{seed}"
    kept = folder / f"{name}.json"
    if not kept.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "shrink.steps": given.steps,
            "search.bits": given.bits,
            "search.speedup": given.speedup,
            "quant.steps": given.quant_steps,
        }
        command = [sys.executable, "-m", "squeeze", "compile", str(known.teacher_path())]
        command += ["--calib", known.calib(), "--target", "host", "--drop", f"{given.drop:g}"]
        command += ["--size", size, "--seed", str(seed), "--threads", "1", "--json"]
        command += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        command += ["--cache", str(folder / "cache"), "-o", str(folder / name)]
        # Of the same student: what an earlier compile made is in the cache.
        earlier = [json.loads(one.read_text()) for one in folder.glob(f"{student}-*-{seed}.json")]
        paid, before = sum(one["minutes"] for one in earlier), _processor_s()
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        # 4: a package that misses its goal was written; its row is one too.
        if ran.returncode not in (0, 4):
            raise RuntimeError(f"exit {ran.returncode}: {ran.stderr[-400:]}")
        row = {
            "case": label(case, size, given.bits),
            "method": "inherited",
            "seed": seed,
            "minutes": round(paid + (_processor_s() - before) / 60, 1),
            "steps": given.steps,
            **row_of(json.loads(ran.stdout)),
        }
        kept.write_text(json.dumps(row), encoding="utf-8")
    found: Json = json.loads(kept.read_text(encoding="utf-8"))
    return found


def label(case: str, size: str, bits: int) -> str:
    """What the rows of a case are called."""
    return f"{case}-{size} at {bits} bits"


def row_of(said: Json) -> Json:
    """What a compile's manifest, with its verdict, tells of the file that it picked."""
    picked = said["verdict"]["picked"]
    teacher, student = said["measurements"]["teacher"], said["measurements"]["student"]
    return {
        "why": next(one["summary"] for one in said["steps"] if one["name"] == "shrink"),
        "picked": picked,
        "teacher_metric": teacher["metric"],
        "metric": student["metric"],
        "bytes": student["file_bytes"],
        "teacher_bytes": teacher["file_bytes"],
        "latency_p50_ms": student["latency_p50_ms"],
        "teacher_latency_p50_ms": student["latency_p50_ms"] * said["latency_ratio"][picked],
    }


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Compiles for each size and seed, and writes the rows of each."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--case", choices=CASES, default="fashion")
    parser.add_argument("--sizes", nargs="+", default=["216KB"])
    parser.add_argument("--bits", type=int, choices=(8, 4, 3, 2), default=4)
    parser.add_argument("--steps", type=int, default=833)
    parser.add_argument("--speedup", type=float, default=8.0)
    parser.add_argument("--drop", type=float, default=20.0, help="a trained rung follows beyond it")
    parser.add_argument("--quant-steps", type=int, default=600, help="of a trained rung")
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    for size in given.sizes:
        for seed in range(given.seeds):
            logger.info("%s", compiled(given.case, size, seed, given))
        # Those of earlier commands, with other steps and drops, stay.
        found = (cache_dir() / "sizes" / given.case).glob(f"{size}-{given.bits}-*.json")
        rows = [json.loads(one.read_text(encoding="utf-8")) for one in sorted(found)]
        command = (
            f"python -m benchmarks.sizes --case {given.case} --sizes {size} --bits {given.bits} "
            f"--steps {given.steps} --speedup {given.speedup:g} --drop {given.drop:g} "
            f"--quant-steps {given.quant_steps} --seeds {given.seeds}"
        )
        results_file.write(RESULTS, command, rows, case=label(given.case, size, given.bits))


if __name__ == "__main__":
    main()
