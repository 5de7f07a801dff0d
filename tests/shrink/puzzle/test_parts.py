"""Parts with one tensor in and one out, and the network with something else in their place."""

from __future__ import annotations

import torch
from torch import nn

from squeeze.shrink.puzzle.parts import inside, joined, parts, strides
from squeeze.students import Network
from tests.prune.zoo import Head, conv, imported, with_statistics
from tests.shrink.networks import images, whole


class Chain(nn.Module):
    """Five convolutions one after the other, with a pooling behind the first two."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(conv(3, 8), conv(8, 16, 3, 2))
        self.pool = nn.MaxPool2d(2)
        self.second = nn.Sequential(conv(16, 16), conv(16, 24), conv(24, 24))
        self.head = Head(24)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.second(self.pool(self.first(x))))
        return found


def chain() -> Network:
    torch.manual_seed(0)
    module = Chain()
    with_statistics(module)
    return imported(module.eval(), images(3)).eval()


def test_blocks_are_parts_when_the_network_is_residual() -> None:
    _, network = whole()
    found = parts(network, images(2))
    assert [(part.before, part.behind) for part in found] == [
        ((16, 8, 8), (16, 8, 8)),
        ((16, 8, 8), (16, 8, 8)),
        ((16, 8, 8), (32, 4, 4)),
        ((32, 4, 4), (32, 4, 4)),
    ]
    assert all(part.rectified for part in found)
    # The stem is one convolution alone; behind the last block nothing is a map.
    assert [one.exit for one in found[:-1]] == [other.entry for other in found[1:]]


def test_pairs_of_convolutions_are_parts_when_the_network_is_a_chain() -> None:
    network = chain()
    found = parts(network, images(2))
    # The pooling between them is in none, and the fifth convolution has no partner.
    assert [(part.before, part.behind) for part in found] == [
        ((3, 8, 8), (16, 4, 4)),
        ((16, 2, 2), (24, 2, 2)),
    ]
    assert [part.rectified for part in found] == [False, False]


def test_nothing_is_a_part_when_there_is_no_map() -> None:
    x = torch.randn(3, 6)
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    assert parts(imported(module, x), x) == ()


def test_network_says_the_same_when_parts_stand_in_their_own_place() -> None:
    for network in (whole()[1], chain()):
        x = images(5)
        own = {part: inside(network, part) for part in parts(network, x[:2])}
        with torch.no_grad():
            assert torch.equal(joined(network, own)(x), network(x))


def test_joined_network_runs_what_was_put_into_each_place() -> None:
    module, network = whole()
    x = images(5)
    found = parts(network, x[:2])
    twice = {}
    for part in found[:2]:
        twice[part] = inside(network, part)
        with torch.no_grad():
            for weight in twice[part].parameters():
                weight.mul_(0.5)
    with torch.no_grad():
        y = module.stem(x)
        for part in found[:2]:
            y = twice[part](y)
        y = module.head(module.blocks[3](module.blocks[2](y)))
        torch.testing.assert_close(joined(network, twice)(x), y, rtol=1e-4, atol=1e-5)


def test_network_is_that_without_the_block_when_nothing_stands_in_its_place() -> None:
    module, network = whole()
    x = images(5)
    first, second = parts(network, x[:2])[:2]
    nothing = {
        part: Network({"inputs": [part.entry], "output": part.entry, "nodes": []})
        for part in (first, second)
    }
    module.gone = (0, 1)
    with torch.no_grad():
        wanted = module(x)
        torch.testing.assert_close(joined(network, nothing)(x), wanted, rtol=1e-4, atol=1e-5)


def test_strides_are_those_of_a_convolution_that_is_padded_by_half() -> None:
    assert strides((8, 8), (8, 4)) == (1, 2)
    assert strides((7,), (4,)) == (2,)
    assert strides((8, 8), (6, 6)) is None  # without borders
    assert strides((4,), (8,)) is None
