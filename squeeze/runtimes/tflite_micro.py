"""Microcontrollers by tflite-micro: whether a model loads there, what it needs of RAM and flash, and its outputs.

What the interpreter allocates is known without a device: tensors and scratch to the byte, what it keeps of the model
from above, because pointers are 64 bits here and 32 there. Nothing here says how long a run takes.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.quantities import show_bytes
from squeeze.runtimes.installed import missing_package, named_version
from squeeze.runtimes.micro_arena import Arena, Rejected, interpreted
from squeeze.runtimes.micro_refusals import refusals_of
from squeeze.runtimes.runtime import Abilities, Array, Built, Cost, Refusal, Source
from squeeze.runtimes.tflite_file import (
    NAME,
    operators,
    ports_of,
    tflite_lacks,
    tflite_of,
    tflite_refusals,
)
from squeeze.runtimes.tflite_nodes import NodeNames, node_names
from squeeze.runtimes.tflite_tensors import joined, made_up, stacked
from squeeze.workdir import write_atomic

if TYPE_CHECKING:
    from squeeze.target import Target

# Of [runtime.options]: what interpreter and kernels take of the flash in the firmware at hand, as its linker says.
CODE_BYTES = "code-bytes"
# Digest of model.tflite -> what the interpreter needs for it, which no board changes.
_arenas: dict[str, Arena] = {}
_interpreting = Lock()  # boards that are asked at the same time ask about the same file


class TfliteMicro:
    """See `Runtime`. The interpreter and its reference kernels run in a process of their own."""

    abilities = Abilities(fixes="all", looks_first=True)  # a .tflite file leaves no size open
    source: Source = "static"

    def __init__(self, target: Target) -> None:
        self.target = target

    @property
    def version(self) -> str:
        return named_version("tflite-micro")

    def missing(self) -> str | None:
        least = self.target.runtime.min_version
        return missing_package("tflite_micro", "tflite-micro", "mcu", least) or missing_package(
            "ai_edge_litert", "ai-edge-litert", "mcu"
        )

    def lacks(self, model: Path) -> list[Refusal]:
        return tflite_lacks(model)

    def refuses(self, model: Path) -> list[Refusal]:
        """Also what the interpreter has no operator for, and what is more than the target's RAM or flash."""
        if refusals := tflite_refusals(model):
            return refusals
        with tempfile.TemporaryDirectory(prefix="squeeze-") as folder:
            return self._refuses(tflite_of(model, Path(folder)), node_names(model))

    def build(self, model: Path, folder: Path) -> Built:
        with tempfile.TemporaryDirectory(prefix="squeeze-") as scratch:
            path = tflite_of(model, Path(scratch))
            if refusals := self._refuses(path, node_names(model)):
                raise UnsupportedError(*(f"{self.target.name}: {refusal}" for refusal in refusals))
            write_atomic(folder / NAME, path.read_bytes())
        return Built({NAME: folder / NAME})

    def run(self, built: Built, feed: Mapping[str, Array]) -> dict[str, Array]:
        ports = ports_of(built.runs)
        given, axis = stacked(ports.inputs, feed)
        taken, _ = interpreted(built.runs, given, len(ports.outputs))
        return joined(ports.outputs, taken, axis)

    def cost(self, built: Built, feed: Mapping[str, Array] | None = None) -> Cost:
        """The same for any `feed`."""
        arena, size = self._arena(built.runs), built.runs.stat().st_size
        code, of_code = self._code(built.runs)
        return Cost(
            self.source,
            ram_bytes=arena.activation_bytes,
            persistent_bytes=arena.persistent_bytes,
            flash_bytes=size + code,
            file_bytes=size,
            notes=(
                "RAM is the tensor arena: activations and scratch of the reference kernels to the byte (CMSIS-NN's "
                "take more scratch), persistent bytes at most, since pointers are 64 bits here",
                of_code,
            ),
        )

    def _refuses(self, path: Path, names: NodeNames) -> list[Refusal]:
        try:
            arena = self._arena(path)
        except Rejected as e:
            return refusals_of(path, e, names)
        memory, flash = self.target.memory, path.stat().st_size + (self._code_bytes() or 0)
        found = []
        ram = arena.activation_bytes + arena.persistent_bytes
        if memory.ram_bytes is not None and ram > memory.ram_bytes:
            found.append(
                Refusal(
                    "",
                    f"RAM: {show_bytes(ram)} ({ram} bytes: {arena.activation_bytes} of activations and at most "
                    f"{arena.persistent_bytes} kept), {self.target.name} has {memory.ram_bytes} bytes; "
                    "smaller inputs or fewer channels in its first layers take less",
                )
            )
        if memory.flash_bytes is not None and flash > memory.flash_bytes:
            found.append(
                Refusal(
                    "",
                    f"flash: {show_bytes(flash)} ({flash} bytes), {self.target.name} has {memory.flash_bytes} bytes; "
                    "int8 weights or fewer channels take less",
                )
            )
        return found

    def _arena(self, path: Path) -> Arena:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with _interpreting:
            if digest not in _arenas:
                ports = ports_of(path)
                sample = [one[None] for one in made_up(ports.inputs)]
                _arenas[digest] = interpreted(path, sample, len(ports.outputs))[1]
            return _arenas[digest]

    def _code(self, path: Path) -> tuple[int, str]:
        """Bytes of code beside the model in `path`, and what is said of them."""
        own = f'[runtime.options] {CODE_BYTES} = "..."'
        known, table = self._code_bytes(), self.target.code
        if known is not None:
            return known, f"flash is the model and {known} bytes of code that the target file names"
        if table.core_bytes is None:
            why = (
                "flash is the model alone; interpreter and kernels come on top: say what they take"
            )
            return 0, f"{why} in your firmware with {own}"
        used = sorted({operator.op for operator in operators(path)})
        count = table.core_bytes + sum(table.kernels.get(op, 0) for op in used)
        lacking = ", ".join(op for op in used if op not in table.kernels)
        beside = f", without {lacking}" if lacking else ""
        return count, (
            f"flash is the model and an estimate of {count} bytes of code ({', '.join(used)}{beside}), from [code] of "
            f"the target file; say what your linker says with {own}"
        )

    def _code_bytes(self) -> int | None:
        text = self.target.runtime.options.get(CODE_BYTES)
        if text is None:
            return None
        if not text.isdecimal():
            raise ConfigError(
                f"target '{self.target.name}': runtime.options.{CODE_BYTES}: got '{text}', allowed: a number of bytes"
            )
        return int(text)
