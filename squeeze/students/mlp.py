"""Multi-layer perceptron for vectors: Linear, batch normalisation, ReLU per layer. Also regression, autoencoders."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from squeeze.students.family import Family, Gene, Genome, per_stage
from squeeze.students.layer import Block, dense
from squeeze.students.stages import WIDTHS, check_rank
from squeeze.students.student_spec import StudentSpec, Width

_LAYERS = 3


class Params(StudentSpec):
    """`widths` has one entry per hidden layer."""

    widths: Annotated[tuple[Width, ...], Field(min_length=1, max_length=16)]


def fits(modality: str, input_shape: tuple[int, ...]) -> bool:
    """Feature vectors; an input of more dimensions is flattened."""
    return modality == "vector" and len(input_shape) >= 1


def smallest(spec: StudentSpec, coarse: bool) -> Genome:
    """Three hidden layers of 8; there is no map that `coarse` could halve."""
    return {"widths": (8,) * _LAYERS}


def space(spec: StudentSpec) -> tuple[Gene, ...]:
    """The width of each hidden layer."""
    return per_stage("widths", _LAYERS, (*WIDTHS, 640, 768, 1024))


def blocks(params: Params) -> list[Block]:
    """One block per hidden layer. Raises ConfigError."""
    check_rank("mlp", params.size, (0,))
    found, channels = [], params.channels
    for width in params.widths:
        found.append(Block((dense(channels, width, ()),)))
        channels = width
    return found


FAMILY = Family("mlp", False, Params, fits, smallest, space, blocks)
