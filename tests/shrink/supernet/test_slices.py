"""Parts of a convolutional network are what is left of it where the rest is silent, and cost what is said of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from squeeze.errors import UnsupportedError
from squeeze.prune import macs
from squeeze.shrink.supernet.slices import Part, Slices
from squeeze.shrink.supernet.space import parts
from squeeze.students import Network
from squeeze.train.supernet.space import NAMES
from tests.prune.zoo import Concat, Depthwise, Grouped, Head, conv, with_statistics
from tests.shrink.networks import images
from tests.shrink.supernet.teachers import Teacher, teacher

EXACT = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def residual() -> Teacher:
    return teacher()


def silent(slices: Slices, weights: dict[str, Tensor], part: Part) -> Network:
    """The whole network, with nothing in the channels and nothing from the blocks that the part lacks."""
    whole = slices.child(weights, slices.whole)
    makers = {node["outputs"][0]: node for node in whole.nodes}
    with torch.no_grad():
        for group, units in zip(slices.known.groups, part.units, strict=True):
            for place in group.places:
                layer = whole.layers[place.layer]
                if place.side == "out":
                    layer.weight[units * place.each :] = 0
                    if layer.bias is not None:
                        layer.bias[units * place.each :] = 0
        for stage, depth in zip(slices.known.stages, part.depths, strict=True):
            for block in stage[depth:]:
                (branch,) = (n for n in makers[block.total]["inputs"] if n != block.kept)
                norm = whole.layers[makers[branch]["layer"]]
                norm.weight.zero_()
                norm.bias.zero_()
    return whole


def test_network_computes_what_the_teacher_does_when_it_is_sorted(residual: Teacher) -> None:
    slices, x = residual.slices, images(5, seed=7)
    with torch.no_grad():
        whole = slices.child(residual.made.weights, slices.whole)
        torch.testing.assert_close(whole(x), residual.module(x), rtol=1e-4, atol=1e-5)


def test_channels_are_sorted_by_their_weights(residual: Teacher) -> None:
    """Of an inner group: squares of what makes a channel and of what takes it, each over its mean."""
    known = residual.made.sliceable
    group = next(g for g in known.groups if len(g.places) == 3)  # a convolution, its norm, a reader
    maker, reader = (p for p in group.places if not p.layer.endswith("_norm"))
    network = residual.plain
    assert (maker.side, reader.side) == ("out", "in")
    made = network.layers[maker.layer].weight.square().sum((1, 2, 3))
    read = network.layers[reader.layer].weight.square().sum((0, 2, 3))
    order = (made / made.mean() + read / read.mean()).argsort(descending=True)
    got = residual.made.weights[f"layers.{maker.layer}.weight"].flatten(1)
    wanted = network.layers[maker.layer].weight[order].flatten(1)
    # In training form filters have another length, and what they take is sorted, too.
    rows = [nn.functional.normalize(one).sort(dim=1).values for one in (got, wanted)]
    torch.testing.assert_close(*rows, **EXACT)


@pytest.mark.parametrize("name", NAMES)
def test_every_part_is_the_masked_network(residual: Teacher, name: str) -> None:
    slices, weights, x = residual.slices, residual.made.weights, images(4, seed=9)
    found = parts(name, slices)  # type: ignore[arg-type]
    for part in found:
        child = slices.child(weights, part)
        with torch.no_grad():
            torch.testing.assert_close(child(x), silent(slices, weights, part)(x), **EXACT)
        for key, value in child.state_dict().items():  # a prefix of what is shared
            corner = tuple(slice(0, n) for n in value.shape)
            assert torch.equal(value, weights[key][corner])


def test_all_parts_are_enumerated_and_distinct(residual: Teacher) -> None:
    slices = residual.slices
    # Maps of 8x8 have 16 channels, those of 4x4 32; stages of two blocks and of one that may go.
    assert sorted({(g.level, g.units) for g in slices.known.groups}) == [(0, 16), (1, 32)]
    assert [len(stage) for stage in slices.known.stages] == [2, 1]
    # base: {8, 16} x {16, 24, 32} x {1, 2} x {0, 1}; a half of one block is none.
    found = parts("base", slices)
    assert len(found) == 2 * 3 * 2 * 2
    # small: {8, 16} (a quarter, three eighths and a half are 8) x {8, 16, 24} x {0, 1, 2} x {0, 1}
    assert len(parts("small", slices)) == 2 * 3 * 3 * 2
    sizes = {
        tuple(tuple(p.shape) for p in slices.child(residual.made.weights, part).parameters())
        for part in found
    }
    assert len(sizes) == len(found)
    assert found[-1] == slices.whole
    costs = [slices.costs(part)[0] for part in found]
    assert costs == sorted(costs)
    assert costs[0] < costs[1]


def test_many_parts_are_drawn_with_both_ends(residual: Teacher) -> None:
    whole, drawn = (parts("base", residual.slices, most) for most in (256, 9))
    assert (drawn[0], drawn[-1]) == (whole[0], whole[-1])
    assert len({*drawn}) == len(drawn) <= 9
    assert {*drawn} < {*whole}


def test_costs_are_those_of_the_built_part(residual: Teacher) -> None:
    slices, x = residual.slices, images(2)
    for part in parts("small", slices)[::5]:
        child = slices.child(residual.made.weights, part)
        wanted, parameters, costs = slices.costs(part)
        assert wanted == macs(child, x)
        counted = sum(
            layer.weight.numel() + len(layer.weight)
            for layer in child.modules()
            if isinstance(layer, (nn.Conv2d, nn.Linear))
        )
        assert parameters == counted
        assert costs.bytes > counted


def test_depthwise_convolutions_follow_their_channels() -> None:
    torch.manual_seed(0)
    found = teacher(with_statistics(Depthwise()))
    slices, x = found.slices, images(3)
    assert found.made.left == ()
    for part in parts("base", slices):
        with torch.no_grad():
            child = slices.child(found.made.weights, part)
            masked = silent(slices, found.made.weights, part)
            torch.testing.assert_close(child(x), masked(x), **EXACT)


class GroupedThenDense(Grouped):
    """With a layer behind it that has no groups."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sequential(conv(32, 16), Head(16))  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("kind", "why"),
    [(GroupedThenDense, "each need a prefix"), (Concat, "joined with others")],
    ids=["grouped", "concat"],
)
def test_what_has_no_prefix_stays_whole(kind: type[nn.Module], why: str) -> None:
    torch.manual_seed(0)
    found = teacher(with_statistics(kind()))
    assert any(why in reason for _, reason in found.made.left)
    slices, x = found.slices, images(3)
    smallest = parts("tiny", slices)[0]
    assert slices.costs(smallest)[0] < slices.costs(slices.whole)[0]
    with torch.no_grad():
        child = slices.child(found.made.weights, smallest)
        masked = silent(slices, found.made.weights, smallest)
        torch.testing.assert_close(child(x), masked(x), **EXACT)


def test_network_of_which_nothing_may_go_is_refused() -> None:
    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 1, 3), Head(1)

        def forward(self, x: Tensor) -> Tensor:
            made: Tensor = self.head(self.conv(x))
            return made

    with pytest.raises(UnsupportedError, match="none of its channels and blocks may go"):
        teacher(One().eval())
