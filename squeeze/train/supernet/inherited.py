"""The teacher as a torch encoder with its own weights, read from its ONNX file and compared with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import ValidationError

from squeeze import graph, runtimes, students
from squeeze.errors import UnsupportedError
from squeeze.graph.encoder import read_encoder
from squeeze.graph.qdq import Refused
from squeeze.students.encoder import Encoder, Params

if TYPE_CHECKING:
    from pathlib import Path

    import onnx_ir as ir

    from squeeze.feed import Feed
    from squeeze.interface import Interface
    from squeeze.students.student_spec import Activation

# Of the largest number of an output: sums in another order.
_TOLERANCE = 1e-4


def encoder_of(model: ir.Model) -> Encoder:
    """The network of a graph in eval mode; whoever takes it compares outputs (`inherited`).

    Raises UnsupportedError, in a line, for a graph that holds no encoder of the kind of BERT or ViT.
    """
    try:
        params, weights = read_encoder(model)
        encoder = Encoder(Params.model_validate(params))
    except (Refused, ValidationError) as e:
        why = e if isinstance(e, Refused) else "its sizes are out of range"
        raise UnsupportedError(f"no encoder that students can inherit from: {why}") from e
    encoder.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()})
    return encoder.eval()


def stored(encoder: Encoder) -> int | None:
    """Parameters of an encoder whose layers are one and the same, as ALBERT's, that one counted once; None where each
    has weights of its own."""
    first, *others = (dict(layer.named_parameters()) for layer in encoder.layers)
    same = (all(torch.equal(p, other[name]) for name, p in first.items()) for other in others)
    if not others or not all(same):
        return None
    repeated = len(others) * sum(p.numel() for p in first.values())
    return sum(p.numel() for p in encoder.parameters()) - repeated


def inherited(
    model: Path, interface: Interface, feed: Feed, activation: Activation = "none"
) -> Encoder:
    """The network of `model` in eval mode, without the `activation` that it ends with; feed: samples by which both are
    compared.

    Raises UnsupportedError, in a line, for a file that holds no encoder of the kind of BERT or ViT.
    """
    encoder = encoder_of(graph.load(model))
    given = [torch.from_numpy(np.asarray(feed[name])) for name in encoder.params.inputs]
    with torch.no_grad():
        got = students.deployed(encoder, activation)(*given).numpy()
    output = interface.only_output
    wanted = runtimes.infer(runtimes.session(model, threads=1), feed, interface)[output.name]
    largest = max(float(np.abs(wanted).max()), 1e-12)
    error = float(np.abs(got - wanted).max()) / largest if got.shape == wanted.shape else np.inf
    if not error <= _TOLERANCE:
        raise UnsupportedError(
            "no encoder that students can inherit from: what was read from its graph gives something else "
            f"({error:.1g} of the largest output)"
        )
    return encoder
