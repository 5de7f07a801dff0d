"""Places of the batch as a graph (after Zhang et al., "Knowledge Distillation via Token-level Relationship Graph",
2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from squeeze.losses.loss import Loss, Space, above_zero
from squeeze.losses.maps import level

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class TRG(Loss):
    """The squared difference of two graphs by their number of edges + context * KL of what stands out in a sample.

    A node is a place of a feature map, `nodes` of them drawn from the batch, the same of both networks; an edge goes to
    each of its `neighbours` nearest, as strong as the cosine. What stands out: a softmax over the places of a sample of
    their cosines to its mean, over `contrast`. The weights of the paper are not known to us; these are ours. At the
    places of the smaller map. Uses no temperature and no labels.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"feature_map"})
    space: ClassVar[Space] = "features"

    def __init__(
        self,
        temperature: float = 4.0,
        label_weight: float = 0.1,
        nodes: float = 256,
        neighbours: float = 16,
        context: float = 1.0,
        contrast: float = 0.1,
    ) -> None:
        super().__init__(temperature, label_weight)
        above_zero(nodes=nodes, neighbours=neighbours, contrast=contrast)
        if context < 0:
            raise ValueError(f"context must be 0 or more (got {context:g})")
        self.nodes, self.neighbours = int(nodes), int(neighbours)
        self.context, self.contrast = context, contrast

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        ours, theirs = (
            functional.normalize(x.flatten(2).transpose(1, 2), dim=2)  # [n, places, c]
            for x in level(student.taps["feature_map"], teacher.taps["feature_map"].detach())
        )
        count = ours.shape[0] * ours.shape[1]
        # Torch's own generator: the training seeds it at every step.
        drawn = torch.randperm(count)[: self.nodes].to(ours.device)
        graphs = (graph(x.flatten(0, 1)[drawn], self.neighbours) for x in (ours, theirs))
        edges = len(drawn) * min(self.neighbours, max(1, len(drawn) - 1))
        total = (next(graphs) - next(graphs)).square().sum() / edges
        log_q, log_p = (standing_out(x, self.contrast) for x in (ours, theirs))
        return total + self.context * (log_p.exp() * (log_p - log_q)).sum(1).mean()


def graph(rows: Tensor, neighbours: int) -> Tensor:
    """[m, m] cosines of rows [m, c] of length 1 to their nearest, 0 to the others and to themselves."""
    found = rows @ rows.T
    found = found - torch.diag_embed(found.diagonal())
    near = min(neighbours, max(1, len(rows) - 1))
    others = found.detach().masked_fill(torch.eye(len(rows), device=rows.device).bool(), -torch.inf)
    kept = torch.zeros_like(found).scatter(1, others.topk(near, dim=1).indices, 1.0)
    return found * kept


def standing_out(rows: Tensor, contrast: float) -> Tensor:
    """[n, places] log-probabilities, of rows [n, places, c] of length 1."""
    mean = functional.normalize(rows.mean(1, keepdim=True), dim=2)
    return functional.log_softmax((rows * mean).sum(2) / contrast, 1)
