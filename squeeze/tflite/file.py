"""A .tflite file while it is put together: tensors, their bytes, operators with the version that each needs.

Constants are aligned to 16 bytes, as the schema asks for and the generated classes forget: a microcontroller reads them
where they lie. The same bytes are stored once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from squeeze.tflite.numbers import Array, Codes, Params
from squeeze.tflite.ports import METADATA
from squeeze.tflite.versions import OPTIONS, version

_ALIGNMENT = 16


class File:
    """One graph. Tensors are known by their index."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema: Any = schema  # Any: the generated classes have no types
        self.model: Any = schema.ModelT()
        self.model.version = 3
        self.model.description = b"squeeze"
        self.model.operatorCodes = []
        self.model.buffers = [_buffer(schema, b"")]
        self.graph: Any = schema.SubGraphT()
        self.graph.name = b"main"
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]
        self._stored: dict[bytes, int] = {b"": 0}
        self._codes: dict[tuple[int, int], int] = {}
        self._names: dict[str, int] = {}
        self.shapes: list[tuple[int, ...]] = []
        self.dtypes: list[str] = []
        self.params: list[Params | None] = []

    def tensor(
        self, name: str, shape: Sequence[int], dtype: str, params: Params | None = None
    ) -> int:
        """An activation."""
        index = self._tensor(name, shape, dtype, 0)
        if params is not None:
            self.quantised(index, params)
        return index

    def quantised(self, index: int, params: Params) -> None:
        """Says what the codes of a tensor stand for."""
        self._quantised(index, [params.scale], [params.zero], 0)
        self.params[index] = params

    def constant(self, name: str, values: Array) -> int:
        """A constant that stands for itself."""
        values = np.asarray(
            values, order="C"
        )  # not ascontiguousarray, which makes one axis of none
        return self._tensor(name, values.shape, values.dtype.name, self._store(values.tobytes()))

    def codes(self, name: str, codes: Codes) -> int:
        """A constant of integers that stand for floats."""
        index = self.constant(name, codes.values)
        self._quantised(index, codes.scale.tolist(), codes.zero.tolist(), codes.axis)
        self.params[index] = codes.params
        return index

    def reshaped(self, index: int, shape: Sequence[int]) -> None:
        """Another shape for a tensor that nothing reads yet: the same entries in the same order."""
        self.graph.tensors[index].shape = [int(size) for size in shape]
        self.shapes[index] = tuple(int(size) for size in shape)

    def operator(
        self,
        op: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        **options: Any,  # Any: fields of the options of each operator
    ) -> None:
        """options: fields of what the schema calls its options, in the schema's own words."""
        schema = self.schema
        number = getattr(schema.BuiltinOperator, op)
        types = [self.dtypes[i] for i in (*inputs, *outputs) if i >= 0]
        per_channel = any(
            i >= 0
            and self.dtypes[i] == "int8"
            and self.graph.tensors[i].buffer
            and self.params[i] is None
            for i in inputs
        )
        made = schema.OperatorT()
        made.opcodeIndex = self._code(number, version(op, types, len(inputs), per_channel, options))
        made.inputs, made.outputs = list(inputs), list(outputs)
        if (kind := OPTIONS.get(op)) is not None:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            made.builtinOptions = getattr(schema, f"{kind}T")()
            for field, value in options.items():
                if not hasattr(made.builtinOptions, field):
                    raise KeyError(f"{kind} has no {field}")
                setattr(made.builtinOptions, field, value)
        self.graph.operators.append(made)

    def finish(self, inputs: Sequence[int], outputs: Sequence[int], ports: bytes) -> bytes:
        """The bytes of the file. ports: the JSON that `ports_of` finds again."""
        import flatbuffers

        self.graph.inputs, self.graph.outputs = list(inputs), list(outputs)
        entry = self.schema.MetadataT()
        entry.name, entry.buffer = METADATA.encode(), self._store(ports)
        self.model.metadata = [entry]
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _tensor(self, name: str, shape: Sequence[int], dtype: str, buffer: int) -> int:
        schema = self.schema
        tensor = schema.TensorT()
        tensor.name = self._unique(name).encode()
        tensor.shape = [int(size) for size in shape]
        tensor.type = getattr(schema.TensorType, dtype.upper())
        tensor.buffer = buffer
        self.graph.tensors.append(tensor)
        self.shapes.append(tuple(int(size) for size in shape))
        self.dtypes.append(dtype)
        self.params.append(None)
        return len(self.graph.tensors) - 1

    def _quantised(self, index: int, scale: list[float], zero: list[int], axis: int) -> None:
        said = self.schema.QuantizationParametersT()
        said.scale, said.zeroPoint, said.quantizedDimension = scale, zero, axis
        self.graph.tensors[index].quantization = said

    def _store(self, data: bytes) -> int:
        if data not in self._stored:
            self._stored[data] = len(self.model.buffers)
            self.model.buffers.append(_buffer(self.schema, data))
        return self._stored[data]

    def _code(self, number: int, needs: int) -> int:
        if (number, needs) not in self._codes:
            code = self.schema.OperatorCodeT()
            code.builtinCode, code.version = number, needs
            code.deprecatedBuiltinCode = min(number, 127)
            self._codes[number, needs] = len(self.model.operatorCodes)
            self.model.operatorCodes.append(code)
        return self._codes[number, needs]

    def _unique(self, name: str) -> str:
        count = self._names.get(name, 0)
        self._names[name] = count + 1
        return name if not count else self._unique(f"{name}_{count}")


def _buffer(schema: Any, data: bytes) -> Any:  # Any: the generated classes have no types
    """A buffer that packs itself aligned."""

    class Aligned(schema.BufferT):  # type: ignore[misc]  # a base without types
        def Pack(self, builder: Any) -> Any:  # noqa: N802  # the name that the generated code calls
            start = None
            if data:
                builder.StartVector(1, len(data), _ALIGNMENT)
                head = builder.Head() - len(data)
                builder.head = head
                builder.Bytes[head : head + len(data)] = data
                start = builder.EndVector()
            schema.BufferStart(builder)
            if start is not None:
                schema.BufferAddData(builder, start)
            return schema.BufferEnd(builder)

    return Aligned()
