"""Runs a teacher's ONNX in memory while it is being prepared; what the runtime refuses becomes a ConfigError."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from squeeze import runtimes
from squeeze.errors import ConfigError, MeasureError

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

# Kernels of different batch sizes add in another order; as a share of the largest output.
SAME = 1e-3


def run_values(
    model: onnx.ModelProto, x: NDArray[np.generic], names: list[str], where: str
) -> list[NDArray[np.generic]]:
    """The values called `names` for the batch `x`; they must be outputs of `model`. Raises ConfigError."""
    try:
        session = runtimes.session(model.SerializeToString())
    except MeasureError as e:
        raise ConfigError(f"{where}: {str(e).removeprefix('the model: ')}") from e
    try:
        found = session.run(names, {session.get_inputs()[0].name: x})
    except runtimes.ORT_ERRORS as e:
        needs = session.get_inputs()[0]
        reason = str(e).strip().splitlines()[0][:200]
        raise ConfigError(
            f"{where}: the model takes '{needs.name}' {needs.type} {needs.shape} but fails on {x.dtype} "
            f"{list(x.shape)}: {reason}"
        ) from e
    return [np.asarray(f) for f in found]


def same(a: NDArray[np.generic], b: NDArray[np.generic], tolerance: float = SAME) -> bool:
    """Whether two outputs agree but for the order of additions; infinite ones at the same places agree."""
    if a.shape != b.shape:
        return False
    x, y = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(x)
    if not np.array_equal(finite, np.isfinite(y)):
        return False
    largest = np.abs(x[finite]).max(initial=0.0)
    return bool(np.all(np.abs(x - y)[finite] <= 1e-6 + tolerance * largest))


def check_output(output: NDArray[np.generic], name: str, where: str) -> None:
    """Raises ConfigError for an empty output and for NaN or infinity; says it when all is 0."""
    if output.size == 0:
        raise ConfigError(f"{where}: output '{name}' is empty (shape {list(output.shape)})")
    bad = int((~np.isfinite(output)).reshape(len(output), -1).any(1).sum())
    if bad:
        raise ConfigError(
            f"{where}: output '{name}' has NaN or infinity for {bad} of {len(output)} examples; "
            "check the weights and the preprocessing of the data"
        )
    if not output.any():
        logger.warning("%s: output '%s' is 0 for every example; is the model trained?", where, name)
