"""A device that is out of reach, by what its target file says of it: time by the roofline, memory by liveness.

Every number is an estimate. Outputs are those of ONNX Runtime on this machine, which says nothing of the device's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.account.liveness import liveness_of
from squeeze.account.operations import operations
from squeeze.account.roofline import Roofline, roofline, unlimited
from squeeze.account.weigh import inferred, read, shapes_in
from squeeze.runtimes.inference import every_output
from squeeze.runtimes.ort import session
from squeeze.runtimes.runtime import Abilities, Array, Built, Cost, OperatorCost, Refusal, Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import onnx

    from squeeze.account.operations import Operation
    from squeeze.target import Target

_NAMED = 2  # operations that are said to limit a model


class Estimate:
    """See `Runtime`. The file is the ONNX file itself."""

    abilities = Abilities(answers_by="ONNX Runtime on this machine")
    source: Source = "estimate"

    def __init__(self, target: Target) -> None:
        self._target = target

    @property
    def version(self) -> str:
        """It has none of its own: what it says changes with the target file."""
        return "roofline of the target file"

    def missing(self) -> str | None:
        """Nothing where the target has [peak]; `estimated` gives no other."""
        return None

    def refuses(self, model: Path) -> list[Refusal]:
        """By [limits] of the target, and where [peak] says nothing of the numbers that are multiplied."""
        refusals = [*self._unlisted(read(model).graph), *self._of_many_axes(model)]
        floats = unlimited(operations(model), self._target.peak)
        refusals += [self._no_rate(one) for one in floats[:1]]  # the others are alike
        return refusals

    def build(self, model: Path, folder: Path) -> Built:
        """The file itself."""
        return Built(
            {"model.onnx": model},
            ("nothing is built for it: outputs are those of ONNX Runtime on this machine",),
        )

    def run(self, built: Built, feed: Mapping[str, Array]) -> dict[str, Array]:
        """By ONNX Runtime on this machine. Raises MeasureError."""
        return every_output(session(built.runs), feed, built.runs)

    def cost(self, built: Built, feed: Mapping[str, Array] | None = None) -> Cost:
        """Of a run of `feed`, or of one sample of the file's own sizes. Raises MeasureError."""
        if feed is None:
            found = operations(built.runs)
        else:
            shapes = {name: tuple(x.shape) for name, x in feed.items()}
            found = operations(
                built.runs, shapes, batch_size=1
            )  # which axis it is only the feed knows
        time, memory = roofline(found, self._target.peak), liveness_of(found)
        file_bytes = built.runs.stat().st_size
        # Accelerators and microcontrollers read weights from where they are stored.
        in_ram = self._target.accelerator is None and not self._target.cpu.arch.endswith("-m")
        return Cost(
            self.source,
            latency_ms=1e3 * time.seconds,
            ram_bytes=memory.peak.bytes,
            persistent_bytes=memory.weight_bytes if in_ram else None,
            flash_bytes=file_bytes,
            file_bytes=file_bytes,
            operators=_costs(time),
            limited_by=_limit(time),
            notes=tuple(self._notes(memory.unknown)),
        )

    def _no_rate(self, one: Operation) -> Refusal:
        why = f"[peak] of '{self._target.name}' has no float_macs_per_s"
        todo = "quantise the model, or say how fast floats are there"
        return Refusal(one.name, f"{one.op} multiplies floats, and {why}; {todo}")

    def _unlisted(self, graph: onnx.GraphProto) -> Iterator[Refusal]:
        """Operators that are not in limits.operators."""
        allowed = self._target.limits.operators
        for node in graph.node if allowed else ():
            if node.op_type not in allowed:
                yield Refusal(
                    node.name or node.output[0],
                    f"{node.op_type} is not among the operators of '{self._target.name}': {', '.join(allowed)}",
                )

    def _of_many_axes(self, model: Path) -> Iterator[Refusal]:
        """Nodes that write tensors of more than limits.max_rank axes."""
        most = self._target.limits.max_rank
        if most is None:
            return
        graph = inferred(model, read(model), {}, None, ())[0].graph
        shapes = shapes_in(graph)
        for node in graph.node:
            for name in node.output:
                if len(shapes.get(name, ())) > most:
                    yield Refusal(
                        node.name or name,
                        f"'{name}' has {len(shapes[name])} axes; '{self._target.name}' takes up to {most}",
                    )

    def _notes(self, unknown: tuple[str, ...]) -> Iterator[str]:
        if self._target.peak.memory_bytes_per_s is None:
            yield (f"arithmetic alone: [peak] of '{self._target.name}' has no memory_bytes_per_s")
        if self._target.peak.operator_start_s is None:
            yield f"starting operators costs nothing: [peak] of '{self._target.name}' has no operator_start_s"
        if unknown:
            more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            yield f"not counted: {unknown[0]}{more}"


def _costs(time: Roofline) -> tuple[OperatorCost, ...]:
    whole = time.seconds or 1.0
    return tuple(
        OperatorCost(p.name, p.op, p.seconds / whole, us=1e6 * p.seconds, macs=p.macs)
        for p in time.parts
    )


def _limit(time: Roofline) -> str:
    """'arithmetic 70 %, memory 20 %, starting 10 %; most: conv1 (memory, 31 %), conv2 (arithmetic, 12 %)'."""
    if not time.seconds:
        return ""
    arithmetic, starting = (round(100 * time.share(bound)) for bound in ("arithmetic", "starting"))
    most = sorted(time.parts, key=lambda p: -p.seconds)[:_NAMED]
    named = (f"{p.name} ({p.bound}, {100 * p.seconds / time.seconds:.0f} %)" for p in most)
    shares = f"arithmetic {arithmetic} %, memory {100 - arithmetic - starting} %"
    if starting:
        shares += f", starting {starting} %"
    return f"{shares}; most: {', '.join(named)}"
