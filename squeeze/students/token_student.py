"""The module class of students that end with tokens: what is pooled is the class token, or the mean of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from squeeze.students.encoder.network import Layer as TransformerLayer
from squeeze.students.positions import Positions
from squeeze.students.student import Student
from squeeze.students.tokens import Embedding, Encoding, Normalisation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.students.layer import Layer
    from squeeze.students.student import AnyBlock
    from squeeze.students.student_spec import Layout


class TokenStudent(Student):
    """A `Student` whose features are tokens [n, s, d], class tokens first."""

    def __init__(self, blocks: Sequence[AnyBlock], head: Layer, layout: Layout) -> None:
        super().__init__(blocks, head, layout)
        (embedding,) = (block for block in blocks if isinstance(block, Embedding))
        self.class_tokens, self.size = embedding.class_tokens, embedding.size

    def embed(self, features: Tensor) -> Tensor:
        """The class token where there is one, else the mean: [n, s, d] -> [n, d]."""
        return features[:, 0] if self.class_tokens else features.mean(1)

    def map_of(self, features: Tensor) -> Tensor:
        """[n, s, d] -> the places alone, [n, d, h, w]."""
        places = features[:, self.class_tokens :].transpose(1, 2)
        return places.reshape(*places.shape[:2], *self.size)

    def module_of(self, block: AnyBlock) -> nn.Module:
        """The module of one block."""
        if isinstance(block, Embedding):
            return Positions(block.tokens, block.channels, block.class_tokens)
        if isinstance(block, Encoding):
            return TransformerLayer(block, norm_first=True)
        if isinstance(block, Normalisation):
            return nn.LayerNorm(block.channels, eps=block.eps)
        return super().module_of(block)
