"""The networks that the quantisation benchmark trains, from the files of `benchmarks.qat_structures`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.qat_views import DEVICE
from squeeze.students import Network
from squeeze.train.quantised import QUANTISERS, ranges
from squeeze.train.quantised.network import QuantNetwork
from squeeze.train.quantised.plan import Plan

GRID = (0, 255)


def structure(folder: Path, name: str) -> tuple[dict[str, Any], Plan]:
    """Description and plan of a network."""
    found = json.loads((folder / f"{name}.json").read_text())
    known = found["plan"]
    read = {(a, b): root for a, b, root in known["read"]}
    return found["params"], Plan(tuple(known["weighted"]), known["made"], read, known["absorbed"])


def fresh(folder: Path, name: str, seed: int) -> QuantNetwork:
    """A student with He-normal weights and fresh normalisation."""
    network = QuantNetwork(*structure(folder, name))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in network.weighted:
            module: Any = network.layers[layer]
            if layer in network.norms:
                fan_out = module.weight.numel() / module.in_channels * module.groups
                module.weight.normal_(0, (2 / fan_out) ** 0.5, generator=generator)
            else:
                module.weight.normal_(0, module.in_features**-0.5, generator=generator)
    return network


def quantised(
    folder: Path, name: str, state: dict[str, Tensor], kind: str, bits: int
) -> QuantNetwork:
    """A trained student with weights at `bits`, 8 in the first and the last layer."""
    network = QuantNetwork(*structure(folder, name))
    network.load_state_dict(state)
    layers = list(network.weighted)
    for layer in layers:
        ends = layer in (layers[0], layers[-1])
        chosen, width = ("lsq", 8) if ends else (kind, bits)
        network.quantise_weights(layer, lambda w, c=chosen, b=width: QUANTISERS[c](w, b))
    ranges.prepare(network, *GRID)
    return network


def teacher(folder: Path, name: str) -> Network:
    """A teacher in eval mode."""
    found = Network(structure(folder, name)[0])
    found.load_state_dict(load_file(folder / f"{name}.safetensors"))
    return found.to(DEVICE).to(memory_format=torch.channels_last).eval()
