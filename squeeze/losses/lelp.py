"""Kinds within a class, for few classes (Loo et al., "Linear Projections of Teacher Embeddings for Few-Class
Distillation", 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze.errors import ConfigError
from squeeze.losses.loss import Loss, Space, Start, above_zero, target_of
from squeeze.losses.means import pure

if TYPE_CHECKING:
    from squeeze.outputs import Outputs

_LOOKED_AT = 20_000  # samples, for the last layer and the directions
_FLAT = 1e-4  # of the largest singular value: below it a direction is noise of float16 answers


class LELP(Loss):
    """t^2 * KL(teacher || student) + sum over classes c of teacher_c * KL(kinds of c || the student's), hardened.

    At t = 1 that is the divergence of one distribution over classes x kinds, whose share of a kind within its class
    comes from the teacher's embedding: what of it the logits don't say, along the `kinds` main directions of its
    class, turned at random so that none of them leads, scaled to a spread of `sharpness`, by a softmax. The student
    says kinds by a linear layer on its own embedding, which goes with the loss; its classes are the sums over kinds,
    so its last layer stays what it was. One kind is `kd`. Logits [n, c], embeddings [n, d] of the layer that makes the
    logits.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"embedding"})
    fewest_outputs: ClassVar[int] = 2
    space: ClassVar[Space] = "classes"
    prepares: ClassVar[bool] = True

    def __init__(
        self,
        temperature: float = 4.0,
        label_weight: float = 0.0,
        kinds: float = 4,
        sharpness: float = 1.0,
    ) -> None:
        super().__init__(temperature, label_weight)
        if kinds < 1 or kinds != int(kinds):
            raise ValueError(f"kinds must be a whole number from 1 on (got {kinds:g})")
        above_zero(sharpness=sharpness)
        self.kinds, self.sharpness = int(kinds), sharpness

    def prepare(self, start: Start) -> None:
        """Finds the directions, and makes the student's layer. Raises ConfigError where the embedding is too narrow."""
        embeddings, logits, members = _looked_at(start)
        classes, width = logits.shape[1], embeddings.shape[1]
        left = unsaid(last_layer(embeddings, logits))
        if (free := round(float(left.trace()))) < self.kinds:
            raise ConfigError(
                f"distill.loss: 'lelp': {self.kinds} kinds need as many directions beside the logits, and the teacher's"
                f" embedding of {width} has {free}; use fewer kinds, or 'kd'"
            )
        turn, _ = torch.linalg.qr(torch.randn(self.kinds, self.kinds, dtype=torch.float64))
        least = _FLAT * float(embeddings.square().mean().sqrt())
        directions, offsets = [], []
        for c in range(classes):
            found, offset = _directions(embeddings[members == c] @ left, self.kinds, turn, least)
            directions.append(self.sharpness * found @ left)
            offsets.append(self.sharpness * offset)
        # kinds of class c = softmax(directions[c] @ embedding - offsets[c])
        self.register_buffer("directions", torch.stack(directions).float())
        self.register_buffer("offsets", torch.stack(offsets).float())
        self.directions: Tensor
        self.offsets: Tensor
        self.head = nn.Linear(start.student.taps["embedding"].shape[1], classes * self.kinds)

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        logits = student.logits.float()
        log_q = functional.log_softmax(logits / self.temperature, 1)
        log_p, log_r = self.of_teacher(teacher)
        mine = self.head(student.taps["embedding"].float()).view_as(log_r)
        within = (log_r.exp() * (log_r - functional.log_softmax(mine, 2))).sum(2)
        # Kinds are not softened, so that their gradient is not faded by the temperature.
        soft = self.temperature**2 * (log_p - log_q) + within
        return self.hardened((log_p.exp() * soft).sum(1).mean(), logits, labels)

    @torch.no_grad()
    def of_teacher(self, teacher: Outputs[Tensor]) -> tuple[Tensor, Tensor]:
        """Logarithms of the teacher's classes [n, c] and of kinds within each [n, c, kinds]."""
        embedding = teacher.taps["embedding"].float()
        coordinates = torch.einsum("nd,ckd->nck", embedding, self.directions) - self.offsets
        log_p = functional.log_softmax(teacher.logits.float() / self.temperature, 1)
        return log_p, functional.log_softmax(coordinates, 2)


def last_layer(embeddings: Tensor, logits: Tensor) -> Tensor:
    """The weights [c, d] that make logits [n, c] of embeddings [n, d], in float64."""
    mean = embeddings.mean(0)
    found = torch.linalg.lstsq(embeddings - mean, logits - logits.mean(0), driver="gelsd")
    weights: Tensor = found.solution.T
    return weights


def unsaid(weights: Tensor) -> Tensor:
    """The projection [d, d] onto what a layer of these weights [c, d] does not see."""
    _, values, rows = torch.linalg.svd(weights, full_matrices=False)
    seen = rows[values > _FLAT * values.max()]
    left: Tensor = torch.eye(weights.shape[1], dtype=weights.dtype) - seen.T @ seen
    return left


def _looked_at(start: Start) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings [n, d] and logits [n, c] in float64, and the class of each; -1 for blends."""
    embeddings, logits, members, count = [], [], [], 0
    for answers, labels in start.answers():
        own = target_of(labels, answers.logits)
        members.append(own.where(pure(labels, len(own)), torch.full_like(own, -1)))
        embeddings.append(answers.taps["embedding"].double())
        logits.append(answers.logits.double())
        if (count := count + len(own)) >= _LOOKED_AT:
            break
    return torch.cat(embeddings), torch.cat(logits), torch.cat(members)


def _directions(rows: Tensor, kinds: int, turn: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """Main directions [kinds, d] of rows [n, d], turned and scaled to a spread of 1, and the mean along them.

    Zeros, so that all kinds are alike, for a class of one sample, or of samples no wider than `least`.
    """
    found = rows.new_zeros(kinds, rows.shape[1])
    if len(rows) < 2:
        return found, rows.new_zeros(kinds)
    mean = rows.mean(0)
    _, values, axes = torch.linalg.svd(rows - mean, full_matrices=False)
    spread = (values[:kinds].square().sum() / len(rows) / kinds).sqrt()
    if spread > least:
        found[: len(axes)] = axes[:kinds]
        found = turn @ found / spread
    return found, found @ mean
