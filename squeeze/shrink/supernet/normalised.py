"""The teacher with batch normalisation behind its convolutions again, as a network of which parts can be sliced.

Exported graphs have it folded into the weights. Parts that share weights want it back, since each of them has
statistics of its own (Yu et al., "Slimmable Neural Networks", 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from squeeze.students import Network
from squeeze.train.quantised.door import network_of

if TYPE_CHECKING:
    import onnx_ir as ir

    from squeeze.students.network import Inputs
    from squeeze.train.quantised.network import QuantNetwork

Json = dict[str, Any]  # Any: JSON


def norm_of(layer: str) -> str:
    """What the normalisation behind a convolution is called."""
    return f"{layer}_norm"


def normalised(model: ir.Model, batches: Callable[[], Iterable[Inputs]]) -> Network:
    """The network of an optimised float graph up to its logits, in eval mode; it computes what the graph does.

    batches: a fresh pass over a few hundred preprocessed samples, for the moments. Values and layers are called as in
    the graph. Raises UnsupportedError for operators that torch training does not know.
    """
    found = network_of(model, batches)
    plain = found.description()
    nodes: list[Json] = []
    for node in plain["nodes"]:
        if node["layer"] in found.norms:
            nodes.extend(_with_norm(node, found))
        else:
            nodes.append(node)
        if found.logits in node["outputs"]:
            break
    made = Network({**plain, "nodes": nodes, "output": found.logits})
    state: dict[str, Tensor] = {}
    for name, value in found.state_dict().items():
        folder, _, rest = name.partition(".")
        if folder == "norms":
            layer, _, kind = rest.partition(".")
            state[f"layers.{norm_of(layer)}.{kind}"] = value
        elif folder in ("layers", "constants"):
            state[name] = value
    made.load_state_dict(state)
    return made.eval()


def _with_norm(node: Json, found: QuantNetwork) -> list[Json]:
    """A convolution, and its normalisation, which gives what the convolution was called."""
    (output,), layer = node["outputs"], node["layer"]
    norm = found.norms[layer]
    assert isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d))
    raw = f"{output}/raw"
    behind = {
        "op": "BatchNormalization",
        "inputs": [raw],
        "outputs": [output],
        "layer": norm_of(layer),
        "sizes": {
            "outputs": norm.num_features,
            "eps": norm.eps,
            "rank": 4 if isinstance(norm, nn.BatchNorm2d) else 3,
        },
        "attributes": {},
    }
    return [{**node, "outputs": [raw]}, behind]
