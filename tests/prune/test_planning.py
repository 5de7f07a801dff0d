"""Which units go first, in whole portions, and the count of what that saves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from squeeze.prune import Bundle, Scores, Unit, macs
from squeeze.prune.counting import MacsLeft
from squeeze.prune.planning import evenly, globally, portions


def bundle(name: str, after: str, units: int, slots: int = 1, alike: int = 1) -> Bundle:
    made = [
        Unit((((name, "out"), (i,)), ((after, "in"), (i,))), i * slots // units)
        for i in range(units)
    ]
    return Bundle(name, tuple(made), slots, alike)


def chain() -> tuple[nn.Sequential, tuple[Bundle, Bundle]]:
    module = nn.Sequential(nn.Linear(4, 16), nn.Linear(16, 32), nn.Linear(32, 2))
    return module, (bundle("0", "1", 16), bundle("1", "2", 32))


def channels(units: list[Unit], name: str) -> list[int]:
    return [dict(u.members)[name, "out"][0] for u in units if (name, "out") in dict(u.members)]


@pytest.mark.parametrize(
    ("units", "align", "sizes"),
    [
        (20, 8, [4, 8]),
        (16, 8, [8]),
        (8, 8, []),
        (5, 8, []),
        (4, 1, [1, 1, 1]),
    ],
)
def test_portions_leave_multiples_when_aligned(units: int, align: int, sizes: list[int]) -> None:
    found = portions(bundle("a", "b", units), np.arange(units, dtype=float), align)
    assert [len(portion) for portion in found] == sizes
    gone = [c for portion in found for c in channels(portion, "a")]
    assert gone == list(range(sum(sizes)))


def test_portions_take_from_each_slot_when_grouped() -> None:
    # Four groups of 6 in one layer: 24 -> 16 -> 8 channels are 6 -> 4 -> 2 in each group.
    found = portions(bundle("a", "b", 24, slots=4, alike=4), np.arange(24, dtype=float), 8)
    assert [len(portion) for portion in found] == [8, 8]
    assert sorted(channels(found[0], "a")) == [0, 1, 6, 7, 12, 13, 18, 19]


def test_units_go_by_score_when_global() -> None:
    module, bundles = chain()
    values = (np.full(16, 5.0), np.arange(32, dtype=float))
    macs_left = MacsLeft(module, torch.zeros(2, 4))
    # 640 MACs; each of the 32 is 18 of them.
    units = globally(bundles, Scores(values), macs_left, 640 - 4 * 18, 1)
    assert channels(units, "1") == [0, 1, 2, 3]
    assert channels(units, "0") == []
    assert macs_left.total == 640 - 4 * 18


def test_units_go_by_score_per_mac_when_additive() -> None:
    module, bundles = chain()
    # One of the 16 saves 4 + 32, one of the 32 saves 16 + 2: the first are cheaper at 1.5 times the score.
    values = (np.full(16, 1.5), np.full(32, 1.0))
    plain = globally(bundles, Scores(values), MacsLeft(module, torch.zeros(2, 4)), 604, 1)
    additive = globally(
        bundles, Scores(values, additive=True), MacsLeft(module, torch.zeros(2, 4)), 604, 1
    )
    assert len(channels(plain, "1")) == 2
    assert len(channels(additive, "0")) == 1


def test_same_share_goes_when_even() -> None:
    module, bundles = chain()
    values = (np.full(16, 100.0), np.arange(32, dtype=float)[::-1].copy())
    macs_left = MacsLeft(module, torch.zeros(2, 4))
    # Half of each: 4 * 8 + 8 * 16 + 16 * 2.
    units = evenly(bundles, Scores(values), macs_left, 192, 8)
    assert len(channels(units, "0")) == 8
    assert sorted(channels(units, "1")) == list(range(16, 32))
    assert macs_left.total == 192


def test_bundles_stay_when_the_importance_is_silent() -> None:
    module, bundles = chain()
    macs_left = MacsLeft(module, torch.zeros(2, 4))
    units = globally(bundles, Scores((None, np.ones(32))), macs_left, 0, 8)
    assert channels(units, "0") == []
    assert len(channels(units, "1")) == 24


def test_macs_equal_the_hand_count_when_layers_differ() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),  # 4 * 4 positions * 9 * 3 * 8
        nn.Conv2d(8, 8, 3, 1, 1, groups=8),  # 16 * 9 * 8
        nn.Conv2d(8, 16, 1, groups=2),  # 16 * 4 * 16
        nn.Flatten(),
        nn.Linear(256, 10),
    )
    x = torch.zeros(3, 3, 8, 8)
    wanted = 16 * 9 * 3 * 8 + 16 * 9 * 8 + 16 * 4 * 16 + 2560
    assert macs(module, x) == wanted
    macs_left = MacsLeft(module, x)
    assert sum(layer.macs for layer in macs_left.layers.values()) == wanted
    unit = Unit((((("0", "out"), (0,))), (("1", "out"), (0,))))
    assert macs_left.saved([unit]) == 16 * 9 * 3 + 16 * 9
    assert macs_left.total == wanted
    macs_left.remove([unit])
    assert macs_left.total == wanted - 16 * 9 * 3 - 16 * 9
