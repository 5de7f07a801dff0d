"""What the quantisation benchmark says about a file: accuracy on all test images, sizes, old CPUs, latency.

Outputs and what took long are kept beside the files, so that a run that was cut off goes on where it was.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import quant_files
from benchmarks.feeds import latencies, optimise
from benchmarks.quant_files import FILES, Given, Json
from squeeze import graph, runtimes
from squeeze.account.sizes import account
from squeeze.measure import compared
from squeeze.old_x86.emulation import emulated

RUNS = 200
FLOAT_IMAGES = 2000
Array = NDArray[np.floating]


def row_of(
    case: str,
    network: str,
    method: str,
    bits: int,
    seed: int,
    path: Path,
    source: Path,
    facts: Json,
) -> Json:
    """What is known of a file without timing it."""
    images = quant_files.domain(network)
    teacher = quant_files.teacher_path(network)
    return {
        "case": case,
        "network": network,
        "method": method,
        "bits": bits,
        "seed": seed,
        "metric": accuracy(path, images),
        "fp32_metric": accuracy(source, images),
        "teacher_metric": accuracy(teacher, images),
        "bytes": path.stat().st_size,
        "fp32_bytes": source.stat().st_size,
        "teacher_bytes": teacher.stat().st_size,
        **sizes(path),
        **facts,
        **(old(path, images) if seed == 0 else {}),
        "path": path,
        "fp32_path": source,
        "teacher_path": teacher,
    }


def in_training(case: str, one: Given, source: Path, facts: Json) -> Json:
    """The row of a network that was trained at quantised weights."""
    found = one.facts
    path = quant_files.trained_file(one)
    steps = {"steps": found["steps"], **facts}
    network, method = found["network"], found["method"]
    row = row_of(case, network, method, found["bits"], found["seed"], path, source, steps)
    return {**row, **agreement(path, quant_files.domain(network), one)}


def sizes(path: Path) -> Json:
    """As the formula counts a quantised file."""
    found = account(path)
    return {
        "analytic_bytes": round(found.analytic_bytes),
        "huffman_mean_bits": round(found.mean_bits, 3),
        "stored_bits": round(found.stored_bits, 3),
    }


def agreement(path: Path, images: str, one: Given) -> Json:
    """With what the network said in training, and for seed 0 with float32 arithmetic on the same integers."""
    outputs = logits(path, images)
    known = _compared(outputs, one.arrays["logits"].astype(np.float64), "")
    if one.facts["seed"] != 0:
        return known
    kept = FILES / f"{path.stem}-qdq.npy"
    if not kept.is_file():
        plain = runtimes.session(quant_files.reference_file(one), optimise=False)
        np.save(kept, runtimes.run(plain, quant_files.images(images).test[:FLOAT_IMAGES]))
    return known | _compared(outputs[:FLOAT_IMAGES], np.load(kept), "float32_")


def _compared(outputs: Array, said: NDArray[np.floating], name: str) -> Json:
    differs = outputs.argmax(1) != said.argmax(1)
    ordered = np.sort(said, axis=1)
    near = ordered[:, -1] - ordered[:, -2] <= np.ptp(said) / 255
    apart = (outputs - said).astype(np.float64)
    return {
        f"{name}same_top1": round(float(1 - differs.mean()), 4),
        f"{name}other_top1": int(differs.sum()),
        f"{name}near_ties": int((differs & near).sum()),
        f"{name}logits_rms": round(float(np.sqrt(np.mean(apart**2)) / said.std()), 5),
    }


def old(path: Path, images: str) -> Json:
    """On CPUs without VNNI, whether these are those of ONNX Runtime or of our functions."""
    marked = path.with_suffix(".old.json")
    if not marked.is_file():
        found = emulated(path)
        known: Json = {"old_cpu_source": "proven equal", "old_cpu_metric": accuracy(path, images)}
        if found.layers:
            other = path.with_suffix(".old.onnx")
            other.write_bytes(found.model)
            known = {"old_cpu_source": "emulated", "old_cpu_metric": accuracy(other, images)}
            known["old_cpu_layers_at_risk"] = len(found.layers)
        marked.write_text(json.dumps(known))
    return dict(json.loads(marked.read_text()))


def logits(path: Path, images: str) -> Array:
    """Of all test images; kept beside the files."""
    kept = FILES / f"{path.stem}.npy"
    if not kept.is_file():
        np.save(kept, runtimes.run(path, quant_files.images(images).test))
    return np.asarray(np.load(kept))


def accuracy(path: Path, images: str) -> float:
    """In percent."""
    right = logits(path, images).argmax(1) == quant_files.images(images).labels
    return round(100 * float(right.mean()), 2)


def optimised(path: Path, name: str) -> Path:
    """A teacher's file after the float passes."""
    made = FILES / f"{name}.onnx"
    if not made.is_file():
        FILES.mkdir(parents=True, exist_ok=True)
        model = graph.load(path)
        optimise(model, quant_files.images("cifar").calibration)
        graph.save(model, made)
    return made


def timed(row: Json) -> Json:
    """Latency of the row's file by turns with the float student (or unpruned network) and the teacher."""
    if "path" not in row:
        return {}
    kept: Path = row["path"].with_suffix(f".{row['case']}.latency.json")
    if kept.is_file():
        return dict(json.loads(kept.read_text()))
    sample = quant_files.images(quant_files.domain(row["network"])).test[:1]
    files = {"own": row["path"], "fp32": row["fp32_path"], "teacher": row["teacher_path"]}
    found = latencies(files, sample, RUNS)
    key = "latency_ratio_to_unpruned" if row["method"] == "pruned" else "latency_ratio_to_fp32"
    times = {
        "latency_p50_ms": round(found["own"].p50_ms, 4),
        key: round(compared(found["own"], found["fp32"]).ratio, 3),
        "latency_ratio_to_teacher": round(compared(found["own"], found["teacher"]).ratio, 3),
    }
    kept.write_text(json.dumps(times))
    return times
