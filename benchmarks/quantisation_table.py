"""The quantisation results as Markdown: python -m benchmarks.quantisation_table writes results/quantisation.md anew."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import quant_pairs

RESULTS = Path(__file__).parent / "results" / "quantisation.json"
STUDENTS = ("cifar-resnet20", "fashion-resnet20")
CURVE, WAKE_WORDS, PRUNED = "cifar-resnet56-curve", "vww-mobilenetv1", "cifar-resnet56-pruned"
METHODS = (
    "post-training",
    "post-training-adaround",
    "quantised-distillation",
    "differentiable",
    "mixed",
    "mixed-redistributed",
)
LEARNED = ("differentiable", "mixed", "mixed-redistributed")
BITS = (8, 4, 3, 2)
Row = dict[str, Any]  # Any: JSON


def text(document: Row) -> str:
    """All tables, each with what it says about its aim."""
    rows = document["rows"]
    parts = []
    for case in STUDENTS:
        parts += _students(case, _of(rows, case=case))
    parts += _pairs(document)
    parts += _curve(rows)
    parts += _wake_words(_of(rows, case=WAKE_WORDS))
    parts += _pruned(_of(rows, case=PRUNED))
    parts += _old(rows) + _agreement(rows)
    for host, facts in document["hosts"].items():
        if "versions" in facts:
            parts.append(_made(f"Host: {host}", facts))
        for case, own in facts.get("cases", {}).items():
            isa = ", ".join(own["isa"])
            parts.append(_made(f"{case}: host {host} ({isa})", own))
    return "\n".join(parts)


def _made(where: str, facts: Row) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in facts["versions"].items())
    return f"{where}. Versions: {versions}. Made by `{facts['command']}`.\n"


def _pairs(document: Row) -> list[str]:
    """Of each host that trained them."""
    case, parts = quant_pairs.CASE, []
    for host, facts in document["hosts"].items():
        if case in facts.get("cases", {}):
            found = _of(document["rows"], case=case, host=host)
            parts += quant_pairs.text(found, facts["cases"][case]["training"])
    return parts


def _students(case: str, rows: list[Row]) -> list[str]:
    if not rows:
        return []
    fp32 = {row["seed"]: row["fp32_metric"] for row in rows}
    lines = [
        f"## {case}: three seeds, mean ± deviation of top-1 in %, and the change to fp32 in points\n",
        f"Teacher {rows[0]['teacher_metric']:.2f} ({rows[0]['teacher_bytes'] / 1e3:,.0f} kB); fp32 student, trained for"
        f" about as long, {_spread(list(fp32.values()))} ({rows[0]['fp32_bytes'] / 1e3:,.0f} kB). Steps of 256 images:"
        f" {_range(rows, 'steps')} at quantised weights, {_range(rows, 'fp32_steps')} in fp32.\n",
        "| method | " + " | ".join(f"{b} bits" for b in BITS) + " |",
        "| --- |" + " ---: |" * len(BITS),
    ]
    for method in METHODS:
        cells = [_cell(_of(rows, method=method, bits=bits)) for bits in BITS]
        if any(cells):
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
    sizes = [_of(rows, method="quantised-distillation", bits=bits) for bits in BITS]
    lines.append("| bytes | " + " | ".join(f"{s[0]['bytes']:,}" if s else "" for s in sizes) + " |")
    timed = [s for s in sizes if s and "latency_ratio_to_fp32" in s[0]]
    if timed:
        shares = (f"{np.mean([r['latency_ratio_to_fp32'] for r in s]):.2f}" for s in timed)
        lines.append("| latency, share of fp32 | " + " | ".join(shares) + " |")
    return [*lines, "", *_aims(rows)]


def _aims(rows: list[Row]) -> list[str]:
    lines = []
    for bits, most in ((4, 0.5), (2, 3.0)):
        made = {m: _of(rows, method=m, bits=bits) for m in METHODS[2:]}
        drops = {m: _drop(found) for m, found in made.items() if found}
        best = min(drops, key=lambda m: drops[m])
        word = "reached" if drops[best] <= most else "not reached"
        lines.append(
            f"- {bits} bits within {most} points of fp32: {word}; the best trained one, {best}, drops"
            f" {drops[best]:.2f}; "
            + ", ".join(f"{m} {d:.2f}" for m, d in drops.items() if m != best)
            + "."
        )
    for bits in (3, 2):
        uniform = _of(rows, method="quantised-distillation", bits=bits)
        for method in LEARNED:
            other = {row["seed"]: row["metric"] for row in _of(rows, method=method, bits=bits)}
            if not other:
                continue
            gains = [other[row["seed"]] - row["metric"] for row in uniform]
            gain = float(np.mean(gains))
            won = sum(g > 0 for g in gains)
            word = "better" if gain > 0 else "worse"
            lines.append(
                f"- {bits} bits, learned codebooks ({method}) against uniform levels with learned steps: {gain:+.2f}"
                f" points ({word} on average; better for {won} of {len(gains)} seeds)."
            )
    return [*lines, ""]


def _curve(rows: list[Row]) -> list[str]:
    points = _of(rows, case=CURVE)
    if not points:
        return []
    whole, teacher = points[0]["teacher_bytes"], points[0]["teacher_metric"]
    points += _of(rows, case="cifar-resnet20", seed=0)
    points = [p for p in points if p["bytes"] < whole / 7 and p["method"] != "post-training"]
    lines = [
        f"## {CURVE}: accuracy against bytes, seed 0\n",
        f"Teacher {teacher:.2f} in {whole:,} bytes.\n",
        "| network | method | bits | bytes | times smaller | top-1 | to the teacher | latency, share of teacher |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for p in sorted(points, key=lambda p: -p["bytes"]):
        share = p.get("latency_ratio_to_teacher")
        lines.append(
            f"| {p['network']} | {p['method']} | {p['bits']} | {p['bytes']:,} | {whole / p['bytes']:.1f} |"
            f" {p['metric']:.2f} | {p['metric'] - teacher:+.2f} | {'' if share is None else f'{share:.2f}'} |"
        )
    lines.append("")
    for times, most in ((30, 1.0), (60, 2.5)):
        small = [p for p in points if p["bytes"] <= whole / times]
        best = max(small, key=lambda p: p["metric"])
        drop = teacher - best["metric"]
        word = "reached" if drop <= most else "not reached"
        lines.append(
            f"- within {most} points of the teacher at 1/{times}: {word}; the best file of at most"
            f" {whole // times:,} bytes is {best['network']} {best['method']} {best['bits']} bits, {best['metric']:.2f}"
            f" ({drop:.2f} below) at 1/{whole / best['bytes']:.1f}."
        )
    return [*lines, ""]


def _wake_words(rows: list[Row]) -> list[str]:
    lines = [f"## {WAKE_WORDS}: int8, weights safe on every x86 CPU\n"] if rows else []
    for row in rows:
        drop = row["fp32_metric"] - row["metric"]
        share = row["latency_ratio_to_fp32"]
        lines.append(
            f"- {row['method']}: {row['metric']:.2f} on {row['samples']} images ({row['calibration_samples']} others to"
            f" calibrate), fp32 {row['fp32_metric']:.2f}: drop {drop:.2f}"
            f" ({'within' if drop <= 0.5 else 'not within'} 0.5); {share:.2f} of the fp32 latency"
            f" ({'not slower' if share <= 1 else 'slower'}); {row['bytes']:,} bytes; CPUs without VNNI"
            f" {row['old_cpu_source']}."
        )
    return [*lines, ""]


def _pruned(rows: list[Row]) -> list[str]:
    if not rows:
        return []
    lines = [
        f"## {PRUNED}: one seed, a short training\n",
        "| MACs, times fewer | bits | top-1 | of the whole network | without training | images of training"
        " | latency, times faster | bytes |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in sorted(rows, key=lambda r: (r["bits"] != 32, r["macs_ratio"])):
        share = row.get("latency_ratio_to_unpruned")
        faster = "" if share is None else f"{1 / share:.2f}"
        lines.append(
            f"| {row['macs_ratio']:.2f} | {row['bits']} | {row['metric']:.2f} | {row['unpruned_metric']:.2f} |"
            f" {row['untrained_metric']:.1f} | {row['training_images']:,} | {faster} | {row['bytes']:,} |"
        )
    lines += [
        "",
        "Latency is against the whole network of the same number of bits; images of training add up from step to step;"
        " accuracy without training is of the first 2,000 test images.",
        "",
    ]
    return lines


def _old(rows: list[Row]) -> list[str]:
    checked = [row for row in rows if "old_cpu_metric" in row]
    if not checked:
        return []
    apart = [row for row in checked if row["old_cpu_source"] == "emulated"]
    proven = len(checked) - len(apart)
    lines = [
        "## CPUs without VNNI\n",
        f"{proven} of {len(checked)} files (seed 0) are proven equal: no two products can saturate.\n",
    ]
    if apart:
        lines += ["| file | with VNNI | without | points |", "| --- | ---: | ---: | ---: |"]
        for row in apart:
            change = row["old_cpu_metric"] - row["metric"]
            name = f"{row['network']} {row['method']} {row['bits']} bits"
            lines.append(
                f"| {name} | {row['metric']:.2f} | {row['old_cpu_metric']:.2f} | {change:+.2f} |"
            )
        most = max(abs(row["old_cpu_metric"] - row["metric"]) for row in apart)
        word = "reached" if most <= 0.2 else "not reached"
        lines += ["", f"- at most 0.2 points: {word}, the largest difference is {most:.2f}."]
    return [*lines, ""]


def _agreement(rows: list[Row]) -> list[str]:
    lines = [
        "## Files against the networks in training\n",
        "| against | files | images each | same class, % | least | other answers | ties within a step | logits, rms |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, words, count in (
        ("", "the network in training", 10_000),
        ("float32_", "the same integers in float32 arithmetic, unoptimised", 2_000),
    ):
        found = [row for row in rows if f"{name}same_top1" in row]
        if not found:
            continue
        same = [100 * row[f"{name}same_top1"] for row in found]
        other, near = (sum(row[name + key] for row in found) for key in ("other_top1", "near_ties"))
        apart = float(np.mean([row[f"{name}logits_rms"] for row in found]))
        lines.append(
            f"| {words} | {len(found)} | {count:,} | {np.mean(same):.2f} | {min(same):.2f} | {other:,} | {near:,} |"
            f" {100 * apart:.2f} % |"
        )
    step = "A tie: the two best logits are no further apart than a step of an 8-bit grid over all logits."
    return [*lines, "", step, ""]


def _cell(rows: list[Row]) -> str:
    if not rows:
        return ""
    return f"{_spread([row['metric'] for row in rows])} ({-_drop(rows):+.2f})"


def _drop(rows: list[Row]) -> float:
    drops = [row["fp32_metric"] - row["metric"] for row in rows]
    return float(np.mean(drops)) if drops else float("inf")


def _spread(values: list[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.2f}"
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"


def _range(rows: list[Row], key: str) -> str:
    values = [row[key] for row in rows if key in row]
    least, most = min(values), max(values)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _of(rows: Iterable[Row], **wanted: object) -> list[Row]:
    return [row for row in rows if all(row.get(k) == v for k, v in wanted.items())]


if __name__ == "__main__":
    made = text(json.loads(RESULTS.read_text(encoding="utf-8")))
    RESULTS.with_suffix(".md").write_text(made, encoding="utf-8")
