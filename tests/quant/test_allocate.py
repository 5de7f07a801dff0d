"""The integer program against all combinations of small instances."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from squeeze.errors import ConfigError
from squeeze.quant.bits.allocate import Allocation, allocate
from squeeze.quant.bits.sensitivity import Sensitivity

BITS = (8, 4, 3, 2)


def table(layers: int, seed: int) -> list[Sensitivity]:
    """Losses that grow as bits go, at random."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(layers):
        weights = int(rng.integers(100, 5000))
        grown = np.cumsum(rng.exponential(rng.uniform(0.01, 1), 4))
        rows.append(
            Sensitivity(
                name=f"layer{i}",
                weights=weights,
                bytes={b: weights * b // 8 + 40 for b in BITS},
                error={b: float(np.sqrt(g)) for b, g in zip(BITS, grown, strict=True)},
                divergence={},
                loss={b: float(g / 3) for b, g in zip(BITS, grown, strict=True)},
            )
        )
    return rows


def best(
    rows: list[Sensitivity],
    max_bytes: int,
    latency_ms: dict[str, dict[int, float]] | None = None,
    max_latency_ms: float = np.inf,
) -> float:
    """The least summed loss of all combinations that fit."""
    found = np.inf
    for bits in product(BITS, repeat=len(rows)):
        taken = list(zip(rows, bits, strict=True))
        if sum(r.bytes[b] for r, b in taken) > max_bytes:
            continue
        if latency_ms and sum(latency_ms[r.name][b] for r, b in taken) > max_latency_ms:
            continue
        found = min(found, sum(r.loss[b] - r.loss[8] for r, b in taken))
    return found


def total(rows: list[Sensitivity], found: Allocation) -> int:
    return sum(row.bytes[found.bits[row.name]] for row in rows)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.3, 0.45, 0.8])
def test_loss_is_the_least_of_all_combinations_that_fit(seed: int, share: float) -> None:
    rows = table(5, seed)
    budget = int(share * sum(r.bytes[8] for r in rows))
    found = allocate(rows, budget)
    assert found.loss == pytest.approx(best(rows, budget), rel=1e-9)
    assert found.bytes == total(rows, found) <= budget
    assert found.latency_ms is None


@pytest.mark.parametrize("seed", range(4))
def test_latency_is_kept_too(seed: int) -> None:
    rows = table(4, seed)
    rng = np.random.default_rng(seed)
    latency_ms = {r.name: {b: float(rng.uniform(1, 3)) for b in BITS} for r in rows}
    budget = int(0.6 * sum(r.bytes[8] for r in rows))
    found = allocate(rows, budget, latency_ms=latency_ms, max_latency_ms=7.5)
    assert found.loss == pytest.approx(best(rows, budget, latency_ms, 7.5), rel=1e-9)
    assert found.latency_ms is not None
    assert found.latency_ms == pytest.approx(sum(latency_ms[n][b] for n, b in found.bits.items()))
    assert found.latency_ms <= 7.5


def test_budget_for_everything_keeps_eight_bits_and_the_least_takes_two() -> None:
    rows = table(6, 0)
    assert set(allocate(rows, sum(r.bytes[8] for r in rows)).bits.values()) == {8}
    assert set(allocate(rows, sum(r.bytes[2] for r in rows)).bits.values()) == {2}


def test_fixed_layers_stay() -> None:
    rows = table(5, 1)
    budget = int(0.4 * sum(r.bytes[8] for r in rows))
    found = allocate(rows, budget, fixed={"layer0": 8, "layer3": 2})
    assert (found.bits["layer0"], found.bits["layer3"]) == (8, 2)
    assert found.bytes <= budget


def row(name: str, sizes: dict[int, int], loss: dict[int, float]) -> Sensitivity:
    """A layer of which nothing but bytes and loss is known."""
    return Sensitivity(name, 10, sizes, {}, {}, loss)


def test_the_layer_with_the_larger_loss_keeps_its_bits() -> None:
    rows = [row("a", {8: 10, 2: 3}, {8: 0.0, 2: 0.3}), row("b", {8: 10, 2: 3}, {8: 0.0, 2: 0.2})]
    assert allocate(rows, 13).bits == {"a": 8, "b": 2}


def test_more_bits_are_taken_when_fewer_only_seem_better() -> None:
    """A loss below that of more bits is noise; with the same loss, fewer bytes are taken."""
    rows = [
        row("a", {8: 10, 4: 5}, {8: 0.1, 4: 0.02}),
        row("b", {8: 10, 4: 5}, {8: 0.1, 4: 0.3}),
    ]
    found = allocate(rows, 100)
    assert found.bits == {"a": 4, "b": 8}
    assert found.loss == 0


def test_nothing_fits_says_the_smallest_that_can_be_reached() -> None:
    rows = table(5, 2)
    least = sum(r.bytes[2] for r in rows)
    assert allocate(rows, least).bytes == least
    with pytest.raises(ConfigError, match=f"the smallest that can be reached is {least} bytes"):
        allocate(rows, least - 1)
    fixed = least - rows[0].bytes[2] + rows[0].bytes[8]
    with pytest.raises(ConfigError, match=f"reached is {fixed} bytes"):
        allocate(rows, least, fixed={"layer0": 8})


def test_limits_that_contradict_each_other_are_an_error() -> None:
    one = row("a", {8: 10, 2: 3}, {8: 0.0, 2: 1.0})
    with pytest.raises(ConfigError, match="no choice fits into 5 bytes and 1 ms together"):
        allocate([one], 5, latency_ms={"a": {8: 0.5, 2: 2.0}}, max_latency_ms=1)


def test_unknown_layers_and_bits_are_an_error() -> None:
    with pytest.raises(ConfigError, match="fixed bits of layers: unknown 'layer9'"):
        allocate(table(2, 0), 10000, fixed={"layer9": 4})
    with pytest.raises(ConfigError, match="'layer1': 5 wanted, 8, 4, 3, 2 were measured"):
        allocate(table(2, 0), 10000, fixed={"layer1": 5})


def test_many_layers_are_solved() -> None:
    rows = table(60, 3)
    budget = int(0.35 * sum(r.bytes[8] for r in rows))
    found = allocate(rows, budget)
    assert 0.99 * budget < found.bytes <= budget
