"""Which units go first, in whole steps, and the count of what that saves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from squeeze.prune import Block, Scores, Unit, macs
from squeeze.prune.counting import Costs
from squeeze.prune.planning import evenly, globally, steps


def block(name: str, after: str, units: int, slots: int = 1, alike: int = 1) -> Block:
    made = [
        Unit((((name, "out"), (i,)), ((after, "in"), (i,))), i * slots // units)
        for i in range(units)
    ]
    return Block(name, tuple(made), slots, alike)


def chain() -> tuple[nn.Sequential, tuple[Block, Block]]:
    module = nn.Sequential(nn.Linear(4, 16), nn.Linear(16, 32), nn.Linear(32, 2))
    return module, (block("0", "1", 16), block("1", "2", 32))


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
def test_steps_leave_multiples_when_aligned(units: int, align: int, sizes: list[int]) -> None:
    found = steps(block("a", "b", units), np.arange(units, dtype=float), align)
    assert [len(step) for step in found] == sizes
    gone = [c for step in found for c in channels(step, "a")]
    assert gone == list(range(sum(sizes)))


def test_steps_take_from_each_slot_when_grouped() -> None:
    # Four groups of 6 in one layer: 24 -> 16 -> 8 channels are 6 -> 4 -> 2 in each group.
    found = steps(block("a", "b", 24, slots=4, alike=4), np.arange(24, dtype=float), 8)
    assert [len(step) for step in found] == [8, 8]
    assert sorted(channels(found[0], "a")) == [0, 1, 6, 7, 12, 13, 18, 19]


def test_units_go_by_score_when_global() -> None:
    module, blocks = chain()
    values = (np.full(16, 5.0), np.arange(32, dtype=float))
    costs = Costs(module, torch.zeros(2, 4))
    # 640 MACs; each of the 32 is 18 of them.
    units = globally(blocks, Scores(values), costs, 640 - 4 * 18, 1)
    assert channels(units, "1") == [0, 1, 2, 3]
    assert channels(units, "0") == []
    assert costs.total == 640 - 4 * 18


def test_units_go_by_score_per_mac_when_additive() -> None:
    module, blocks = chain()
    # One of the 16 saves 4 + 32, one of the 32 saves 16 + 2: the first are cheaper at 1.5 times the score.
    values = (np.full(16, 1.5), np.full(32, 1.0))
    plain = globally(blocks, Scores(values), Costs(module, torch.zeros(2, 4)), 604, 1)
    additive = globally(
        blocks, Scores(values, additive=True), Costs(module, torch.zeros(2, 4)), 604, 1
    )
    assert len(channels(plain, "1")) == 2
    assert len(channels(additive, "0")) == 1


def test_same_share_goes_when_even() -> None:
    module, blocks = chain()
    values = (np.full(16, 100.0), np.arange(32, dtype=float)[::-1].copy())
    costs = Costs(module, torch.zeros(2, 4))
    # Half of each: 4 * 8 + 8 * 16 + 16 * 2.
    units = evenly(blocks, Scores(values), costs, 192, 8)
    assert len(channels(units, "0")) == 8
    assert sorted(channels(units, "1")) == list(range(16, 32))
    assert costs.total == 192


def test_blocks_stay_when_the_importance_is_silent() -> None:
    module, blocks = chain()
    costs = Costs(module, torch.zeros(2, 4))
    units = globally(blocks, Scores((None, np.ones(32))), costs, 0, 8)
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
    costs = Costs(module, x)
    assert sum(layer.macs for layer in costs.layers.values()) == wanted
    unit = Unit((((("0", "out"), (0,))), (("1", "out"), (0,))))
    assert costs.saved([unit]) == 16 * 9 * 3 + 16 * 9
    assert costs.total == wanted
    costs.remove([unit])
    assert costs.total == wanted - 16 * 9 * 3 - 16 * 9
