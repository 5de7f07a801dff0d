"""Blocks of a traced graph, and networks without some of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from squeeze.shrink.blocks import blocks, without
from squeeze.students import Network
from tests.prune.zoo import conv, imported, made
from tests.shrink.networks import images, whole


def sums(network: Network) -> list[str]:
    """The outputs of its additions, in running order."""
    return [node["outputs"][0] for node in network.nodes if node["op"] == "Add"]


def test_blocks_are_the_sums_when_shortcuts_are_identities_and_projections() -> None:
    _, network = whole()
    found = blocks(network, images(2))
    assert [block.total for block in found] == sums(network)
    # Of an identity both convolutions go; of a projection it is they as well, and not the one beside them.
    assert [len(block.layers) for block in found] == [2, 2, 2, 2]


@pytest.mark.parametrize("gone", [(0,), (1,), (0, 1), (3,), (0, 1, 3)])
def test_network_is_the_one_without_the_block_when_one_goes(gone: tuple[int, ...]) -> None:
    module, network = whole()
    x = images(5)
    found = blocks(network, x)
    short = without(network, [found[i] for i in gone]).network
    module.gone = gone
    with torch.no_grad():
        torch.testing.assert_close(short(x), module(x), rtol=1e-5, atol=1e-5)
    assert len(short.layers) == len(network.layers) - 2 * len(gone)


def test_projection_stays_when_the_block_beside_it_goes() -> None:
    module, network = whole()
    x = images(5)
    block = module.blocks[2]
    block.second = nn.Sequential(block.second, Silent())
    with torch.no_grad():
        wanted = module(x)
    short = without(network, [blocks(network, x)[2]]).network
    with torch.no_grad():
        torch.testing.assert_close(short(x), wanted, rtol=1e-5, atol=1e-5)


class Silent(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x)


def test_network_is_a_copy_when_no_block_goes() -> None:
    _, network = whole()
    x = images(5)
    short = without(network, ())
    with torch.no_grad():
        assert torch.equal(short.network(x), network(x))
        for p in short.network.parameters():
            p.zero_()
        assert network(x).abs().max() > 0
    assert dict(short.stands_for) == {}


def test_values_stand_for_what_their_readers_were_given_when_blocks_go() -> None:
    _, network = whole()
    found = blocks(network, images(2))
    totals = sums(network)
    rectified = {n["inputs"][0]: n["outputs"][0] for n in network.nodes if n["op"] == "Relu"}
    stem = network.nodes[1]
    assert stem["op"] == "Relu"
    # Without the first two blocks the stem makes what the second one gave, before its ReLU and behind it.
    stands_for = without(network, found[:2]).stands_for
    assert stands_for[stem["outputs"][0]] == rectified[totals[1]]
    assert stands_for[stem["inputs"][0]] == totals[1]
    # Without the second alone, it is the first that does.
    stands_for = without(network, found[1:2]).stands_for
    assert stands_for == {totals[0]: totals[1], rectified[totals[0]]: rectified[totals[1]]}


def test_linear_sums_keep_their_input_when_nothing_is_rectified_behind_them() -> None:
    module, x = made("depthwise")
    network = imported(module, x)
    (block,) = blocks(network, x)
    short = without(network, [block]).network
    with torch.no_grad():
        stem = module.stem(x)
        torch.testing.assert_close(short(x), module.head(module.last(stem)), rtol=1e-5, atol=1e-5)


def test_no_block_is_found_when_no_branch_has_layers_of_its_own() -> None:
    class Shifted(nn.Module):
        """A constant is added, and a value to itself."""

        def __init__(self) -> None:
            super().__init__()
            self.body, self.shift = conv(3, 8), nn.Parameter(torch.rand(8, 1, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.body(x) + self.shift
            return (x + torch.relu(x)).mean((2, 3))

    torch.manual_seed(0)
    x = images(3)
    assert blocks(imported(Shifted().eval(), x), x) == ()
