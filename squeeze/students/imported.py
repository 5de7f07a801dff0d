"""A float graph as a torch network with its weights: the teacher's own architecture, ready to be pruned or watched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir
import torch
from onnx_ir.passes.common import ShapeInferencePass

from squeeze import export
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.students.network import Network

if TYPE_CHECKING:
    from squeeze.interface import Interface


def imported(model: ir.Model) -> Network:
    """The network of `model`, which has one input and one output and stays as it is; in eval mode.

    Raises UnsupportedError when torch training does not know an operator.
    """
    params, weights = export.from_ir(with_shapes(model))
    try:
        network = Network(params)
    except ConfigError as e:
        raise UnsupportedError(str(e)) from e
    network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return network.eval()


def with_shapes(model: ir.Model) -> ir.Model:
    """A copy of `model` that knows the shapes of all its values."""
    shaped = ir.serde.deserialize_model(ir.serde.serialize_model(model))
    ShapeInferencePass(data_prop=True)(shaped)
    return shaped


def check_samples_first(interface: Interface) -> None:
    """Raises UnsupportedError unless there is one input and one output whose first axis is the batch, of any size."""
    for spec in (interface.only_input, interface.only_output):
        if spec.batch_axis != 0 or spec.batch_size is not None:
            raise UnsupportedError(
                f"training in torch: '{spec.name}' is {spec}; allowed: a batch of any size as the first axis"
            )
