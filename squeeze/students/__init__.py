"""Students: an ArchSpec becomes a torch module, and its cost is known before it is built.

arch = ArchSpec(family="resnet", params={...})       params hold everything: shapes, outputs, widths, ...
module = students.build(arch)                         logits; .taps(x), .features(x), .embed(map), .classifier
students.deployed(module, "softmax")                  as exported: with the teacher's final activation
students.cost(arch).macs
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from squeeze.errors import ConfigError, unknown
from squeeze.spec import ArchSpec, parse
from squeeze.students import dsconv, encoder, mbconv, mlp, network, resnet, vit
from squeeze.students.layer import Layer, dense
from squeeze.students.network import Network
from squeeze.students.student import TAPS, Deployed, Student, initialise
from squeeze.students.student_spec import Activation, StudentSpec, layout_of
from squeeze.students.token_student import TokenStudent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.calib import Calib
    from squeeze.interface import TensorSpec
    from squeeze.students.family import Family, Genome
    from squeeze.students.student import AnyBlock
    from squeeze.students.tokens import Part
    from squeeze.teacher import Teacher

FAMILIES: dict[str, Family] = {
    "dsconv": dsconv.FAMILY,
    "mbconv": mbconv.FAMILY,
    "mlp": mlp.FAMILY,
    "resnet": resnet.FAMILY,
    "vit": vit.FAMILY,
}

# Its students are parts of their teacher and have its weights: they are searched by `train.supernet`.
ENCODER = encoder.FAMILY
# Its students are their teacher, whose tokens get a part of its layers each.
ADAPTIVE = encoder.ADAPTIVE

_FLOATS = ("float16", "float32", "float64")
# From this share of depthwise convolutions on, a teacher is of the depthwise kind.
_DEPTHWISE_SHARE = 0.25


@dataclass(frozen=True)
class ArchCost:
    """What one inference of one sample costs, computed from the layers: an estimate of the exported file's numbers.

    params: with normalisation folded. activations: elements of each layer's output.
    """

    params: int
    macs: int
    activations: tuple[int, ...]
    layers: tuple[Part, ...]


def arch_of(family: str, spec: StudentSpec, genome: Genome) -> ArchSpec:
    """The ArchSpec of `genome` for `spec`, in the form that JSON gives back. Raises ConfigError."""
    known = spec.model_dump(include=set(StudentSpec.model_fields))
    return _canonical(ArchSpec(family=family, params={**known, **genome}))


def build(arch: ArchSpec, *, seed: int = 0) -> Student:
    """The untrained module of `arch`; equal seeds give equal weights, and torch's own random state is left as found.

    Raises ConfigError for an unknown family or parameter and for values that do not belong together; `rebuild` makes
    networks that are described node by node too.
    """
    blocks, head, params = _plan(arch)
    # Weights are drawn once, by initialise: on the meta device torch draws none, and its random state is not touched.
    with torch.device("meta"):
        student = _family(arch).student(blocks, head, params.layout)
    initialise(student.to_empty(device="cpu"), seed)
    return student


def rebuild(arch: ArchSpec) -> nn.Module:
    """The module of any ArchSpec, a Network or one of the encoders among them, for weights to be loaded into. Raises
    ConfigError."""
    if arch.family == ENCODER:
        return encoder.Encoder(parse(encoder.Params, arch.params, f"architecture '{ENCODER}'"))
    if arch.family == ADAPTIVE:
        params = parse(encoder.AdaptiveParams, arch.params, f"architecture '{ADAPTIVE}'")
        return encoder.AdaptiveEncoder(params)
    return Network(arch.params) if arch.family == network.FAMILY else build(arch)


def deployed(module: nn.Module, activation: Activation) -> nn.Module:
    """`module` with the teacher's final activation over the last axis; with "none" the module itself."""
    if activation == "softmax":
        return Deployed(module, nn.Softmax(dim=-1))
    if activation == "sigmoid":
        return Deployed(module, nn.Sigmoid())
    return module


def cost(arch: ArchSpec) -> ArchCost:
    """Parameters, multiply-accumulates and activation sizes, without building the module. Raises ConfigError."""
    blocks, head, _ = _plan(arch)
    layers = (*(layer for block in blocks for layer in block.layers), head)
    return ArchCost(
        sum(layer.params for layer in layers),
        sum(layer.macs for layer in layers),
        tuple(layer.activations for layer in layers),
        layers,
    )


def is_transformer(arch: ArchSpec) -> bool:
    """Whether students of this architecture end with tokens. Raises ConfigError."""
    return issubclass(_family(arch).student, TokenStudent)


def fitting(teacher: Teacher, calib: Calib, families: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Families that can replace this teacher, the likeliest first.

    For a teacher with depthwise convolutions those with, then those without; for others only those without, where one
    fits: depthwise int8 runs at a tenth of the rate.
    families: only these, in this order, when given; a name that is not in FAMILIES is a ConfigError. Some fit only
    then (`Family.asked`).
    None fits tokens, inputs that are no floats, outputs that are not floats [n, c], several inputs or outputs, and a
    batch that is not the first axis.
    """
    for name in families:
        if name not in FAMILIES:
            raise ConfigError(unknown("search.families", name, FAMILIES))
    taken, given = teacher.interface.inputs, teacher.interface.outputs
    if len(taken) != 1 or len(given) != 1 or not all(map(_learnable, (*taken, *given))):
        return ()
    if len(given[0].shape) != 1:
        return ()
    shape = taken[0].shape
    census = teacher.census
    separable = census.get("DepthwiseConv", 0) >= _DEPTHWISE_SHARE * max(1, census.get("Conv", 0))
    usual = [name for name, family in FAMILIES.items() if not family.asked]
    order = families or sorted(usual, key=lambda n: FAMILIES[n].depthwise != separable)
    found = tuple(name for name in order if FAMILIES[name].fits(calib.modality, shape))
    dense = tuple(name for name in found if not FAMILIES[name].depthwise)
    return found if families or separable else dense or found


def spec_of(teacher: Teacher, calib: Calib) -> StudentSpec:
    """What a student of this teacher takes and gives."""
    shape = teacher.input.shape
    return StudentSpec(
        input_shape=shape,
        outputs=teacher.output.shape[0],
        output_activation=teacher.output_activation,
        layout=layout_of(calib.modality, shape),
    )


def _learnable(spec: TensorSpec) -> bool:
    """Floats of any width, for students compute in float32 inside, with the batch first."""
    return spec.dtype in _FLOATS and spec.batch_axis == 0


def _canonical(arch: ArchSpec) -> ArchSpec:
    params = parse(_family(arch).params, arch.params, f"architecture '{arch.family}'")
    return ArchSpec(family=arch.family, params=params.model_dump(mode="json"))


def _family(arch: ArchSpec) -> Family:
    if arch.family == network.FAMILY:
        raise ConfigError("architecture 'network' is rebuilt with its weights (students.rebuild)")
    if arch.family not in FAMILIES:
        raise ConfigError(unknown("architecture family", arch.family, FAMILIES))
    return FAMILIES[arch.family]


def _plan(arch: ArchSpec) -> tuple[Sequence[AnyBlock], Layer, StudentSpec]:
    family = _family(arch)
    params = parse(family.params, arch.params, f"architecture '{arch.family}'")
    blocks = family.blocks(params)
    head = dense(blocks[-1].outputs, params.outputs, ())
    return blocks, head, params


__all__ = [
    "ADAPTIVE",
    "ENCODER",
    "FAMILIES",
    "TAPS",
    "ArchCost",
    "Network",
    "Student",
    "arch_of",
    "build",
    "cost",
    "deployed",
    "fitting",
    "initialise",
    "is_transformer",
    "rebuild",
    "spec_of",
]
