"""What is done with a pruned module, whichever networks are pruned: functions of those who ship and train it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import onnx_ir as ir
    from torch import nn


@dataclass(frozen=True)
class Making:
    """export(module): the optimised float graph of a module in eval mode.
    ship(graph, path): writes the file that would be shipped of a float graph.
    measure(after, before): latency of one such file as a share of another's, or what else is compared: `what`.
    recover(graph, folder): the graph with its weights trained again; `folder` holds its checkpoints.
    folder: trainings that are done are kept here until the end, so that a run that was killed does not repeat them.
    """

    export: Callable[[nn.Module], ir.Model]
    ship: Callable[[ir.Model, Path], None]
    measure: Callable[[Path, Path], float]
    recover: Callable[[ir.Model, Path], ir.Model]
    folder: Path
    what: str = "latency"
