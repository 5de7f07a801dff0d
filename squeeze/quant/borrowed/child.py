"""The child process that runs nncf; `squeeze.quant.borrowed.nncf` starts it."""

from __future__ import annotations

import random
import re
from typing import Any

import numpy as np

Json = dict[str, Any]  # Any: JSON

SEED = 0


def quantise(job: Json) -> Json:
    """Writes the quantised graph of the file `model` to `out`. `feeds` are files of arrays, one a run of the model, in
    the order of `inputs`.

    Ranges are asymmetric, as ours are; weights are ours anyway, so that nothing is done for products that saturate.
    """
    import nncf
    import onnx
    from nncf.quantization.advanced_parameters import OverflowFix

    random.seed(SEED)
    np.random.seed(SEED)

    def arrays(path: str) -> dict[str, np.ndarray[Any, Any]]:
        with np.load(path, allow_pickle=False) as found:
            return {name: found[f"arr_{i}"] for i, name in enumerate(job["inputs"])}

    try:
        made = nncf.quantize(
            onnx.load(job["model"]),
            nncf.Dataset(job["feeds"], arrays),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(job["feeds"]),
            fast_bias_correction=True,
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=OverflowFix.DISABLE
            ),
        )
        onnx.save(made, job["out"])
    except Exception as e:  # whatever it raises, its file is not to be had
        lines = [*filter(None, map(str.strip, str(e).splitlines())), ""]
        return {"error": re.sub(r"\s+", " ", f"{type(e).__name__}: {lines[0]}").rstrip(" :")}
    return {}
