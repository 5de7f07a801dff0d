"""The Python face of our native ops: where the library is, and per op its inputs and its ONNX function body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.ops.library import library_path as library_path
from squeeze.ops.signatures import CONV_LOOKUPS as CONV_LOOKUPS
from squeeze.ops.signatures import GATHERS as GATHERS
from squeeze.ops.signatures import GEMM_LOOKUPS as GEMM_LOOKUPS
from squeeze.ops.signatures import LOOKUPS as LOOKUPS
from squeeze.ops.signatures import REAL_LOOKUPS as REAL_LOOKUPS
from squeeze.ops.signatures import SIGNATURES as SIGNATURES

if TYPE_CHECKING:
    from squeeze.ops.bodies import FUNCTIONS as FUNCTIONS
    from squeeze.ops.bodies import body_of as body_of
    from squeeze.ops.formula import Formula as Formula
    from squeeze.ops.formula import Step as Step

DOMAIN = "ai.squeeze"
VERSION = 1


def __getattr__(name: str) -> object:
    """What writes bodies, when it is first asked for: it loads an ONNX library, of which a session needs nothing."""
    if name in ("FUNCTIONS", "body_of"):
        from squeeze.ops import bodies

        return getattr(bodies, name)
    if name in ("Formula", "Step"):
        from squeeze.ops import formula

        return getattr(formula, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
