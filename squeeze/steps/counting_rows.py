"""The rung of rows: every matrix product int8 with a scale for each row of its activations, known when they are there.

No range is calibrated, so that nothing is lost where they differ from token to token; functions, normalisations and
attention stay float. It is for networks made of such products, which transformers are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze import graph
from squeeze.graph.values import is_op
from squeeze.quant.by_row import use_rows
from squeeze.quant.keep import kept
from squeeze.quant.place import WEIGHTED, has_weights
from squeeze.quant.prepared import store
from squeeze.quant.ranges.grid import Grid
from squeeze.steps.rung_work import finished

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Candidate
    from squeeze.run import At
    from squeeze.spec import QuantPart

Json = dict[str, Any]  # Any: JSON
# Of the layers with weights. With fewer the network is none of these.
LEAST_SHARE = 0.5


def count_rows(
    at: At, *, device: Device, base: Candidate, case: Case, part: QuantPart, seed: int, threads: int
) -> Json:
    """Writes `rung.onnx`; without a `drop` in the result where less than half of the layers are such products."""
    model = graph.load(base.file)
    stay = kept(model, part.keep_float)
    layers = [n for n in model.graph if is_op(n, *WEIGHTED) and has_weights(n)]
    outputs = {str(node.outputs[0].name) for node in layers} - stay
    grid = Grid.of("uint8", safe=device.numerics.safe_weights)
    rows = use_rows(model, outputs, grid)
    if len(rows) < LEAST_SHARE * len(layers) or not rows:
        return {"summary": f"{len(rows)} of {len(layers)} layers multiply rows", "tried": []}
    notes = list(store(model, stay).notes())
    how = f"{len(rows)} of {len(layers)} layers by row"
    return finished(at, device, base, case, model, {}, how, notes, threads)
