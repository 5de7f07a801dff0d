"""Where the time of a lowered network goes, node by node, beside the same network in ONNX Runtime, one thread.

python -m benchmarks.breakdown resnet20-int8 [isa]

A node costs what the graph that ends with it takes longer than the graph that ends before it: all prefixes are run in
turns. Nothing is instrumented, so cheap nodes are not made dearer; what is left of the first is the session itself.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from benchmarks import networks
from benchmarks.interleave import alternate
from benchmarks.lowering import Network
from benchmarks.runners import OrtModel, limited
from squeeze import machine

ROUNDS, CALLS = 31, 7


def main() -> None:
    """Prints both networks' nodes and sums by operator."""
    name = sys.argv[1]
    isa = sys.argv[2] if len(sys.argv) > 2 else machine.isa()[-1]
    with tempfile.TemporaryDirectory() as folder, limited(isa):
        network = Network(name, networks.NETWORKS[name](), Path(folder), nncf=False)
        path = Path(folder) / "optimised.onnx"
        models = {"session": OrtModel(_identity(), 1)}
        for who, model in (("ort", network.plain), ("ours", network.lowered)):
            OrtModel(model, 1, native=True, optimised=path)
            for node, prefix in prefixes(onnx.load(path)).items():
                models[f"{who} {node}"] = OrtModel(prefix, 1, native=True)
        ran = alternate({n: partial(m.turn, CALLS) for n, m in models.items()}, ROUNDS)
    us = {n: float(np.median(taken)) for n, taken in ran.items()}
    for who in ("ort", "ours"):
        nodes = [n for n in us if n.startswith(f"{who} ")]
        before, by_op = us["session"], defaultdict(float)
        sys.stdout.write(f"\n{name}, {who}, {isa}: {us[nodes[-1]]:.1f} us\n")
        sys.stdout.write(f"{before:9.2f} session with one Identity\n")
        for node in nodes:
            spent, before = us[node] - before, us[node]
            by_op[node.split()[1]] += spent
            sys.stdout.write(f"{spent:9.2f} {node.removeprefix(who + ' ')}\n")
        sums = ", ".join(f"{op} {spent:.1f}" for op, spent in by_op.items())
        sys.stdout.write(f"by operator: {sums}\n")


def prefixes(model: onnx.ModelProto) -> dict[str, bytes]:
    """ "type name" of each node -> the model that ends with it, in the order of the graph."""
    known = {v.name: v for v in [*model.graph.value_info, *model.graph.output]}
    made = {}
    for i, node in enumerate(model.graph.node):
        cut = onnx.ModelProto()
        cut.CopyFrom(model)
        del cut.graph.node[i + 1 :]
        del cut.graph.output[:]
        output = node.output[0]
        unknown = helper.make_tensor_value_info(output, TensorProto.UINT8, None)
        cut.graph.output.append(known.get(output, unknown))
        made[f"{node.op_type} {node.name}"] = cut.SerializeToString()
    return made


def _identity() -> bytes:
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 32, 32]) for n in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "identity", [x], [y])
    opset = [helper.make_opsetid("", networks.OPSET)]
    model: bytes = helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()
    return model


if __name__ == "__main__":
    main()
