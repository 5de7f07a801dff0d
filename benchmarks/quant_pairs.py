"""Levels that gradients share out against 2^b levels for every layer: pairs of trainings that differ in nothing else.

A pair has the same float student, the same batches in the same order and the same number of steps; `mixed` begins
with 2^b levels in each layer, `mixed-redistributed` with as many in all, moved by the norms of gradients (Polino et
al. 2018, section 3.2). Small enough for a CPU: one core for about an hour. To make and write this case alone:

    python -m benchmarks.qat_images fashion
    python -m benchmarks.qat_structures
    python -m benchmarks.qat_device build/bench/qat build/bench/qatdata build/bench/qat-cpu \\
        --networks fashion20-half --images 9600 --views 1 --batch 64 --float-epochs 3 --quant-epochs 1.6 --wave 2
    python -m benchmarks.quantisation --only fashion-resnet20-half --no-timing

Trainings that were cut off go on with the pair that is missing. The last line replaces this machine's rows of this case
in results/quantisation.json, leaves all others, and writes the tables anew.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import stats

from benchmarks import quant_files
from benchmarks.quant_files import Given, Json
from benchmarks.quant_rows import in_training

CASE, NETWORK = "fashion-resnet20-half", "fashion20-half"
PLAIN, MOVED = "mixed", "mixed-redistributed"
CONFIDENCE = 0.95


def rows(left: dict[str, Given]) -> Iterator[Json]:
    """A row for each trained file, with its pair's float student."""
    for one in left.values():
        found = one.facts
        if found["network"] != NETWORK or found["method"] not in (PLAIN, MOVED):
            continue
        origin = left[f"{NETWORK}/float/32/{found['seed']}"]
        about: Json = {"fp32_source": "not trained further", "fp32_steps": origin.facts["steps"]}
        if "levels" in found:
            about["levels"] = found["levels"]
        yield in_training(CASE, one, quant_files.float_file(origin), about)


def facts(left: dict[str, Given]) -> Json:
    """How the pairs were trained; the same for all of them."""
    said = [one.facts["training"] for one in left.values() if one.facts["network"] == NETWORK]
    if any(other != said[0] for other in said):
        raise ValueError(f"{NETWORK}: pairs of different trainings; train them all with one line")
    return {"training": said[0]}


def text(found: list[Json], training: Json) -> list[str]:
    """The pairs as a table, and the difference with its spread over seeds."""
    if not found:
        return []
    by = {(row["method"], row["bits"], row["seed"]): row for row in found}
    pairs = [
        (plain, by[MOVED, bits, seed])
        for (method, bits, seed), plain in sorted(by.items(), key=lambda item: item[0][1:])
        if method == PLAIN and (MOVED, bits, seed) in by
    ]
    first = pairs[0][0]
    lines = [
        f"## {CASE}: levels of codebooks moved by gradients, in pairs\n",
        f"A student of half the channels, trained on {training['machine']} with torch {training['torch']}: the first"
        f" {training['images']:,} images (views of each: {training['views']}), batches of {training['batch']};"
        f" {first['fp32_steps']:,} steps in fp32 (not trained further), {first['steps']:,} at quantised weights. A pair"
        " shares the float student and every batch. Top-1 in % on all 10,000 test images.\n",
        f"| bits | seed | fp32 | {PLAIN} | {MOVED} | points | bytes | bytes, moved | levels of the layers |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for plain, moved in pairs:
        lines.append(
            f"| {plain['bits']} | {plain['seed']} | {plain['fp32_metric']:.2f} | {plain['metric']:.2f} |"
            f" {moved['metric']:.2f} | {moved['metric'] - plain['metric']:+.2f} | {plain['bytes']:,} |"
            f" {moved['bytes']:,} | {' '.join(map(str, moved['levels']))} |"
        )
    lines.append("")
    lines += [
        _difference(bits, [pair for pair in pairs if pair[0]["bits"] == bits])
        for bits in sorted({row["bits"] for row, _ in pairs})
    ]
    return [*lines, "", f"Trained by `{training['command']}`.", ""]


def _difference(bits: int, pairs: list[tuple[Json, Json]]) -> str:
    """Mean, deviation and interval (Student's t over seeds) of the paired difference, and what it costs."""
    gains = np.array([moved["metric"] - plain["metric"] for plain, moved in pairs])
    mean, count = float(gains.mean()), len(gains)
    larger = np.mean([moved["bytes"] / plain["bytes"] - 1 for plain, moved in pairs])
    said = f"- {bits} bits, moved levels against 2^b for each layer: {mean:+.2f} points"
    won = f"better for {int((gains > 0).sum())} of {count} seeds"
    cost = f"files {100 * larger:+.1f} % in bytes"
    if count < 2:
        return f"{said} ({won}); {cost}."
    deviation = float(gains.std(ddof=1))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * deviation / count**0.5
    if mean - half > 0:
        verdict = "they win"
    elif mean + half < 0:
        verdict = "they lose"
    else:
        verdict = "no difference that this many seeds can show"
    return (
        f"{said} ± {deviation:.2f} ({won}; {CONFIDENCE:.0%} interval of the mean {mean - half:+.2f} to"
        f" {mean + half:+.2f}): {verdict}; {cost}."
    )
