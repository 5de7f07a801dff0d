"""The microcontroller beside an NPU: whether tflite-micro, which runs there what the NPU does not take, can run it.

    x -> CAST -> ethos-u -> y -> SOFTMAX -> z      ->      x -> CAST -> c, y -> SOFTMAX -> z

Of the compiled file the NPU's operators are taken out: what they make comes from outside. The rest is run once, since
an operator that the interpreter knows may have no kernel for its numbers, which it says then.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze.errors import MeasureError
from squeeze.runtimes.installed import missing_package
from squeeze.runtimes.micro_arena import Rejected, interpreted
from squeeze.runtimes.micro_refusals import refusals_of
from squeeze.runtimes.runtime import Array, Refusal
from squeeze.runtimes.tflite_file import NPU_OPERATOR
from squeeze.workdir import write_atomic

if TYPE_CHECKING:
    from squeeze.runtimes.tflite_nodes import NodeNames

# Numbers of TFLite's TensorType that the interpreter is given as tensors from outside.
_TYPES = ("FLOAT32", "INT32", "UINT8", "INT64", "BOOL", "INT16", "INT8")
_NUMPY = {"BOOL": "bool"}


def refused_beside(compiled: Path, names: NodeNames) -> tuple[list[Refusal], str]:
    """Why the microcontroller cannot run what the NPU leaves to it of a compiled file; and a note where it was not
    asked, or gave no answer."""
    if missing := missing_package("tflite_micro", "tflite-micro", "mcu"):
        return [], f"whether tflite-micro runs what is left to the CPU was not asked: {missing}"
    with tempfile.TemporaryDirectory(prefix="squeeze-") as folder:
        path = Path(folder) / "left.tflite"
        given, outputs = write_left(compiled, path)
        try:
            interpreted(path, given, outputs)
        except Rejected as e:
            found = refusals_of(path, e, names)
            return [
                replace(one, why=f"the NPU leaves it to the CPU, and {one.why}") for one in found
            ], ""
        except MeasureError as e:
            said = str(e).removeprefix(f"{path}: ")
            return [], f"whether tflite-micro runs what is left to the CPU is not known: {said}"
    return [], ""


def write_left(compiled: Path, path: Path) -> tuple[list[Array], int]:
    """Writes what is not the NPU's; gives one sample, [1, *shape], of each input, and the number of outputs."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(compiled.read_bytes(), 0)
    graph = model.subgraphs[0]
    left = [one for one in graph.operators if not _on_npu(model, one)]
    made = list(dict.fromkeys(i for one in left for i in one.outputs))
    read = dict.fromkeys(i for one in left for i in one.inputs if i >= 0)
    graph.operators, graph.outputs = left, made
    graph.inputs = [i for i in read if i not in made and _from_outside(model, graph.tensors[i])]
    model.metadata = None  # where tensors lie, beside those of the NPU
    model.signatureDefs = None
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    write_atomic(path, bytes(builder.Output()))
    types = {getattr(schema.TensorType, name): _NUMPY.get(name, name.lower()) for name in _TYPES}
    # Ones divide, and zeros are in range where they say which entry is meant.
    given = []
    for tensor in (graph.tensors[i] for i in graph.inputs):
        dtype = np.dtype(types[tensor.type])
        values = np.zeros if dtype.kind == "i" and dtype.itemsize > 2 else np.ones
        given.append(values((1, *(int(size) for size in tensor.shape)), dtype))
    return given, len(made)


def _on_npu(model: Any, operator: Any) -> bool:  # Any: the generated classes
    code = model.operatorCodes[operator.opcodeIndex].customCode
    return bool(code == NPU_OPERATOR.encode())


def _from_outside(model: Any, tensor: Any) -> bool:  # Any: the generated classes
    """Whether it has no values in the file, and keeps none from run to run."""
    data = model.buffers[tensor.buffer].data
    return not tensor.isVariable and (data is None or len(data) == 0)
