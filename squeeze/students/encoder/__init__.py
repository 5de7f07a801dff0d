"""Encoders of texts (of the kind of BERT) and of images (ViT): as numbers, as a torch network, and cut smaller.

Params     everything that a network of this kind needs to know, and what it costs before it is built
AdaptiveEncoder   one whose tokens get as many of a layer's learners as they need
Encoder    the torch network; `sliced` the weights of a smaller one, as views of a larger one's; `factorised` a smaller
           table of words; `without` heads and channels; `gated` what importance is measured by
"""

from squeeze.students.encoder.adaptive import (
    ADAPTIVE,
    AdaptiveEncoder,
    AdaptiveParams,
    adaptive,
    with_capacities,
)
from squeeze.students.encoder.factorising import factorised
from squeeze.students.encoder.gates import Gates, gated
from squeeze.students.encoder.learners import Learners
from squeeze.students.encoder.network import Encoder, Layer
from squeeze.students.encoder.params import FAMILY, Costs, Dense, Params, Patches, Widths
from squeeze.students.encoder.slicing import fresh_tail, sliced
from squeeze.students.encoder.without import without

__all__ = [
    "ADAPTIVE",
    "FAMILY",
    "AdaptiveEncoder",
    "AdaptiveParams",
    "Costs",
    "Dense",
    "Encoder",
    "Gates",
    "Layer",
    "Learners",
    "Params",
    "Patches",
    "Widths",
    "adaptive",
    "factorised",
    "fresh_tail",
    "gated",
    "sliced",
    "with_capacities",
    "without",
]
