"""Runs a .tflite file in LiteRT: by XNNPACK as phones and this CPU do, or by the reference kernels that define TFLite.

The reference kernels are what microcontrollers and NPUs are held to: the portable kernels of tflite-micro give the same
bytes. XNNPACK rounds otherwise in places, which a softmax can turn into tens of steps of a probability.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze.errors import MeasureError
from squeeze.runtimes.runtime import Array
from squeeze.runtimes.tflite_file import ports_of
from squeeze.runtimes.tflite_tensors import joined, stacked

if TYPE_CHECKING:
    from squeeze.tflite import Ports

_REDIRECTING = Lock()


class Opened:
    """An interpreter with its ports. Not for several threads at once."""

    def __init__(self, path: Path, *, threads: int = 1, reference: bool = False) -> None:
        """Raises MeasureError when LiteRT cannot open the file, ConfigError when it is damaged."""
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        kernels = OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO
        self.path = path
        self.ports: Ports = ports_of(path)
        try:
            with _without_chatter():
                self.interpreter: Any = Interpreter(  # Any: LiteRT ships no types
                    str(path), num_threads=threads, experimental_op_resolver_type=kernels
                )
                self.interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as e:
            raise MeasureError(f"{path}: LiteRT cannot open it: {_one_line(e)}") from e
        self.inputs = [one["index"] for one in self.interpreter.get_input_details()]
        self.outputs = [one["index"] for one in self.interpreter.get_output_details()]

    def give(self, tensors: list[Array]) -> None:
        """Puts one sample in place, a tensor for each input."""
        for index, tensor in zip(self.inputs, tensors, strict=True):
            self.interpreter.set_tensor(index, tensor)

    def once(self) -> list[Array]:
        """One run on what is in place. Raises MeasureError when it fails."""
        try:
            self.interpreter.invoke()
            return [self.interpreter.get_tensor(index) for index in self.outputs]
        except (RuntimeError, ValueError) as e:
            raise MeasureError(f"{self.path}: LiteRT failed to run it: {_one_line(e)}") from e

    def run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs for any number of samples, by the names of the ONNX file and in its layout."""
        given, axis = stacked(self.ports.inputs, feed)
        runs = []
        for sample in range(len(given[0]) if given else 1):
            self.give([one[sample] for one in given])
            runs.append(self.once())
        taken = [np.stack(values) for values in zip(*runs, strict=True)]
        return joined(self.ports.outputs, taken, axis)


@contextmanager
def _without_chatter() -> Iterator[None]:
    """LiteRT greets on the process's standard error whenever it opens a file; what goes wrong it raises as well."""
    with _REDIRECTING:
        try:
            kept = os.dup(2)
        except OSError:  # closed: nobody would hear it
            yield
            return
        sys.stderr.flush()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)


def _one_line(error: Exception) -> str:
    """What LiteRT said, without its hint on where to read of custom operators."""
    lines = [line for line in str(error).splitlines() if line and not line.startswith("See ")]
    return " ".join(lines) or type(error).__name__
