"""Rounds are kept when the exported file is faster, and undone when not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from squeeze.prune import importance, iterate, macs
from tests.prune.zoo import made

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.prune import Bundle, Scores

L2 = importance("l2")


def l2(module: nn.Module, bundles: Sequence[Bundle]) -> Scores:
    return L2(module, bundles, [])


def same(module: nn.Module) -> nn.Module:
    return module


def test_rounds_are_undone_and_doubled_when_not_faster() -> None:
    module, x = made("residual")
    seen: list[tuple[int, int]] = []
    answers = iter([0.9, 0.99, 0.8])

    def measure(after: nn.Module, before: nn.Module) -> float:
        seen.append((macs(after, x), macs(before, x)))
        return next(answers)

    trained: list[nn.Module] = []

    def train(pruned: nn.Module) -> nn.Module:
        trained.append(pruned)
        return pruned

    found = iterate(module, x, rounds=3, ratio=0.2, score=l2, train=train, measure=measure, align=1)
    assert [r.kept for r in found.rounds] == [True, False, True]
    assert [r.cost_ratio for r in found.rounds] == [0.9, 0.99, 0.8]
    # The second round starts from the first, the third too, and takes what two rounds would.
    assert seen[1][1] == seen[2][1] == seen[0][0]
    assert [after / before for after, before in seen] == pytest.approx([0.8, 0.8, 0.64], abs=0.04)
    assert len(trained) == 2
    assert found.module is trained[1]
    assert [note.kept for note in found.notes] == [True, False, True]
    assert "undone, not faster" in found.notes[1].why
    assert found.notes[1].numbers["ratio"] == 0.99


def test_a_round_says_what_it_was_measured_by() -> None:
    module, x = made("perceptron")
    found = iterate(
        module,
        x,
        rounds=1,
        ratio=0.2,
        score=l2,
        train=same,
        measure=lambda a, b: 1.0,
        what="memory traffic",
    )
    (note,) = (note for note in found.notes if note.name == "prune round 1")
    assert note.why.startswith("undone, not cheaper: ")
    assert note.why.endswith("1.00 of the memory traffic")


def test_module_stays_when_no_round_helps() -> None:
    module, x = made("perceptron")
    found = iterate(module, x, rounds=2, ratio=0.2, score=l2, train=same, measure=lambda a, b: 1.0)
    assert found.module is module
    assert not any(note.kept for note in found.notes)


def test_rounds_end_when_nothing_is_left_to_remove() -> None:
    module, x = made("perceptron")
    found = iterate(
        module, x, rounds=9, ratio=0.5, score=l2, train=same, measure=lambda a, b: 0.5, align=16
    )
    assert "every layer is at its narrowest" in found.notes[-1].why
    assert len(found.rounds) < 9


def test_rounds_end_when_the_cut_computes_something_else() -> None:
    class Position(nn.Module):
        """Looks at how many channels there are: a cut that no mask can be compared with."""

        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(20, 48), nn.Linear(48, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            hidden = torch.relu(self.one(x))
            return self.two(hidden) * (1 if self.trusted or hidden.shape[1] == 48 else 2)

        trusted = True

    module = Position()

    def score(pruned: nn.Module, bundles: Sequence[Bundle]) -> Scores:
        # From here on, when the blocks have been tried, the network is another one.
        pruned.trusted = False
        return L2(pruned, bundles, [])

    def measure(after: nn.Module, before: nn.Module) -> float:
        raise AssertionError("what cannot be followed is not timed")

    found = iterate(
        module, torch.randn(2, 20), rounds=3, ratio=0.3, score=score, train=same, measure=measure
    )
    assert found.module is module
    assert found.rounds == ()
    (note,) = found.notes
    assert not note.kept
    assert "differs from the masked one" in note.why


def test_what_was_left_alone_is_said_once_when_there_are_several_rounds() -> None:
    module, x = made("attention")
    found = iterate(
        module, x, rounds=2, ratio=0.2, score=l2, train=same, measure=lambda a, b: 0.5, align=4
    )
    left = [note.name for note in found.notes if "left alone" in note.why]
    assert left
    assert len(left) == len(set(left))
    assert [note.kept for note in found.notes[len(left) :]] == [True, True]
