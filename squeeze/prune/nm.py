"""N:M sparsity (of every M weights in a row at most N are not zero): refused, because nothing skips the zeros."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.errors import UnsupportedError

if TYPE_CHECKING:
    from squeeze.target import Target


def check_target(target: Target, n: int, m: int) -> None:
    """Raises UnsupportedError: no kernel of ours, and none of onnxruntime's on CPUs, profits from N:M sparsity."""
    raise UnsupportedError(
        f"prune: {n}:{m} sparsity: target '{target.name}' has no kernel that skips the zeros, so the file would be"
        " neither faster nor smaller; prune channels instead (structured pruning)"
    )
