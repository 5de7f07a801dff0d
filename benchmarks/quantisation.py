"""Students and teachers at 8, 4, 3 and 2 bits, pruned ones, and what old CPUs make of them: accuracy, bytes, latency.

    python -m benchmarks.quantisation                    everything; replaces this machine's rows and the tables
    python -m benchmarks.quantisation --only CASE        the name of a case: replaces this machine's rows of it alone,
                                                         needs its trained files alone; --no-timing: without latencies
    python -m benchmarks.quantisation --only resnet56    cases or networks with this text; writes nothing
    python -m benchmarks.quantisation --no-timing        accuracy alone; writes nothing

What was trained comes from `benchmarks.qat_images`, `benchmarks.qat_structures` and `benchmarks.qat_device`, what was
pruned from `benchmarks.pruning`. The pairs of `benchmarks.quant_pairs` are a case of their own, written when it is
named: a run of everything leaves them as they are. build/bench/quantised keeps files, outputs and times: delete it to
have all of them made anew. Each row is a file that ONNX Runtime ran on all test images (10,000; 500 of the wake words).

method   post-training            weights to nearest, biases corrected; first and last layer at 8 bits, as everywhere
         post-training-adaround   the same with AdaRound
         quantised-distillation   trained at uniform levels with learned steps
         differentiable           learned codebooks, the weights stay
         mixed                    codebooks and weights by turns
         mixed-redistributed      the same, with more levels where gradients are larger
         pruned                   fewer channels, trained after that
fp32_metric       the same student in float, trained on for about as many steps as the quantised ones (`fp32_steps`,
                  `fp32_source`)
same_top1         share of the images on which the file says what the network said in training;
                  `near_ties`: of the `other_top1` images, those whose two best logits were within a step of an 8-bit
                  grid over all logits; `float32_...`: against float32 arithmetic on the same integers, 2,000 images
latency_p50_ms    batch 1, 1 thread, taking turns with the fp32 student and the teacher; `latency_ratio_to_fp32`
old_cpu_metric    on x86 CPUs without VNNI, by ONNX Runtime's own kernels: emulated, or proven equal
"""

from __future__ import annotations

import argparse
import json
import logging
import shlex
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks import quant_files, quant_pairs, quantisation_table, results_file
from benchmarks.cases import ROOT
from benchmarks.quant_files import FILES, Given, Json
from benchmarks.quant_rows import (
    accuracy,
    in_training,
    old,
    optimised,
    row_of,
    sizes,
    timed,
)
from benchmarks.quant_wake_words import wake_words
from squeeze import graph

RESULTS = Path(__file__).parent / "results" / "quantisation.json"
PRUNED = ROOT / "build/bench/pruned"
SEEDS, BITS = (0, 1, 2), (8, 4, 3, 2)
STUDENTS = {"resnet20": "cifar-resnet20", "fashion20": "fashion-resnet20"}
CURVE, SMALLER = "cifar-resnet56-curve", "cifar-resnet56-pruned"
# Points of the curve that are quantised after training: network -> bits. The others were trained.
CURVE_BITS = {
    "curve8": (4, 3),
    "curve15": (4, 3),
    "curve30": (2,),
    "curve60": (2,),
    "curve100": (3,),
}
logger = logging.getLogger(__name__)


def main() -> None:
    """Builds, runs, writes."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logger.setLevel(logging.INFO)
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", default="", help="cases or networks with this text")
    parser.add_argument("--no-timing", action="store_true")
    given = parser.parse_args()
    case = given.only if given.only in CASES else None
    whole = not (given.only or given.no_timing)
    rows = []
    for row in every_row() if case is None else CASES[case](quant_files.trained()):
        names = (row["case"], row.get("network", ""))
        if not any(given.only in name for name in names):
            continue
        if not given.no_timing:
            row |= timed(row)
        logger.info("%s", {k: v for k, v in row.items() if k not in ("path", "fp32_path")})
        rows.append(row)
    if whole or case:
        shown = [{k: v for k, v in row.items() if not k.endswith("path")} for row in rows]
        command = shlex.join(["python", "-m", "benchmarks.quantisation", *sys.argv[1:]])
        facts = quant_pairs.facts(quant_files.trained()) if case == quant_pairs.CASE else FACTS
        document = results_file.write(RESULTS, command, shown, case=case, **facts)
        RESULTS.with_suffix(".md").write_text(quantisation_table.text(document), encoding="utf-8")


FACTS: dict[str, Json] = {
    "training": {
        "machine": "NVIDIA H200, torch 2.11",
        "batch": 256,
        "teacher": "cached logits of 24 shifted and mirrored views of each image",
    }
}


def every_row() -> Iterator[Json]:
    """Row after row, each with the paths of its file and of its float form; timing is left to the caller."""
    left = quant_files.trained()
    for case, rows in CASES.items():
        if case != quant_pairs.CASE:
            yield from rows(left)


def students(network: str, left: dict[str, Given]) -> Iterator[Json]:
    """A student of ResNet-20 size: after training at all bits, and all that was trained."""
    case = STUDENTS[network]
    for seed in SEEDS:
        continued = left[f"{network}/continued/32/{seed}"]
        source = quant_files.float_file(continued)
        facts = {"fp32_source": "continued", "fp32_steps": continued.facts["steps"]}
        for bits in BITS:
            yield from after_training(case, network, source, seed, (bits,), (False, True), facts)
        for one in left.values():
            found = one.facts
            if found["network"] != network or found["seed"] != seed:
                continue
            if found.get("method") in (None, "continued", "float"):
                continue
            yield in_training(case, one, source, facts)


def curve(left: dict[str, Given]) -> Iterator[Json]:
    """Accuracy against bytes: the teacher after training, smaller students after training or trained."""
    teacher = optimised(quant_files.teacher_path("resnet56"), "resnet56-fp32")
    facts: Json = {"fp32_source": "teacher"}
    yield from after_training(CURVE, "resnet56", teacher, 0, (8,), (False,), facts)
    yield from after_training(CURVE, "resnet56", teacher, 0, BITS, (True,), facts)
    for described in sorted(PRUNED.glob("*.json")):
        known: Json = {"fp32_source": "pruned"}
        source, name = pruned_file(described), described.stem
        yield from after_training(CURVE, name, source, 0, BITS[1:], (True,), known)
    for network, bits in CURVE_BITS.items():
        origin = left[f"{network}/float/32/0"]
        source = quant_files.float_file(origin)
        facts = {"fp32_source": "not trained further", "fp32_steps": origin.facts["steps"]}
        yield from after_training(CURVE, network, source, 0, bits, (True,), facts)
        for one in left.values():
            if one.facts["network"] == network and one.facts.get("method") not in (None, "float"):
                yield in_training(CURVE, one, source, facts)


def pruned_file(described: Path) -> Path:
    """The float file that belongs to a description of `benchmarks.pruning`."""
    source = FILES / described.with_suffix(".onnx").name
    if not source.is_file():
        model = quant_files.without_unused(graph.load(described.with_suffix(".onnx")))
        graph.save(model, source)
    return source


def after_training(
    case: str,
    network: str,
    source: Path,
    seed: int,
    widths: tuple[int, ...],
    kinds: tuple[bool, ...],
    facts: Json,
) -> Iterator[Json]:
    """Rows of post-training quantisation; `kinds`: with AdaRound or without."""
    x = quant_files.images(quant_files.domain(network)).calibration
    for bits in widths:
        for adaround in kinds:
            method = "post-training-adaround" if adaround else "post-training"
            name = f"{network}/{method}/{bits}/{seed}"
            path = quant_files.post_training_file(source, name, x, bits, adaround=adaround)
            yield row_of(case, network, method, bits, seed, path, source, facts)


def pruned() -> Iterator[Json]:
    """The teacher with fewer channels, in float and at 8 bits, each against the whole one of the same kind."""
    x = quant_files.images("cifar").calibration
    teacher = optimised(quant_files.teacher_path("resnet56"), "resnet56-fp32")
    name = "resnet56/post-training/8/0"
    whole = teacher, quant_files.post_training_file(teacher, name, x, 8, adaround=False)
    for described in sorted(PRUNED.glob("*.json")):
        facts: Json = json.loads(described.read_text())
        source = pruned_file(described)
        known = {
            "macs_ratio": round(facts["macs_ratio"], 3),
            "training_images": facts["images_so_far"],
            "training_seconds": facts["seconds"],
            "untrained_metric": round(100 * facts["untrained_metric"], 2),
        }
        name = f"{described.stem}/post-training/8/0"
        int8 = quant_files.post_training_file(source, name, x, 8, adaround=False)
        for path, bits, base in ((source, 32, whole[0]), (int8, 8, whole[1])):
            yield {
                "case": SMALLER,
                "network": described.stem,
                "method": "pruned",
                "bits": bits,
                "seed": facts["seed"],
                "metric": accuracy(path, "cifar"),
                "fp32_metric": accuracy(source, "cifar"),
                "teacher_metric": accuracy(quant_files.teacher_path("resnet56"), "cifar"),
                "unpruned_metric": accuracy(base, "cifar"),
                "bytes": path.stat().st_size,
                "fp32_bytes": source.stat().st_size,
                "teacher_bytes": quant_files.teacher_path("resnet56").stat().st_size,
                **known,
                **(sizes(path) | old(path, "cifar") if bits == 8 else {}),
                "path": path,
                "fp32_path": base,
                "teacher_path": quant_files.teacher_path("resnet56"),
            }


# Each case alone, from all that was trained.
CASES: dict[str, Callable[[dict[str, Given]], Iterator[Json]]] = {
    **{case: partial(students, network) for network, case in STUDENTS.items()},
    CURVE: curve,
    "vww-mobilenetv1": lambda left: wake_words(),
    SMALLER: lambda left: pruned(),
    quant_pairs.CASE: quant_pairs.rows,
}

if __name__ == "__main__":
    main()
