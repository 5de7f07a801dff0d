"""Makes the shapes of a Network follow its channels: numbers that an export has written down become "the rest"."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from squeeze.students.network import Network


def flexible(module: nn.Module, example: Tensor) -> None:
    """In place; the network computes the same. Other modules are left alone.

    Reshape to [n, c] or [n, c, 1, ...]: [0, -1, 1, ...], where it gives the same. Split into equal parts: with its
    sizes written out, which the surgery then changes.
    """
    if not isinstance(module, Network):
        return
    with torch.no_grad():
        expected = module(example)
        for node in module.nodes:
            attributes = node["attributes"]
            if node["op"] == "Reshape":
                shape = attributes["shape"]
                if len(shape) < 2 or any(d != 1 for d in shape[2:]):
                    continue
                follows = {**attributes, "shape": [0, -1, *shape[2:]], "allowzero": 0}
                node["attributes"] = follows
                if not _same(module, example, expected):
                    node["attributes"] = attributes
    _write_sizes(module, example)


def module_splits(module: Network) -> list[dict[str, Any]]:
    """The attributes of its Split nodes, in the order they run."""
    return [node["attributes"] for node in module.nodes if node["op"] == "Split"]


def module_pads(module: Network) -> list[tuple[list[int], int, int]]:
    """For each Pad node that adds channels: its pads, and where in them those before and after the channels are."""
    found = []
    for node in module.nodes:
        if node["op"] == "Pad":
            pads: list[int] = node["attributes"]["pads"]
            axes = node["attributes"].get("axes") or list(range(len(pads) // 2))
            if 1 in axes:
                at = axes.index(1)
                if pads[at] or pads[at + len(axes)]:
                    found.append((pads, at, at + len(axes)))
    return found


def _same(module: Network, example: Tensor, expected: Tensor) -> bool:
    try:
        found: Tensor = module(example)
    except (RuntimeError, ValueError, IndexError):
        return False
    return found.shape == expected.shape and torch.equal(found, expected)


def _write_sizes(module: Network, example: Tensor) -> None:
    compute = module.compute

    def noted(node: dict[str, object], x: list[Tensor]) -> object:
        found = compute(node, x)
        if node["op"] == "Split":
            attributes = node["attributes"]
            assert isinstance(attributes, dict)
            axis = attributes.get("axis", 0)
            attributes["split"] = [part.shape[axis] for part in found]
        return found

    module.compute = noted  # type: ignore[method-assign]
    try:
        with torch.no_grad():
            module(example)
    finally:
        del module.compute
