"""Training at quantised weights: what a network is quantised with, and what is its own in a step of the loop.

The weight quantisers are one table. Each is a module: `forward(weight) -> quantised weight`, and
`integers(weight) -> (int8 [o, ...], scale [o])`, the same numbers as an exported file holds them.
"""

from __future__ import annotations

from squeeze.train.quantised.codebook import Codebook
from squeeze.train.quantised.extreme import Binary, Ternary
from squeeze.train.quantised.lsq import LsqWeight
from squeeze.train.quantised.uniform import Uniform

QUANTISERS = {
    "binary": Binary,
    "codebook": Codebook,
    "lsq": LsqWeight,
    "ternary": Ternary,
    "uniform": Uniform,
}

__all__ = ["QUANTISERS", "Binary", "Codebook", "LsqWeight", "Ternary", "Uniform"]
