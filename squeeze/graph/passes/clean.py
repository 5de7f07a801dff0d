"""Takes out what a runtime never needs, so that the other passes see a plain graph.

Cases: calls of functions that the file brings along are inlined (not those of our own domain, which are fallbacks);
       weights listed as inputs become constants; Constant nodes become initialisers; nodes, initialisers and opset
       imports that nobody uses go; doc strings and metadata go (traces, paths, versions of exporters).
Left:  names of inputs, outputs and values.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import (
    ClearMetadataAndDocStringPass,
    InlinePass,
    LiftConstantsToInitializersPass,
    RemoveInitializersFromInputsPass,
    RemoveUnusedFunctionsPass,
    RemoveUnusedNodesPass,
    RemoveUnusedOpsetsPass,
)

OUR_DOMAIN = "ai.squeeze"


def clean(model: ir.Model) -> bool:
    """True when something was inlined, lifted or removed."""
    passes = (
        InlinePass(criteria=lambda function: function.domain != OUR_DOMAIN),
        RemoveInitializersFromInputsPass(),
        LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        RemoveUnusedNodesPass(),
        RemoveUnusedFunctionsPass(),  # type: ignore[no-untyped-call]  # theirs has no annotation
        RemoveUnusedOpsetsPass(),
        ClearMetadataAndDocStringPass(),
    )
    changed = [bool(one(model).modified) for one in passes]
    return any(changed)
