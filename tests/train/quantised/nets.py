"""Small networks on their way through training: quantised, on grids, and moved as training moves them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from squeeze import graph, runtimes
from squeeze.train.quantised import QUANTISERS, ranges
from squeeze.train.quantised.door import network_of
from squeeze.train.quantised.network import QuantNetwork
from tests.graph.small import Array


def run(model: ir.Model, x: Array) -> Array:
    """What ONNX Runtime computes, with its optimisations, as a user has it."""
    return runtimes.run(runtimes.session(graph.to_bytes(model)), x)


def forward(network: QuantNetwork, x: Array) -> Array:
    """[n, ...] -> the network's output in eval mode."""
    with torch.no_grad():
        return network.eval()(torch.from_numpy(x)).numpy()


def trainable(model: ir.Model, x: Array) -> QuantNetwork:
    """The network of a float graph, its normalisation on the statistics of `x` in two batches."""
    return network_of(model, lambda: iter(torch.from_numpy(x).chunk(2)))


def quantised(network: QuantNetwork, kind: str, bits: int, x: Array, *, low: int = 0) -> None:
    """LSQ of 8 bits at both ends, `kind` of `bits` bits between them, activations on grids of 8 bits."""
    layers = list(network.weighted)
    for layer in layers:
        inside = layer not in (layers[0], layers[-1])
        name, width = (kind, bits) if inside else ("lsq", 8)
        network.quantise_weights(layer, lambda w, n=name, b=width: QUANTISERS[n](w, b))
    ranges.prepare(network, low, low + 255)
    network.estimate_norms(iter(torch.from_numpy(x).chunk(2)))
    ranges.calibrate(network, torch.from_numpy(x).chunk(2), low, low + 255)


@torch.no_grad()
def move(network: QuantNetwork, seed: int = 0) -> None:
    """Moves everything that learns, by some per cent."""
    rng = np.random.default_rng(seed)
    for p in network.parameters():
        if p.requires_grad:
            p.mul_(_draw(rng, p))
    for norm in network.norms.values():
        norm.running_mean.add_(0.1 * norm.running_var.sqrt())
        norm.running_var.mul_(_draw(rng, norm.running_var))


def _draw(rng: np.random.Generator, like: Tensor) -> Tensor:
    return torch.from_numpy(rng.uniform(0.92, 1.08, tuple(like.shape)).astype(np.float32))
