"""What all torch teachers share: a module with tensors in and out -> ONNX, through the one door in `squeeze.export`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import torch

from squeeze import runtimes
from squeeze.errors import MeasureError, UnsupportedError
from squeeze.export import feed_to_ir
from squeeze.export.blame import first_line
from squeeze.teacher.onnx.runtime import check_output
from squeeze.teacher.outputs import leaves
from squeeze.teacher.pt2.program import TORCH_ERRORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx
    from numpy.typing import NDArray

    from squeeze.end import End
    from squeeze.teacher.example import Fitted

EXPORT_ERRORS: tuple[type[Exception], ...] = (
    MeasureError,
    *runtimes.ORT_ERRORS,
    *TORCH_ERRORS,
)


@dataclass(frozen=True)
class Exported:
    """A module as ONNX, float32; inputs and outputs in the types of the user's model. changes: in words."""

    model: onnx.ModelProto
    inputs: tuple[Fitted, ...]
    outputs: tuple[End, ...]
    changes: tuple[str, ...] = ()


class Flat(torch.nn.Module):
    """Takes tensors by position, hands them on (by name where there are names), and returns a tuple of tensors."""

    def __init__(self, module: torch.nn.Module, names: Sequence[str] | None = None) -> None:
        super().__init__()
        self.module, self.names = module, names

    def returned(self, *tensors: torch.Tensor) -> Any:  # Any: what the module returns
        """As the module returns it."""
        if self.names is None:
            return self.module(*tensors)
        return self.module(**dict(zip(self.names, tensors, strict=True)))

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """tensors: one for each input."""
        return tuple(leaf for _, leaf in leaves(self.returned(*tensors)))


def export(
    module: torch.nn.Module,
    inputs: Sequence[Fitted],
    names: Sequence[str],
    where: str,
    fixed_batch: int = 1,
) -> onnx.ModelProto:
    """The module as ONNX with outputs called `names`. fixed_batch: the one it takes where it takes only one.

    Raises ConfigError for NaN, infinity and no values, UnsupportedError when it cannot be exported.
    """
    with torch.no_grad():
        returned = module(*tensors(inputs, fixed_batch))
    found = returned if isinstance(returned, (tuple, list)) else (returned,)
    for name, output in zip(names, found, strict=True):
        whole = output.float() if output.is_floating_point() else output
        check_output(np.atleast_1d(whole.numpy()), name, where)
    try:
        model = feed_to_ir(
            module,
            {one.spec.name: _in_float32(one.samples) for one in inputs},
            output_names=names,
            batch_axes={one.spec.name: one.spec.batch_axis for one in inputs},
            fixed_batch=fixed_batch,
        )
    except EXPORT_ERRORS as e:
        raise UnsupportedError(
            f"{where}: cannot be exported to ONNX: {first_line(e)}; replace that part of the model"
        ) from e
    return ir.serde.serialize_model(model)


def tensors(inputs: Sequence[Fitted], count: int) -> list[torch.Tensor]:
    """What the module is given for `count` samples; floats as float32."""
    found = []
    for one in inputs:
        repeated = np.resize(one.samples, (count, *one.spec.shape))
        given = one.spec.as_model(repeated if one.spec.batch_axis is not None else repeated[:1])
        found.append(torch.from_numpy(np.array(_in_float32(given), order="C")))
    return found


def _in_float32(x: NDArray[np.generic]) -> NDArray[np.generic]:
    return x.astype(np.float32) if x.dtype.kind == "f" else x


def failure(module: torch.nn.Module, inputs: Sequence[Fitted], count: int) -> str | None:
    """What torch said when the module does not take `count` samples; None when it does."""
    try:
        with torch.no_grad():
            module(*tensors(inputs, count))
    except TORCH_ERRORS as e:
        return first_line(e)
    return None
