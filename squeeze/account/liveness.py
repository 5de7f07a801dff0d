"""The peak of the memory that a model computes in, by which values are alive at the same time; nothing is run.

A value is alive from the operation that writes it to the last one that reads it. Inputs are the caller's and stay for
the whole run; outputs stay from where they are written. Activations write where their input lay when nobody needs it
any more, convolutions where the residual lay that they add, reshaping hands its input on; all as ONNX Runtime does it,
which writes outputs of the model in memory of their own. Of If the larger branch counts, of Loop and Scan one turn
beside what is collected.

It is the least that the order of the file allows. Scratch memory of kernels, gaps between values where an allocator
leaves them, weights and the runtime's own code come on top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from squeeze.account.operations import Operation, Operations, operations

if TYPE_CHECKING:
    from squeeze.account.macs import Shape


@dataclass(frozen=True)
class Alive:
    """A stretch of memory that is in use, called after the value that was written there first."""

    name: str
    bytes: int


@dataclass(frozen=True)
class Moment:
    """While one operation runs."""

    name: str
    op: str
    bytes: int


@dataclass(frozen=True)
class Liveness:
    """peak: the first of the moments that need most; alive: what is in use then, largest first, without what is inside
    of bodies. input_bytes: of the inputs, which are part of each moment. weight_bytes: of all stored tensors, part of
    none. unknown: what could not be counted."""

    peak: Moment
    alive: tuple[Alive, ...]
    moments: tuple[Moment, ...]
    input_bytes: int
    weight_bytes: int
    unknown: tuple[str, ...]


def liveness(
    model: Path, shapes: Mapping[str, Shape] | None = None, *, batch_size: int | None = None
) -> Liveness:
    """Of an ONNX file in one run; shapes and batch_size as for `squeeze.account.complexity`. Raises MeasureError."""
    return liveness_of(operations(model, shapes, batch_size=batch_size))


def liveness_of(found: Operations) -> Liveness:
    """As `liveness`. A model without operations needs its inputs."""
    memory = _Memory(found)
    moments: list[Moment] = []
    most: tuple[Moment, tuple[Alive, ...]] = (
        Moment("", "", memory.bytes()),
        memory.alive(),
    )
    for operation in found.operations:
        inside = _inside(operation.bodies)
        memory.write(operation)
        written = sum(found.value_bytes[name] for name in operation.writes)
        # What a branch of If gives is what If gives; Loop and Scan collect beside their body.
        beside = max(0, inside - written) if operation.op == "If" else inside
        moment = Moment(operation.name, operation.op, memory.bytes() + beside)
        if moment.bytes > most[0].bytes or not moments:
            most = (moment, memory.alive())
        moments.append(moment)
        memory.release(operation)
    return Liveness(
        peak=most[0],
        alive=most[1],
        moments=tuple(moments),
        input_bytes=sum(found.value_bytes[name] for name in found.inputs),
        weight_bytes=found.weight_bytes,
        unknown=found.unknown,
    )


def _inside(bodies: Sequence[Operations]) -> int:
    return max((liveness_of(body).peak.bytes for body in bodies), default=0)


class _Memory:
    """What is in use. A place is a stretch of memory, called after its first value; several values may share it."""

    def __init__(self, found: Operations) -> None:
        self._sizes = found.value_bytes
        self._left: dict[str, int] = {}  # value -> how many operations still read it
        for operation in found.operations:
            for name in operation.reads:
                self._left[name] = self._left.get(name, 0) + 1
        self._ends = frozenset(found.outputs)
        self._inputs = frozenset(found.inputs)
        self._place: dict[str, str] = {name: name for name in found.inputs}
        self._values: dict[str, list[str]] = {name: [name] for name in found.inputs}

    def bytes(self) -> int:
        return sum(self._sizes[place] for place in self._values)

    def alive(self) -> tuple[Alive, ...]:
        found = (Alive(place, self._sizes[place]) for place in self._values if self._sizes[place])
        return tuple(sorted(found, key=lambda one: (-one.bytes, one.name)))

    def write(self, operation: Operation) -> None:
        """Gives a place to what the operation writes."""
        for at, name in enumerate(operation.writes):
            place = self._shared(operation, name) if at == 0 else None
            self._place[name] = name if place is None else place
            self._values.setdefault(self._place[name], []).append(name)

    def release(self, operation: Operation) -> None:
        """Takes back the places of which nothing is read any more."""
        for name in operation.reads:
            self._left[name] -= 1
        for name in (*operation.reads, *operation.writes):
            place = self._place.get(name)
            if place in self._values and not self._needed(place, ()):
                del self._values[place]

    def _shared(self, operation: Operation, name: str) -> str | None:
        """The place of an input that the first output takes over, or is a view of."""
        if name in self._ends:
            return None
        if operation.view:
            return self._place.get(operation.reads[0]) if operation.reads else None
        for given in operation.onto:
            place = self._place.get(given)
            if place is None:  # it belongs to the graph around a body
                continue
            fits = self._sizes[place] == self._sizes[name]
            if fits and not self._needed(place, operation.reads):
                return place
        return None

    def _needed(self, place: str, reading: Sequence[str]) -> bool:
        """Whether anything in it is read later than by an operation that is `reading`, or is the caller's."""
        return place in self._inputs or any(
            name in self._ends or self._left.get(name, 0) > reading.count(name)
            for name in self._values[place]
        )
