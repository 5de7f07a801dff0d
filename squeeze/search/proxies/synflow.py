"""SynFlow (Tanaka et al. 2020): the flow through all paths of |weights| when every input is one; no data, no labels.

In float64, without normalisation, as a logarithm: the flow is a product over layers.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from squeeze.search.panel import Panel
    from squeeze.students import Student


def score(student: Student, panel: Panel) -> float:
    """log of the flow."""
    return math.log(flow(student, panel.x.shape[1:]))


def flow(module: nn.Module, input_shape: torch.Size) -> float:
    """Sum over weights of |w dR/dw|, with R the sum of outputs for an input [1, *input_shape] of ones.

    Works on a copy, biases set to zero; for a chain of L layers it is L times R.
    """
    linear = _without_normalisation(copy.deepcopy(module)).double().eval()
    weights = []
    with torch.no_grad():
        for name, parameter in linear.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            else:
                parameter.abs_()
                weights.append(parameter)
    with torch.enable_grad():
        total = linear(torch.ones(1, *input_shape, dtype=torch.float64)).sum()
        gradients = torch.autograd.grad(total, weights)
    flows = [(w.detach() * g).sum() for w, g in zip(weights, gradients, strict=True)]
    return float(sum(flows))


def _without_normalisation(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm)):
            setattr(module, name, nn.Identity())
        else:
            _without_normalisation(child)
    return module
