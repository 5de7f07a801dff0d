"""NASWOT (Mellor et al. 2021): how differently ReLUs switch for different samples, log |det K| of code overlaps.

GELUs count as they do: they have the sign of what they are given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from squeeze.search.untouched import untouched

if TYPE_CHECKING:
    from squeeze.search.panel import Panel
    from squeeze.students import Student


def score(student: Student, panel: Panel) -> float:
    """log |det K|; -inf when two samples of the panel switch all units alike."""
    with untouched(student, training=True), torch.no_grad():
        kernel = overlaps(student, panel.x)
    return log_determinant(kernel)


def overlaps(module: nn.Module, x: Tensor) -> Tensor:
    """K [b, b]: the number of units that agree between two samples, summed over layers; the diagonal is all of them."""
    kernel = torch.zeros(len(x), len(x), dtype=torch.float64)

    def count(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        code = (output.flatten(1) > 0).float()  # [b, n]
        both = (code @ code.T).double()
        active = both.diagonal()
        # Off together: n - a_i - a_j + both.
        kernel.add_(2 * both + code.shape[1] - active[:, None] - active[None, :])

    switches = (m for m in module.modules() if isinstance(m, (nn.ReLU, nn.GELU)))
    hooks = [m.register_forward_hook(count) for m in switches]
    try:
        module(x)
    finally:
        for hook in hooks:
            hook.remove()
    return kernel


def log_determinant(kernel: Tensor) -> float:
    """log |det K|, -inf for a singular K."""
    found = torch.linalg.slogdet(kernel)
    return float(found.logabsdet) if found.sign != 0 else float("-inf")
