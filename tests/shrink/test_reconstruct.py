"""Children whose layers were refitted, against the network that they come from."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from squeeze.prune import importance
from squeeze.prune.structured import prunable
from squeeze.shrink.blocks import blocks, without
from squeeze.shrink.costs import Costs, costs_of, units_beyond
from squeeze.shrink.reconstruct import reconstruct, rows_of
from squeeze.students import Network
from tests.shrink.networks import images, whole


def difference(network: Network, other: Network, x: Tensor) -> float:
    """Mean square of what they say apart."""
    with torch.no_grad():
        return float((network(x) - other(x)).square().mean())


def test_child_says_what_the_network_says_when_everything_is_kept() -> None:
    _, network = whole()
    x = images(64)
    child = without(network, ()).network
    reconstruct(child, {}, {}, rows_of(network, x), x)
    with torch.no_grad():
        torch.testing.assert_close(child(x), network(x), rtol=1e-5, atol=1e-5)


def test_child_comes_nearer_on_other_samples_when_channels_went() -> None:
    _, network = whole()
    x, other = images(256, 5), images(64, 6)
    found = prunable(network, x[:2])
    scores = importance("l2")(found.module, found.coupling.bundles, [])
    costs = costs_of(network, x[:2])
    units = units_beyond(found, scores, 8, Costs(costs.ms, costs.bytes * 0.6))
    pruned = found.without(units)
    child = pruned.module
    assert isinstance(child, Network)
    before = difference(child, network, other)
    reconstruct(child, pruned.gone, {}, rows_of(network, x), x)
    assert difference(child, network, other) < 0.5 * before


def test_block_before_takes_over_what_one_did_when_it_went() -> None:
    _, network = whole()
    x, other = images(256, 5), images(64, 6)
    short = without(network, blocks(network, x[:2])[1:2])
    before = difference(short.network, network, other)
    rows = rows_of(network, x)
    # Without knowing what stands for what, layers are held to what they made where the block still was.
    apart, told = copy.deepcopy(short.network), short.network
    reconstruct(apart, {}, {}, rows, x)
    reconstruct(told, {}, short.stands_for, rows, x)
    assert difference(told, network, other) < min(before, difference(apart, network, other))


def test_rows_are_those_of_channels_that_stayed_when_some_went() -> None:
    _, network = whole()
    x = images(16)
    rows = rows_of(network, x)
    first = network.nodes[0]
    # All places of the 8 x 8 of 16 samples, for they are no more than 2,048.
    assert rows[first["outputs"][0]].shape == (16 * 64, 16)
    of_many = rows_of(network, images(256))
    assert of_many[first["outputs"][0]].shape == (256 * 8, 16)
    assert rows[network.output].shape == (16, 10)
