"""The child process that runs nncf; `squeeze.quant.borrowed.nncf` starts it.

A process of its own, because nncf changes functions of torch when it is imported, prints, and draws bars.
"""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import numpy as np

Json = dict[str, Any]  # Any: JSON

SEED = 0


def quantise(job: Json) -> Json:
    """Writes the quantised graph of the file `model` to `out`; `feeds` are files of arrays, one a run of the model.

    Ranges are asymmetric, as ours are; weights are ours anyway, so that nothing is done for products that saturate.
    """
    import nncf
    import onnx
    from nncf.quantization.advanced_parameters import OverflowFix

    random.seed(SEED)
    np.random.seed(SEED)
    advanced = nncf.AdvancedQuantizationParameters(overflow_fix=OverflowFix.DISABLE)
    try:
        made = nncf.quantize(
            onnx.load(job["model"]),
            nncf.Dataset(job["feeds"], _arrays),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(job["feeds"]),
            fast_bias_correction=True,
            advanced_parameters=advanced,
        )
        onnx.save(made, job["out"])
    except Exception as e:  # whatever it raises, its file is not to be had
        lines = [*filter(None, map(str.strip, str(e).splitlines())), ""]
        return {"error": re.sub(r"\s+", " ", f"{type(e).__name__}: {lines[0]}").rstrip(" :")}
    return {}


def _arrays(path: str) -> dict[str, np.ndarray[Any, Any]]:
    with np.load(Path(path), allow_pickle=False) as found:
        return {name: found[name] for name in found.files}
