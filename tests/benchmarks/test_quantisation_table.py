from __future__ import annotations

from typing import Any

from benchmarks import quantisation_table


def _row(case: str, method: str, bits: int, seed: int, metric: float, **values: object) -> Any:
    return {
        "host": "cpu",
        "case": case,
        "network": "net",
        "method": method,
        "bits": bits,
        "seed": seed,
        "metric": metric,
        "fp32_metric": 90.0,
        "teacher_metric": 91.0,
        "bytes": 30_000 * bits,
        "fp32_bytes": 1_000_000,
        "teacher_bytes": 3_000_000,
        "steps": 1000 + seed,
        "fp32_steps": 900,
        **values,
    }


def _text(rows: list[Any]) -> str:
    hosts = {"cpu": {"versions": {"onnxruntime": "1.31.1"}, "command": "make"}}
    return quantisation_table.text({"hosts": hosts, "rows": rows})


def test_students_have_mean_deviation_change_and_aims() -> None:
    learned = {"quantised-distillation": 89.0, "differentiable": 86.0, "mixed": 89.5}
    rows = [
        _row("cifar-resnet20", method, bits, seed, metric + seed)
        for method, metric in learned.items()
        for bits in (4, 3, 2)
        for seed in (0, 1)
    ]
    text = _text(rows)
    # Mean of 89 and 90; deviation sqrt(0.5); 90 - 89.5.
    assert "89.50 ± 0.71 (-0.50)" in text
    assert (
        "4 bits within 0.5 points of fp32: reached; the best trained one, mixed, drops 0.00" in text
    )
    assert "2 bits, learned codebooks (mixed) against uniform levels" in text
    assert "+0.50 points (better on average; better for 2 of 2 seeds)" in text
    assert "-3.00 points (worse on average; better for 0 of 2 seeds)" in text
    assert "1,000 to 1,001 at quantised weights, 900 in fp32" in text


def test_curve_says_which_file_is_the_best_one_small_enough() -> None:
    rows = [
        _row("cifar-resnet56-curve", "mixed", 2, 0, 88.0, bytes=50_000),
        _row("cifar-resnet56-curve", "mixed", 3, 0, 90.5, bytes=100_000),
    ]
    text = _text(rows)
    assert "within 1.0 points of the teacher at 1/30: reached" in text
    assert "within 2.5 points of the teacher at 1/60: not reached" in text
    assert "88.00 (3.00 below) at 1/60.0" in text


def test_old_cpus_say_the_largest_difference() -> None:
    proven = {"old_cpu_source": "proven equal", "old_cpu_metric": 89.0}
    emulated = {"old_cpu_source": "emulated", "old_cpu_metric": 88.7}
    rows = [
        _row("cifar-resnet56-curve", "mixed", 2, 0, 89.0, bytes=40_000, **proven),
        _row("cifar-resnet56-curve", "mixed", 8, 0, 89.0, bytes=30_000, **emulated),
    ]
    text = _text(rows)
    assert "1 of 2 files (seed 0) are proven equal" in text
    assert "| net mixed 8 bits | 89.00 | 88.70 | -0.30 |" in text
    assert "not reached, the largest difference is 0.30" in text
