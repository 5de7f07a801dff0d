"""Models as a calibration set sees them: what they take and give."""

from __future__ import annotations

from squeeze.interface import Interface, TensorSpec


def taking(*shape: int, dtype: str = "float32", outputs: int = 10) -> Interface:
    """One input of samples `shape`; a vector of `outputs` numbers, or with 0 a map."""
    result = (outputs,) if outputs else (2, 3, 3)
    return Interface(
        (TensorSpec("input", dtype, shape),), (TensorSpec("output", "float32", result),)
    )
