"""Encoders of texts (of the kind of BERT) and of images (ViT): as numbers, as a torch network, and cut smaller.

Params     everything that a network of this kind needs to know, and what it costs before it is built
Encoder    the torch network; `sliced` the weights of a smaller one, as views of a larger one's; `factorised` a smaller
           table of words
"""

from squeeze.students.encoder.factorising import factorised
from squeeze.students.encoder.network import Encoder
from squeeze.students.encoder.params import FAMILY, Costs, Dense, Params, Patches
from squeeze.students.encoder.slicing import fresh_tail, sliced

__all__ = [
    "FAMILY",
    "Costs",
    "Dense",
    "Encoder",
    "Params",
    "Patches",
    "factorised",
    "fresh_tail",
    "sliced",
]
