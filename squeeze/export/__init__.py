"""The one door between torch and ONNX: nothing before it sees a graph, nothing after it sees a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.export.from_ir import from_ir

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import onnx_ir as ir
    import torch
    from numpy.typing import NDArray

    from squeeze.feed import Feed

__all__ = ["feed_to_ir", "from_ir", "to_ir"]


def to_ir(
    module: torch.nn.Module,
    example: NDArray[np.generic],  # [n, ...]
    *,
    input_name: str,
    output_name: str,
    opset: int = 20,
) -> ir.Model:
    """As `feed_to_ir`, for a module with one tensor in, one tensor out and the batch first."""
    return feed_to_ir(module, {input_name: example}, output_names=(output_name,), opset=opset)


def feed_to_ir(
    module: torch.nn.Module,
    feed: Feed,  # name -> [n, ...]
    *,
    output_names: Sequence[str],
    batch_axes: Mapping[str, int | None] | None = None,
    free_axes: Mapping[str, Mapping[int, str]] | None = None,
    fixed_batch: int | None = None,
    opset: int = 20,
) -> ir.Model:
    """The float graph of `module`, compared with torch before it is returned.

    The module takes one tensor for each entry of `feed`, by position, and returns a tensor, or a tuple of one for each
    of `output_names`. feed: one or more samples in the types that the module takes. batch_axes: where the module has
    its batch in an input, None for nowhere; 0 for those that are not named. The batch is dynamic and is called "batch";
    where the module cannot be exported so, it is `fixed_batch` (1) and a warning says it. free_axes: by input, other
    axes of the module's tensor that stay free, and their names; compared in other sizes, too. The same module gives the
    same bytes: names are stable, and traces, paths and versions are removed. The IR version is 9 at most.

    Raises ConfigError when the module does not take the feed, UnsupportedError when it cannot be exported, or not with
    its free axes, and PassError when the graph computes something else than the module (largest absolute difference in
    the message).
    """
    from squeeze.export.module import Ends, export_module

    axes = {name: 0 for name in feed} | dict(batch_axes or {})
    free = free_axes or {}
    ends = Ends(
        tuple(feed),
        tuple(output_names),
        tuple(axes[name] for name in feed),
        tuple(free.get(name, {}) for name in feed),
    )
    return export_module(module, tuple(feed.values()), ends, fixed_batch or 1, opset)
