"""What is said of trainings in pairs."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import quant_pairs, quantisation_table
from benchmarks.quant_files import Given

TRAINING = {
    "machine": "a CPU",
    "torch": "2.13.0",
    "batch": 64,
    "images": 9600,
    "views": 1,
    "command": "train them",
}


def _row(method: str, bits: int, seed: int, metric: float, **values: object) -> dict[str, Any]:
    return {
        "host": "cpu",
        "case": quant_pairs.CASE,
        "network": quant_pairs.NETWORK,
        "method": method,
        "bits": bits,
        "seed": seed,
        "metric": metric,
        "fp32_metric": 88.0,
        "bytes": 30_000,
        "steps": 240,
        "fp32_steps": 450,
        **values,
    }


def _pairs(bits: int, gains: list[float]) -> list[dict[str, Any]]:
    moved = {"levels": [2, 6], "bytes": 33_000}
    return [
        row
        for seed, gain in enumerate(gains)
        for row in (
            _row("mixed", bits, seed, 80.0 + seed),
            _row("mixed-redistributed", bits, seed, 80.0 + seed + gain, **moved),
        )
    ]


def test_the_difference_is_that_of_the_pairs() -> None:
    found = "\n".join(quant_pairs.text(_pairs(2, [1.0, 2.0, 3.0]), TRAINING))
    assert "| 2 | 1 | 88.00 | 81.00 | 83.00 | +2.00 | 30,000 | 33,000 | 2 6 |" in found
    # Deviation 1; Student's t of two degrees of freedom is 4.303, by the square root of 3: 2.48.
    assert (
        "+2.00 points ± 1.00 (better for 3 of 3 seeds; 95% interval of the mean -0.48 to +4.48)"
        in found
    )
    assert "no difference that this many seeds can show; files +10.0 % in bytes." in found
    assert "9,600 images (views of each: 1), batches of 64" in found


def test_a_loss_is_called_one() -> None:
    found = "\n".join(quant_pairs.text(_pairs(3, [-1.0, -1.1, -0.9]), TRAINING))
    assert "-1.00 points ± 0.10 (better for 0 of 3 seeds" in found
    assert "they lose" in found
    assert "they win" in "\n".join(quant_pairs.text(_pairs(3, [1.0, 1.1, 0.9]), TRAINING))


def test_what_has_no_partner_is_left_out() -> None:
    rows = [*_pairs(2, [1.0]), _row("mixed", 2, 1, 70.0)]
    found = "\n".join(quant_pairs.text(rows, TRAINING))
    assert "+1.00 points (better for 1 of 1 seeds)" in found
    assert "70.00" not in found


def test_the_tables_have_the_pairs_of_a_host_with_their_own_versions() -> None:
    case = {"versions": {"numpy": "2"}, "command": "make pairs", "isa": ["x86_avx2"]}
    document = {
        "hosts": {"cpu": {"cases": {quant_pairs.CASE: {**case, "training": TRAINING}}}},
        "rows": _pairs(2, [1.0, 2.0]),
    }
    found = quantisation_table.text(document)
    assert f"## {quant_pairs.CASE}: levels of codebooks moved by gradients" in found
    assert (
        f"{quant_pairs.CASE}: host cpu (x86_avx2). Versions: numpy 2. Made by `make pairs`."
        in found
    )


def test_pairs_of_different_trainings_are_not_mixed() -> None:
    def given(seed: int, batch: int) -> Given:
        facts = {"network": quant_pairs.NETWORK, "training": {**TRAINING, "batch": batch}}
        return Given(str(seed), facts, {})

    same = {"a": given(0, 64), "b": given(1, 64)}
    assert quant_pairs.facts(same) == {"training": TRAINING}
    with pytest.raises(ValueError, match="train them all with one line"):
        quant_pairs.facts({**same, "c": given(2, 32)})
