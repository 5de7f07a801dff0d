"""Which replacement is picked on a device whose times are known."""

from __future__ import annotations

import math
from functools import cache
from itertools import product

import numpy as np
import pytest
import torch

from squeeze.errors import UnsupportedError
from squeeze.progress import Progress
from squeeze.prune import macs
from squeeze.shrink import Bound
from squeeze.shrink.costs import costs_of
from squeeze.shrink.puzzle.choice import WHOLE, Piece, Puzzle, choose, shares_of, solved
from squeeze.shrink.puzzle.parts import inside, joined, parts
from squeeze.shrink.puzzle.replacements import replacements
from squeeze.students import Network
from tests.shrink.networks import images, whole


@cache
def puzzle() -> Puzzle:
    """Of the residual network, with losses that are drawn: less work, more loss."""
    _, network = whole()
    random = np.random.default_rng(0)
    found, pieces = parts(network, images(2)), []
    for part in found:
        own = inside(network, part)
        x = torch.rand(16, *part.before)
        each = {}
        for kind, made in replacements(own, part, x, 8, 0).items():
            less = 1 - macs(made, x) / macs(own, x)
            each[kind] = Piece(made, float(less**3 + 0.2 * random.random()))
        pieces.append(each)
    return Puzzle(network, found, tuple(pieces), images(2))


def share(network: Network) -> float:
    """A device on which the time is what is multiplied."""
    return macs(network, images(2)) / macs(puzzle().network, images(2))


def bound(ratio: float, *, demanded: bool = False, bytes_share: float = 1.0) -> Bound:
    return Bound(ratio, demanded, bytes_share * puzzle().bytes, 1.0)


def ways() -> list[tuple[str, ...]]:
    return list(product(*((WHOLE, *has) for has in puzzle().pieces)))


def loss(kinds: tuple[str, ...]) -> float:
    return sum(
        has[kind].loss for has, kind in zip(puzzle().pieces, kinds, strict=True) if kind != WHOLE
    )


def test_bytes_and_work_of_the_whole_are_what_the_pieces_save() -> None:
    given, random = puzzle(), np.random.default_rng(1)
    table, _ = shares_of(given, share, Progress())
    for _ in range(4):
        kinds = tuple(str(random.choice([WHOLE, *has])) for has in given.pieces)
        made = given.put(kinds)
        saved = sum(row[kind] for row, kind in zip(given.saved_bytes, kinds, strict=True))
        assert costs_of(made, given.example).bytes == pytest.approx(given.bytes - saved)
        assert share(made) == pytest.approx(table.of(kinds))


@pytest.mark.parametrize(("ratio", "bytes_share"), [(0.5, 1.0), (0.3, 0.5), (0.9, 0.6)])
def test_program_finds_the_best_of_all_ways(ratio: float, bytes_share: float) -> None:
    given = puzzle()
    table, _ = shares_of(given, share, Progress())
    most = bytes_share * given.bytes
    inside_both = [
        kinds
        for kinds in ways()
        if table.of(kinds) <= ratio
        and given.bytes - sum(r[k] for r, k in zip(given.saved_bytes, kinds, strict=True)) <= most
    ]
    found = solved(given, table, ratio, most)
    assert found is not None
    assert loss(found) == pytest.approx(min(map(loss, inside_both)))
    assert found in inside_both


def test_parts_of_one_shape_are_measured_together() -> None:
    asked: list[Network] = []

    def measure(network: Network) -> float:
        asked.append(network)
        return share(network)

    _, notes = shares_of(puzzle(), measure, Progress())
    # Two of the four blocks are alike: 5 kinds of these, 5 of the one that halves, 6 of the last, and the whole.
    assert puzzle().alike() == [[0, 1], [2], [3]]
    kinds = [len(puzzle().pieces[i]) for i in (0, 2, 3)]
    assert len(asked) == len(notes) == 1 + sum(kinds)


def test_choice_is_inside_the_bound_as_measured() -> None:
    given = puzzle()
    table, _ = shares_of(given, share, Progress())
    chosen = choose(given, table, bound(0.4), measured=4, measure=share)
    assert chosen.kinds is not None
    assert chosen.ratio == share(given.put(chosen.kinds)) <= 0.44
    assert f"measured {chosen.ratio:.1%}" in chosen.why


def test_program_is_asked_again_when_the_table_is_not_what_is_measured() -> None:
    given = puzzle()
    table, _ = shares_of(given, share, Progress())

    def slower(network: Network) -> float:
        return share(network) + (0.15 if share(network) < 0.99 else 0.0)

    chosen = choose(given, table, bound(0.5, demanded=True), measured=6, measure=slower)
    assert chosen.kinds is not None
    assert chosen.ratio <= 0.5
    assert len(chosen.notes) > 1
    assert sum(note.kept for note in chosen.notes) == 1


def test_kinds_that_the_device_does_not_take_stand_nowhere() -> None:
    given = puzzle()

    def measure(network: Network) -> float:
        grouped = [
            layer
            for layer in network.layers.values()
            if isinstance(layer, torch.nn.Conv2d) and layer.groups > 1
        ]
        return math.inf if grouped else share(network)

    table, notes = shares_of(given, measure, Progress())
    assert all("separable" not in has for has in table.saved)
    assert any("does not take" in note.why for note in notes)
    chosen = choose(given, table, bound(0.3), measured=2, measure=measure)
    assert chosen.kinds is not None
    assert "separable" not in chosen.kinds


def test_reason_is_said_when_nothing_is_inside_or_nothing_has_to_go() -> None:
    given = puzzle()
    table, _ = shares_of(given, share, Progress())
    none = choose(given, table, bound(0.001, demanded=True), measured=2, measure=share)
    assert none.kinds is None
    assert "all parts at their fastest take" in none.why
    assert "0.1% is asked" in none.why
    slow = choose(given, table, bound(0.5, demanded=True), measured=2, measure=lambda _: 0.9)
    assert slow.kinds is None
    assert "at 90.0% of the latency, 50.0% is asked" in slow.why
    with pytest.raises(UnsupportedError, match="does not take it whole"):
        shares_of(given, lambda _: math.inf, Progress())
    enough = choose(given, table, bound(1.0), measured=2, measure=share)
    assert enough.kinds is None
    assert "nothing has to be replaced" in enough.why


def test_network_of_pieces_is_what_joined_makes_of_them() -> None:
    given, x = puzzle(), images(3)
    kinds = tuple(next(iter(has)) for has in given.pieces)
    chosen = {
        part: has[kind].network
        for part, has, kind in zip(given.parts, given.pieces, kinds, strict=True)
    }
    with torch.no_grad():
        assert torch.equal(given.put(kinds)(x), joined(given.network, chosen)(x))
        assert torch.equal(given.put([WHOLE] * 4)(x), given.network(x))
