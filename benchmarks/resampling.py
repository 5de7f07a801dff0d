"""How far ways to resize an image are from Pillow's BILINEAR, and what they take: the table of docs/contract.md.

    python -m benchmarks.resampling --out benchmarks/results/resampling.json

Levels of 0..255 on noise, where differences are largest; one thread of ONNX Runtime, median of runs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from PIL import Image

from benchmarks import host
from squeeze.calib import Preprocess
from squeeze.graph.preprocessing import embed
from squeeze.interface import TensorSpec
from squeeze.measure.timing import time_sessions

Json = dict[str, Any]  # Any: JSON
Floats = NDArray[np.float32]
SIZES = (((40, 40), (32, 32)), ((256, 256), (224, 224)), ((480, 640), (224, 224)))
LARGER = ((28, 28), (56, 56))
RESIZES: dict[str, Json] = {
    "Resize linear antialias": {"mode": "linear", "antialias": 1},
    "Resize cubic antialias": {"mode": "cubic", "antialias": 1, "cubic_coeff_a": -0.5},
    "Resize linear": {"mode": "linear"},
}


def graphs(before: tuple[int, int], after: tuple[int, int]) -> dict[str, bytes]:
    """Name -> model of one image [1, 3, *before] -> [1, 3, *after]."""
    found = {"squeeze": _ours(before, after)}
    for name, attributes in RESIZES.items():
        node = helper.make_node(
            "Resize",
            ["x", "", "", "size"],
            ["y"],
            coordinate_transformation_mode="half_pixel",
            **attributes,
        )
        found[name] = _model([node], {"size": np.array([1, 3, *after])}, before)
    return found


def _ours(before: tuple[int, int], after: tuple[int, int]) -> bytes:
    """As it is put into files."""
    spec = TensorSpec("x", "float32", (3, *after))
    takes = TensorSpec("x", "float32", (3, *before))
    plain = _model([helper.make_node("Identity", ["x"], ["y"])], {}, after)
    model = ir.serde.deserialize_model(ModelProto.FromString(plain))
    told = Preprocess(resize=after, layout="NCHW->NCHW", scale=1.0, dtype="float32")
    embed(model, spec, told, takes)
    return bytes(ir.serde.serialize_model(model).SerializeToString())


def _model(nodes: list[Any], constants: dict[str, Any], size: tuple[int, int]) -> bytes:
    graph = helper.make_graph(
        nodes,
        "resize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, *size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def compared(before: tuple[int, int], after: tuple[int, int]) -> list[Json]:
    """A row for each way."""
    pixels = np.random.default_rng(0).integers(0, 256, (*before, 3), dtype=np.uint8)
    small = Image.fromarray(pixels).resize(after[::-1], Image.Resampling.BILINEAR)
    wanted = np.asarray(small, np.float32).transpose(2, 0, 1)[None]
    x: Floats = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    opened = {
        name: ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        for name, model in graphs(before, after).items()
    }
    feeds = {name: {"x": x} for name in opened}
    times = time_sessions(opened, feeds, threads=1, runs=60)
    rows = []
    for name, session in opened.items():
        moved = np.abs(session.run(None, {"x": x})[0] - wanted)
        rows.append(
            {
                "before": list(before),
                "after": list(after),
                "way": name,
                "max_levels": round(float(moved.max()), 2),
                "mean_levels": round(float(moved.mean()), 2),
                "latency_p50_ms": round(times[name].p50_ms, 4),
            }
        )
    return rows


def main() -> None:
    """Writes the rows of all sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    rows = [row for sizes in (*SIZES, LARGER) for row in compared(*sizes)]
    for row in rows:
        print(row)
    facts = {**host.describe(), "versions": host.versions()}
    out.write_text(json.dumps({"schema": 1, "host": facts, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
