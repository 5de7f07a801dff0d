"""What a training at quantised weights is told: how long, with what, and where its batches come from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.calib import Calib
    from squeeze.feed import Padding
    from squeeze.spec import DistillPart

Method = Literal["quantised-distillation", "differentiable", "mixed"]


@dataclass(frozen=True)
class Settings:
    """steps of `batch_size` at a peak rate of `lr`; method as in `trainer`; quantiser: a key of QUANTISERS, made with
    `options`; low, high: the integers of activations; redistribute: levels of codebooks by the norms of gradients;
    keep_float: patterns of nodes that stay float; activation_products: products of two activations are on grids;
    integer_outputs: what the graph gives is on a grid too."""

    steps: int
    lr: float
    batch_size: int
    method: Method = "quantised-distillation"
    quantiser: str = "lsq"
    options: dict[str, Any] = field(default_factory=dict)  # Any: of the quantiser
    low: int = 0
    high: int = 255
    weight_decay: float = 1e-4
    redistribute: bool = False
    keep_float: tuple[str, ...] = ()
    activation_products: bool = False
    integer_outputs: bool = False

    def key(self) -> dict[str, Any]:  # Any: JSON
        """Everything of this that can change a result."""
        return asdict(self)


@dataclass(frozen=True)
class Source:
    """Where the batches come from: views of the fit split and a folder with the teacher's answers to them.

    activation: what the teacher ends with. padding: what of the samples may be left away.
    """

    calib: Calib
    distill: DistillPart
    answers: Path
    seed: int
    activation: str
    padding: Padding | None = None
