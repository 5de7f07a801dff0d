"""What a student that inherits learns: what its teacher says of samples and their pairs, of tokens and their pairs.

Relations: Wang et al., "MiniLMv2: Multi-Head Self-Attention Relation Distillation", 2021. Heads of relations are not
those of attention, so that networks of any number of heads compare. Attention: Wang et al., "MiniLM: Deep
Self-Attention Distillation for Task-Agnostic Compression of Pre-Trained Transformers", 2020.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    from squeeze.losses import Loss
    from squeeze.outputs import Outputs

_RELATIONS = ("queries", "keys", "values")
_RELATION_WIDTH = 32  # at least, of a head of relations
_FAR = -1e4


@dataclass(frozen=True)
class Objective:
    """answer: of outputs, on the scale of what it compares. answers: its weight; pairs, states, relations, attention:
    those of the others, 0 for none; pairs only where outputs are directions. head_size: of the teacher's heads of
    attention."""

    answer: Loss
    answers: float = 1.0
    pairs: float = 10.0
    states: float = 1.0
    relations: float = 0.1
    attention: float = 0.0
    head_size: int = 64

    def __call__(
        self,
        student: Outputs[Tensor],
        teacher: Outputs[Tensor],
        widen: Callable[[Tensor], Tensor],
        labels: Tensor | None = None,
    ) -> Tensor:
        """Outputs and taps as `Encoder.taps` gives them. widen: states of the student as wide as the teacher's."""
        total = torch.zeros((), device=student.logits.device)
        if self.answers:
            total = total + self.answers * self.answer(student, teacher, labels)
        if self.pairs and self.answer.space == "directions":
            total = total + self.pairs * pairs(student.logits, teacher.logits)
        mask = teacher.taps["mask"]
        if self.states:
            found = states(widen(student.taps["states"]), teacher.taps["states"], mask)
            total = total + self.states * found
        if self.relations:
            found = torch.stack(
                [relation(student.taps[name], teacher.taps[name], mask) for name in _RELATIONS]
            )
            total = total + self.relations * found.sum()
        if self.attention:
            total = total + self.attention * self._attention(student, teacher, mask)
        return total

    def _attention(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], mask: Tensor
    ) -> Tensor:
        """Of the teacher's own heads where the student has as many, which are as wide; else of heads of relations."""
        ours, theirs = (
            (o.taps["queries"].float(), o.taps["keys"].float()) for o in (student, teacher)
        )
        widths = ours[0].shape[-1], theirs[0].shape[-1]
        heads = widths[0] // self.head_size if widths[0] == widths[1] else relation_heads(*widths)
        return divergence(ours, theirs, heads, mask)


def pairs(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the cosines of all pairs of a batch; both [n, d]."""
    a, b = (functional.normalize(x.float(), dim=-1) for x in (student, teacher))
    return (a @ a.T - b @ b.T).square().mean()


def states(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Squared difference of the states [n, s, h] of tokens that count, as a share of their mean square."""
    a, b, counted = student.float(), teacher.float(), mask[:, :, None]
    return ((a - b).square() * counted).sum() / (b.square() * counted).sum()


def relation(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Divergence of the relations of tokens to each other. student: [n, s, a], teacher: [n, s, b], mask: [n, s]."""
    heads = relation_heads(student.shape[-1], teacher.shape[-1])
    ours, theirs = student.float(), teacher.float()
    return divergence((ours, ours), (theirs, theirs), heads, mask)


def divergence(
    student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], heads: int, mask: Tensor
) -> Tensor:
    """KL of softmax(x y^T / sqrt(d)) for each head, teacher to student, the mean over heads and tokens that count. Both
    are an x and a y, [n, s, width], whose widths the heads divide; mask: [n, s]."""
    p, q = (_relations(x, y, heads, mask) for x, y in (teacher, student))
    found = (p.exp() * (p - q)).sum(-1)  # [n, heads, s]
    counted = mask[:, None, :]
    return (found * counted).sum() / (heads * counted.sum())


def relation_heads(a: int, b: int) -> int:
    """As many as both widths can be cut into, each at least 32 wide where that goes."""
    common = math.gcd(a, b)
    most = max(1, min(a, b) // _RELATION_WIDTH)
    return max(n for n in range(1, most + 1) if common % n == 0)


def _relations(x: Tensor, y: Tensor, heads: int, mask: Tensor) -> Tensor:
    """Logarithms of the relations of tokens of x to those of y, [n, heads, s, s]."""
    one, other = (z.reshape(*z.shape[:2], heads, -1).transpose(1, 2) for z in (x, y))
    scores: Tensor = one @ other.transpose(-1, -2) / math.sqrt(one.shape[-1])
    return (scores + ((1 - mask) * _FAR)[:, None, None, :]).log_softmax(-1)
