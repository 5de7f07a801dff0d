"""A float network, however it came: the teacher's own, a student, a pruned one. Knows no int8 and no device."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from squeeze.interface import Interface
    from squeeze.spec import ArchSpec

Json = dict[str, Any]  # Any: JSON
Origin = Literal["kept", "puzzle", "student", "shrunk", "pruned", "adaptive"]


@dataclass(frozen=True)
class FloatNet:
    """One float network as one ONNX file with the teacher's interface.

    origin: kept is the teacher's own architecture and weights. digest: of the file. arch, weights: what the torch
    module is made from again; None for the teacher's own. story: what the report tells of its making; decides nothing.
    """

    origin: Origin
    file: Path
    digest: str
    interface: Interface
    arch: ArchSpec | None = None
    weights: Path | None = None
    story: Json = field(default_factory=dict, compare=False)

    def step(self, name: str) -> str:
        """What a step about this network is called: that of the teacher's own has the plain `name`."""
        return name if self.origin == "kept" else f"{name}-{self.origin}"

    def key(self) -> Json:
        """Its bytes and what they take and give: the file says everything else."""
        return {"file": self.digest, "interface": self.interface.to_json()}
