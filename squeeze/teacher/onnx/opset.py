"""Brings an ONNX graph to an opset that squeeze works on, where that provably computes the same."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import onnx
from onnx import version_converter

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.teacher.onnx.runtime import one_run, output_names, run_values, same

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.teacher.example import Fitted

logger = logging.getLogger(__name__)

LOWEST_OPSET, HIGHEST_OPSET = 13, 20


def at_opset(
    model: onnx.ModelProto, inputs: Sequence[Fitted], where: str
) -> tuple[onnx.ModelProto, str | None]:
    """`model` within the two opsets, and what was done in words; None where it was so already.

    A newer graph that cannot be converted stays as it is, with a warning. Raises UnsupportedError for an older one.
    """
    opset = opset_of(model)
    target = min(max(opset, LOWEST_OPSET), HIGHEST_OPSET)
    if target == opset:
        return model, None
    names = output_names(model)
    try:
        converted = version_converter.convert_version(model, target)
        before = run_values(model, one_run(model, inputs), names, where)
        after = run_values(converted, one_run(converted, inputs), names, where)
        other = [n for n in names if not same(before[n], after[n])]
        reason = f"the result differs (output '{other[0]}')" if other else ""
    except (RuntimeError, ValueError, ConfigError, onnx.checker.ValidationError) as e:
        reason = str(e).strip().removeprefix(f"{where}: ").splitlines()[0][:200]
    if not reason:
        return converted, f"opset {opset} converted to {target}"
    if opset > HIGHEST_OPSET:
        logger.warning(
            "%s: stays at opset %d (%s); old runtimes may not read it", where, opset, reason
        )
        return model, None
    raise UnsupportedError(
        f"{where}: opset {opset} cannot be converted to {target}: {reason}; "
        f"export it with opset {target} to {HIGHEST_OPSET}"
    )


def opset_of(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators."""
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)
