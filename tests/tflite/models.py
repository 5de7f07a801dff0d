"""Small ONNX models for the writer of .tflite files, in float and as int8 with Q and DQ around every operator, and what
ONNX Runtime and LiteRT make of them.

ONNX Runtime runs them without its fusions: what it fuses, it rounds otherwise than the file says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from squeeze import tflite
from squeeze.runtimes.litert_interpreter import Opened

# Operators whose outputs have the params of their inputs, as quantisers write them.
SAME_PARAMS = {
    "MaxPool",
    "Reshape",
    "Transpose",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Slice",
    "Split",
    "Gather",
    "Pad",
}


@dataclass
class Net:
    """nodes over `inputs` (name -> shape) and float or integer `constants`. weights: constants that become int8 by
    output, name -> axis; biases: constants that become int32, name -> (input, weight). bare: values that get no Q and
    DQ, since an activation behind them does. same_params: values with the params of what they are made from."""

    nodes: list[onnx.NodeProto]
    inputs: dict[str, list[int | str]]
    constants: dict[str, np.ndarray]
    outputs: list[str]
    weights: dict[str, int]
    biases: dict[str, tuple[str, str]]
    opset: int = 20
    bare: frozenset[str] = frozenset()
    same_params: frozenset[str] = frozenset()


def node(op: str, inputs: str, outputs: str = "y", **attributes: object) -> onnx.NodeProto:
    """Names separated by spaces; '-' for one that is left out."""
    given = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(op, given, outputs.split(), f"{op} {outputs}", **attributes)


def net(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str]],
    constants: Mapping[str, np.ndarray] | None = None,
    outputs: Sequence[str] = ("y",),
    weights: Mapping[str, int] | None = None,
    biases: Mapping[str, tuple[str, str]] | None = None,
    opset: int = 20,
    bare: Sequence[str] = (),
) -> Net:
    return Net(
        list(nodes),
        {name: list(shape) for name, shape in inputs.items()},
        dict(constants or {}),
        list(outputs),
        dict(weights or {}),
        dict(biases or {}),
        opset,
        frozenset(bare),
    )


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def feed_of(made: Net, seed: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.standard_normal([1 if isinstance(n, str) else n for n in shape]).astype(
            np.float32
        )
        for name, shape in made.inputs.items()
    }


def saved(path: Path, made: Net, nodes: Sequence[onnx.NodeProto] | None = None) -> Path:
    used = {name for one in nodes or made.nodes for name in one.input}
    graph = helper.make_graph(
        list(nodes or made.nodes),
        "net",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in made.inputs.items()
        ],
        [onnx.ValueInfoProto(name=name) for name in made.outputs],
        [
            numpy_helper.from_array(np.asarray(v), name)
            for name, v in made.constants.items()
            if name in used
        ],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", made.opset)], ir_version=9
    )
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    del inferred.graph.value_info[:]
    onnx.checker.check_model(inferred)
    onnx.save(inferred, path)
    return path


def int8(path: Path, made: Net, symmetric: bool = False) -> Path:
    """The same with Q and DQ: ranges of three random feeds, weights by output, biases of input times weight."""
    floats = saved(path.with_suffix(".float.onnx"), made)
    params = _params(floats, made, symmetric)
    whole = Net(
        made.nodes,
        made.inputs,
        dict(made.constants),
        made.outputs,
        made.weights,
        made.biases,
        made.opset,
    )
    nodes: list[onnx.NodeProto] = []
    for name in made.inputs:
        nodes += _pair(whole, name, name, f"{name}_in", params[name])
    read = {name: f"{name}_in" for name in made.inputs}
    scales = {}
    for name, axis in made.weights.items():
        values = made.constants[name]
        others = tuple(i for i in range(values.ndim) if i != axis)
        scale = (np.abs(values).max(axis=others) / 127).astype(np.float32)
        shape = [-1 if i == axis else 1 for i in range(values.ndim)]
        codes = np.clip(np.rint(values / scale.reshape(shape)), -127, 127).astype(np.int8)
        scales[name] = scale
        nodes.append(_constant(whole, name, codes, scale, np.zeros(len(scale), np.int8), axis))
        read[name] = f"{name}_out"
    for name, (given, weight) in made.biases.items():
        scale = (params[given][0] * scales[weight]).astype(np.float32)
        codes = np.rint(made.constants[name] / scale).astype(np.int32)
        nodes.append(_constant(whole, name, codes, scale, np.zeros(len(scale), np.int32), 0))
        read[name] = f"{name}_out"
    for one in made.nodes:
        own = onnx.NodeProto()
        own.CopyFrom(one)
        del own.input[:], own.output[:]
        own.input.extend(read.get(name, name) for name in one.input)
        own.output.extend(f"{name}_raw" for name in one.output)
        nodes.append(own)
        for name in one.output:
            if name in made.bare:
                read[name] = f"{name}_raw"
                continue
            last = name in made.outputs
            nodes += _pair(
                whole, name, f"{name}_raw", name if last else f"{name}_out", params[name]
            )
            read[name] = name if last else f"{name}_out"
    return saved(path, whole, nodes)


def _params(path: Path, made: Net, symmetric: bool) -> dict[str, tuple[np.float32, np.int8]]:
    model = onnx.load(path)
    names = [name for one in made.nodes for name in one.output]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    values: dict[str, list[np.ndarray]] = {}
    for seed in range(3, 6):
        feed = feed_of(made, seed)
        for name, value in {
            **feed,
            **dict(zip(names, session.run(names, feed), strict=True)),
        }.items():
            values.setdefault(name, []).append(value)
    found = {}
    for name, several in values.items():
        low = min(0.0, *(float(v.min()) for v in several))
        high = max(0.0, *(float(v.max()) for v in several))
        if symmetric:
            found[name] = (np.float32(max(-low, high) / 127), np.int8(0))
        else:
            scale = np.float32((high - low) / 255 or 1.0)
            found[name] = (scale, np.int8(np.clip(np.rint(-128 - low / scale), -128, 127)))
    for one in made.nodes:
        if one.op_type in SAME_PARAMS or set(one.output) & made.same_params:
            for name in one.output:
                found[name] = found[one.input[0]]
    return found


def _pair(
    made: Net, name: str, given: str, taken: str, params: tuple[np.float32, np.int8]
) -> list[onnx.NodeProto]:
    by = [f"{name}_scale", f"{name}_zero"]
    made.constants |= dict(zip(by, params, strict=True))
    return [
        helper.make_node("QuantizeLinear", [given, *by], [f"{name}_codes"], f"Q {name}"),
        helper.make_node("DequantizeLinear", [f"{name}_codes", *by], [taken], f"DQ {name}"),
    ]


def _constant(
    made: Net, name: str, codes: np.ndarray, scale: np.ndarray, zero: np.ndarray, axis: int
) -> onnx.NodeProto:
    made.constants |= {f"{name}_codes": codes, f"{name}_scale": scale, f"{name}_zero": zero}
    inputs = [f"{name}_codes", f"{name}_scale", f"{name}_zero"]
    return helper.make_node("DequantizeLinear", inputs, [f"{name}_out"], f"DQ {name}", axis=axis)


def by_onnx(path: Path, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feed)), strict=True))


def by_litert(
    path: Path, feed: Mapping[str, np.ndarray], reference: bool = True
) -> dict[str, np.ndarray]:
    return Opened(path, reference=reference).run(feed)


def operators(path: Path) -> list[str]:
    from squeeze.runtimes.tflite_file import operators as read

    return [one.op for one in read(path)]


def agrees(
    made: Net, folder: Path, rtol: float = 1e-4, kernels: Sequence[bool] = (True, False)
) -> Path:
    """Writes the float net and holds LiteRT's outputs against ONNX Runtime's, relative to the largest number.

    kernels: True for LiteRT's reference, False for what it runs by itself. Returns the .tflite file.
    """
    model, path = saved(folder / "net.onnx", made), folder / "net.tflite"
    tflite.write(model, path)
    feed = feed_of(made)
    wanted = by_onnx(model, feed)
    for one in kernels:
        found = by_litert(path, feed, reference=one)
        assert set(found) == set(wanted)
        for name, values in wanted.items():
            assert found[name].shape == values.shape
            largest = np.abs(values).max(initial=1e-6)
            assert np.abs(found[name].astype(float) - values).max(initial=0) <= rtol * largest, name
    return path


def agrees_int8(
    made: Net, folder: Path, steps: int = 1, symmetric: bool = False, reference: bool = True
) -> Path:
    """The same of the int8 net, in steps of each output; its inputs and outputs are int8 in the file."""
    model, path = int8(folder / "net8.onnx", made, symmetric), folder / "net8.tflite"
    tflite.write(model, path)
    feed = feed_of(made)
    wanted = by_onnx(model, feed)
    ports = tflite.ports_of(path)
    assert {port.dtype for port in (*ports.inputs, *ports.outputs)} == {"int8"}
    found = by_litert(path, feed, reference)
    for port in ports.outputs:
        assert port.scale is not None
        assert found[port.name].shape == wanted[port.name].shape
        off = np.abs(found[port.name] - wanted[port.name]) / port.scale
        assert off.max() <= steps + 0.01, f"{port.name}: {off.max():.2f} steps"
        assert len(np.unique(wanted[port.name])) > 1
    return path
