"""The device that a compile is for: its target, what the very machine says of itself, and numbers in its form.

Nothing else asks what CPU this is. A step that was measured on a device is found again on one with an equal key alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from squeeze.errors import UnsupportedError
from squeeze.machine.facts import Facts, facts_of_this_machine
from squeeze.machine.likeness import unlike

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.measure import LatencyTable
    from squeeze.runtimes.runtime import Runtime
    from squeeze.target import Target

Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class Numerics:
    """The form of numbers that a device wants, decided once from its target and its facts.

    activations: the integer type of activations that it runs fast. safe_weights: no pair of products may saturate on
    x86 CPUs without VNNI; so it is for uint8 activations whatever this machine has, for the file runs everywhere.
    custom_ops: our ops may be in the file; native: and their kernels are here to be timed.
    """

    activations: Literal["uint8", "int8"]
    safe_weights: bool
    custom_ops: bool
    native: bool
    opset: int

    def key(self) -> Json:
        """All of it decides what is built."""
        return asdict(self)

    @classmethod
    def of(cls, target: Target, facts: Facts) -> Numerics:
        """What `target` says, and where it leaves it to the machine, what that runs fast: u8 on x86, s8 on Arm."""
        activations = target.numerics.activations
        if activations == "host":
            activations = "int8" if facts.arch == "arm64" else "uint8"
        return cls(
            activations=activations,
            safe_weights=activations == "uint8",
            custom_ops=target.runtime.custom_ops,
            native=target.runtime.custom_ops and bool(facts.library),
            opset=target.runtime.opset,
        )


@dataclass(frozen=True)
class Device:
    """A target that was reached. `table` remembers comparisons made on it; it decides nothing that `facts` does not.

    runtime: what the verdict is made with; None for ONNX Runtime on this CPU, with which everything else is done.
    """

    target: Target
    facts: Facts
    numerics: Numerics
    table: LatencyTable
    runtime: Runtime | None = None

    @property
    def name(self) -> str:
        """The target's name, for people and folders."""
        return self.target.name

    @property
    def threads(self) -> int:
        """Threads of the runtime when a model is timed or profiled."""
        return self.target.runtime.threads

    @property
    def integers_only(self) -> bool:
        """See `Target.integers_only`."""
        return self.target.integers_only

    def key(self) -> Json:
        """What is measured or built here is found again on such a device alone."""
        return {
            "target": self.target.key(),
            "facts": self.facts.key(),
            "numerics": self.numerics.key(),
        }


# Runtimes that run the file on the very CPU that this process runs on.
_ON_THIS_CPU = ("onnxruntime", "openvino", "litert")


def connect(target: Target, state_dir: Path) -> Device:
    """Reaches the device of `target`; what is measured on it is remembered in `state_dir`. A processor of another kind
    than this one's is estimated by its file.

    Raises UnsupportedError for a device that is out of reach: another processor of which the file does not say what it
    reaches, or a runtime that is not installed, with the command that brings it.
    """
    from squeeze.measure import LatencyTable
    from squeeze.runtimes.table import estimated, runtime_of

    facts, name = facts_of_this_machine(), target.runtime.name
    runtime: Runtime | None = None
    if name in _ON_THIS_CPU and (why := unlike(target.cpu)):
        runtime = estimated(target)
        if runtime is None:
            raise UnsupportedError(
                f"target '{target.name}': {why}, and {name} runs on the machine itself; run squeeze on the device "
                "(--target host), or say in [peak] of the target what it reaches, for estimates"
            )
    elif name != "onnxruntime":
        runtime = runtime_of(target)
        if missing := runtime.missing():
            raise UnsupportedError(f"target '{target.name}': {missing}")
    if runtime is not None:
        named = "estimate" if runtime.source == "estimate" else name
        facts = replace(facts, runtime=named, runtime_version=runtime.version)
    numerics = Numerics.of(target, facts)
    return Device(target, facts, numerics, LatencyTable(state_dir, facts.key()), runtime)
