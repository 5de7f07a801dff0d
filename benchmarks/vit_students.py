"""A student that is a vision transformer beside a convolutional one of equal latency, of the vision transformer in
examples/vit.

python -m benchmarks.vit_students [--minutes M] [--speedup S] [--folder DIR]   replaces this machine's rows in
results/vit_students.json

Both are searched as `squeeze compile` does it, with `search.families` naming one family; the convolutional one with the
transformer's latency for a wish. The best-scored around it are timed in turns with the transformer, and the best-scored
within a tenth of its latency is taken, or the nearest. Each learns from the teacher for as long, M
minutes of one core: steps follow from the time of one. Rows: `teacher`, in float, and its int8 file; each student in
float, and `-int8`, what `squeeze quantize` makes of it. Metric: top-1 of the files on the bundled test images. Latency:
all files in turns in one process, one thread.

With --folder a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import results_file
from benchmarks.interleave import interleave

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.run import At, Run
    from squeeze.search import SearchResult
    from squeeze.spec import ArchSpec, DistillPart, QuantPart
    from squeeze.steps.problem import Source

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "vit_students.json"
TEACHER, DATA = ROOT / "examples" / "vit" / "teacher", "fashion"
SEED, ROUNDS, CALLS, OPSET = 0, 60, 10, 20
NEAR, AROUND = 1.1, 4  # latencies that are called equal; how many such steps are timed on each side
_TIMED_STEPS = 6
logger = logging.getLogger(__name__)

Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class Made:
    """A file and what is known of the network in it."""

    file: Path
    facts: Json


def main() -> None:
    """Searches, trains, writes the files, judges them and writes the rows."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=6, help="of training for each student")
    parser.add_argument("--speedup", type=float, default=8, help="over the float teacher")
    parser.add_argument("--folder", type=Path, help="where finished steps stay")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        rows = _rows(folder, given.minutes, given.speedup)
    case = f"fashion-{given.speedup:g}x"
    command = (
        f"python -m benchmarks.vit_students --minutes {given.minutes:g} --speedup {given.speedup:g}"
    )
    facts = {"seed": SEED, "threads": 1, "rounds": ROUNDS, "calls": CALLS, "minutes": given.minutes}
    results_file.write(RESULTS, command, [{"case": case, **r} for r in rows], case=case, run=facts)


def _rows(folder: Path, minutes: float, speedup: float) -> list[Json]:
    from squeeze import students
    from squeeze.spec import load_recipe
    from squeeze.steps import begin, load

    recipe = load_recipe("balanced", {"seed": SEED})
    run = begin(recipe, folder / "cache", 1, "cpu", None)
    case = load(run, str(TEACHER), None, DATA, None)
    archs = _pair(run, case, speedup)
    cost = {"params": case.teacher.params, "macs": case.teacher.macs}
    made = {"teacher": Made(case.net.file, cost)}
    for family, arch in archs.items():
        costs = students.cost(arch)
        steps = _steps(folder / f"{speedup:g}x-{minutes:g}-{family}.json", arch, minutes)
        part = recipe.distill.model_copy(update={"steps": steps})
        logger.info("%s: %s, %s steps", family, arch.params, steps)
        facts = {"params": costs.params, "macs": costs.macs, "steps": steps, "arch": _own(arch)}
        made[family] = Made(_trained(run, case, part, arch), facts)
    made |= _quantised(run, made)
    return _judged(case, made)


def _pair(run: Run, case: Case, speedup: float) -> dict[str, ArchSpec]:
    """The transformer that is picked, and the convolutional student that is as fast."""
    from squeeze import goal
    from squeeze.spec import ArchSpec, load_recipe
    from squeeze.steps import front, reach
    from squeeze.steps.searching import searched

    def of(family: str, wish: float) -> SearchResult:
        keys = {"search.speedup": wish, "search.families": [family], "seed": SEED}
        recipe = load_recipe("balanced", keys)
        return searched(one, case, device, recipe, front(one, case, device, goal.of(recipe)))

    recipe = load_recipe("balanced")
    (device,) = reach(["host"], recipe, data=True)
    one = run.on_one_device()
    (picked,) = (c for c in of("vit", speedup).candidates if c["picked"])
    ratio = picked["measured_ratio"]
    others = of("resnet", max(1.0, 1 / ratio)).candidates
    known = [c for c in others if c["measured_ratio"] is not None]
    scale = np.median([c["measured_ratio"] / c["estimate_ratio"] for c in known])
    # They come with the best score first: the first of each step of guessed latency.
    steps: dict[int, Json] = {}
    for other in others:
        place = round(np.log(scale * other["estimate_ratio"] / ratio) / np.log(NEAR))
        if abs(place) <= AROUND:
            steps.setdefault(place, other)
    near = list(steps.values()) or known
    vit = ArchSpec(family="vit", params=picked["params"])
    found = [ArchSpec(family="resnet", params=c["params"]) for c in near]
    step = one.step(
        "latencies",
        latencies,
        measured_on=device,
        case=case.blind(),
        archs=[vit, *found],
        part=recipe.quant,
    )
    ratios = step.result["ratios"]
    inside = [i for i, r in enumerate(ratios) if _apart(r, 1) <= np.log(NEAR)]
    inside.sort(key=lambda i: -near[i]["score"])
    chosen = inside[0] if inside else int(np.argmin([_apart(r, 1) for r in ratios]))
    logger.info("the convolutional one takes %.2f times as long, untrained", ratios[chosen])
    return {"vit": vit, "resnet": found[chosen]}


def latencies(
    at: At, *, device: Device, case: Case, archs: list[ArchSpec], part: QuantPart
) -> Json:
    """Int8 files of untrained students in turns: how many times as long as the first one the others take."""
    from squeeze import runtimes
    from squeeze.spec import Goal
    from squeeze.steps.searching import latency_share

    files = []
    for i, arch in enumerate(archs):
        (at.folder / str(i)).mkdir()
        latency_share(device, case, part, arch, at.folder / str(i), Goal())
        files.append(at.folder / str(i) / "int8.onnx")
    sessions = {str(i): runtimes.session(file, threads=1) for i, file in enumerate(files)}
    _, taken = interleave(_calls(case, sessions), _sample(case), rounds=ROUNDS, calls=CALLS)
    ratios = [taken[name].p50 for name in sessions][1:]
    return {"summary": f"{len(archs)} timed", "ratios": ratios}


def _sample(case: Case) -> np.ndarray:
    return np.asarray(next(iter(case.data.feed(case.data.calibrate, 0, 1).values())))


def _calls(
    case: Case, sessions: dict[str, Any]
) -> dict[str, Any]:  # Any: sessions, and their calls
    taken = case.interface.inputs[0].name
    return {n: lambda one, s=s: s.run(None, {taken: one}) for n, s in sessions.items()}


def _apart(a: float, b: float) -> float:
    return float(abs(np.log(a / b)))


def _steps(kept: Path, arch: ArchSpec, minutes: float) -> int:
    """Of a training that takes so long on one core, by forward and backward passes. Remembered, for times differ from
    run to run."""
    if kept.exists():
        return int(json.loads(kept.read_text())["steps"])
    import torch

    from squeeze import students
    from squeeze.spec import DistillPart

    torch.set_num_threads(1)
    student, size = students.build(arch).train(), DistillPart().batch_size
    x = torch.randn(size, *arch.params["input_shape"])

    def step() -> float:
        begun = time.process_time()
        student(x).square().mean().backward()
        return time.process_time() - begun

    step()
    steps = int(60 * minutes / np.median([step() for _ in range(_TIMED_STEPS)]))
    kept.write_text(json.dumps({"steps": steps}))
    return steps


def _trained(run: Run, case: Case, part: DistillPart, arch: ArchSpec) -> Path:
    """The exported file."""
    from squeeze.steps.exporting import export_student
    from squeeze.steps.float_student import distilled

    begun = time.process_time()
    trained = distilled(run, case, part, arch)
    logger.info("%.0f s of a core, where nothing of it was found", time.process_time() - begun)
    made = run.step(
        "export", export_student, trained=trained, arch=arch, case=case.blind(), opset=OPSET
    )
    return made.path / "student.onnx"


def _own(arch: ArchSpec) -> Json:
    """The parameters of the family itself."""
    from squeeze.students.student_spec import StudentSpec

    return {k: v for k, v in arch.params.items() if k not in StudentSpec.model_fields}


def quantised(at: At, *, source: Source) -> Json:
    """Writes what `squeeze quantize` makes of a file. Raises RuntimeError where it makes none."""
    out = at.folder / "int8.onnx"
    command = [sys.executable, "-m", "squeeze", "quantize", source.path, "--calib", DATA]
    done = subprocess.run([*command, "-o", str(out)], capture_output=True, text=True)
    if not out.exists():
        raise RuntimeError(done.stderr.strip()[-300:])
    return {"summary": done.stdout.strip().splitlines()[-1]}


def _quantised(run: Run, made: dict[str, Made]) -> dict[str, Made]:
    from squeeze.steps.problem import Source
    from squeeze.workdir import digest_file

    found = {}
    for name, one in made.items():
        source = Source(str(one.file), None, digest_file(one.file))
        step = run.step("int8", quantised, source=source)
        found[f"{name}-int8"] = replace(one, file=step.path / "int8.onnx")
    return found


def _judged(case: Case, made: dict[str, Made]) -> list[Json]:
    from squeeze import runtimes

    sessions = {name: runtimes.session(one.file, threads=1) for name, one in made.items()}
    split, taken = case.data.evaluate, case.interface.inputs[0].name
    x = np.asarray(case.data.feed(split, 0, len(split))[taken])
    metric = {}
    for name, session in sessions.items():
        answers = [session.run(None, {taken: x[i : i + 100]})[0] for i in range(0, len(x), 100)]
        right = np.concatenate(answers).argmax(1) == split.y
        metric[name] = round(100 * float(right.mean()), 2)
    timing, _ = interleave(_calls(case, sessions), x[:1], rounds=ROUNDS, calls=CALLS)
    rows: list[Json] = []
    for name, one in made.items():
        row: Json = {"run": name, **one.facts}
        row |= {"metric": metric[name], "teacher_metric": metric["teacher"]}
        row["bytes"] = one.file.stat().st_size
        row |= {
            "latency_p50_ms": round(timing[name].p50_ms, 4),
            "teacher_latency_p50_ms": round(timing["teacher"].p50_ms, 4),
        }
        rows.append(row)
        logger.info("%s", row)
    return rows


if __name__ == "__main__":
    main()
