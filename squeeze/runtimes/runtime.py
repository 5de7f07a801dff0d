"""What squeeze asks of whatever runs a model on a target: one protocol, one file a runtime, the table `RUNTIMES`.

A runtime takes an ONNX file and makes of it what its device loads. Of every number it says where it is from (`Source`):
measured here, cycles of the vendor's own compiler, static facts of that compiler, emulated, or our estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

Array = NDArray[Any]  # Any: of any element type
Source = Literal["measured", "cycles", "static", "emulated", "estimate"]
# What stands behind a number of each class.
MEANINGS: dict[Source, str] = {
    "measured": "measured here",
    "cycles": "cycles of the vendor's compiler, and cycles / clock",
    "static": "the vendor's compiler or interpreter counted it; no time",
    "emulated": "run in an emulator; no time",
    "estimate": "our model of the device",
}


@dataclass(frozen=True)
class Refusal:
    """Why a model does not run there. node: its name in the ONNX file, "" where it is the whole model. why: what it
    is, what would be allowed, what to do."""

    node: str
    why: str

    def __str__(self) -> str:
        return f"node '{self.node}': {self.why}" if self.node else self.why


@dataclass(frozen=True)
class Built:
    """What a device loads. files: by the name that they have in a package, such as model.tflite; the last one is what
    runs. notes: what was done on the way that somebody should know."""

    files: Mapping[str, Path]
    notes: tuple[str, ...] = ()

    @property
    def runs(self) -> Path:
        """The file that the device loads."""
        return list(self.files.values())[-1]


@dataclass(frozen=True)
class OperatorCost:
    """One operator as the device's compiler or profiler sees it. share: of the whole, 0 to 1."""

    name: str
    op: str
    share: float
    cycles: int | None = None
    us: float | None = None
    macs: int | None = None
    on_accelerator: bool | None = None


@dataclass(frozen=True)
class Cost:
    """What a model costs on a device. None is what nobody knows there; 0 is a number.

    source: of latency or cycles. latency_ms: of one sample; for cycles, cycles / clock. ram_bytes: of what it computes
    with, at its peak; persistent_bytes: beside it as long as the model is open; flash_bytes: model and the code that
    it needs. traffic_bytes: by kind, such as dram_read, of a compiler's static report. accelerator_share: of operators,
    0 to 1, None where there is none; left_over: names of those that the CPU runs. limited_by: in a few words.
    leaves_out: what the numbers have not in them, or nobody was asked about: said on every screen.
    """

    source: Source
    latency_ms: float | None = None
    latency_p10_ms: float | None = None
    latency_p90_ms: float | None = None
    cycles: int | None = None
    ram_bytes: int | None = None
    persistent_bytes: int | None = None
    flash_bytes: int | None = None
    file_bytes: int | None = None
    traffic_bytes: Mapping[str, int] = field(default_factory=dict)
    accelerator_share: float | None = None
    left_over: tuple[str, ...] = ()
    operators: tuple[OperatorCost, ...] = ()
    limited_by: str = ""
    leaves_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Abilities:
    """What not every runtime can, and what not every file of one leaves open.

    fixes: sizes that its files fix when they are built, which are then those of one run of the data: none, those of a
    sample (any number of them is run one by one), or all. in_this_process: it is an `InThisProcess`. looks_first: a
    `LooksFirst`. runs_many: it has `TimesItself.run_all`. times_itself: and `TimesItself.time`, which says nothing
    where it only stands in for the device. answers_by: what computes the outputs of `run`; "" where `version` names it.
    """

    fixes: Literal["none", "sample", "all"] = "none"
    in_this_process: bool = False
    runs_many: bool = False
    looks_first: bool = False
    times_itself: bool = False
    answers_by: str = ""


class Runtime(Protocol):
    """One runtime on one target. `Runtime(target)` costs nothing and imports nothing heavy."""

    @property
    def abilities(self) -> Abilities:
        """What it can beside what all of them can."""

    @property
    def source(self) -> Source:
        """The class of the numbers that `cost` gives."""

    @property
    def version(self) -> str:
        """Name and version of what does the work, for keys and manifests: 'ethos-u-vela 5.2.0'. Needs no `missing`."""

    def missing(self) -> str | None:
        """What keeps it from working here, and the command that brings it; None when nothing does."""

    def refuses(self, model: Path) -> list[Refusal]:
        """Why the ONNX file `model` does not run there; empty when it does. Cheap where it can be: no compiling where
        a look at the operators tells."""

    def build(self, model: Path, folder: Path) -> Built:
        """What the device loads, written into `folder`. Raises UnsupportedError naming the node."""

    def run(self, built: Built, feed: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by the names of the ONNX file, for tensors by its names, in its layout, in float where its are.

        As many samples as the file takes in one batch, any number where its batch is free. Raises UnsupportedError
        where outputs cannot be had, MeasureError where it fails.
        """

    def cost(self, built: Built, feed: Mapping[str, Array] | None = None) -> Cost:
        """What it costs there. feed: one sample, for runtimes that measure; None makes one."""


class InThisProcess(Runtime, Protocol):
    """A runtime whose models run in this process, so that they take turns with any other's in one clock."""

    def caller(self, built: Built, feed: Mapping[str, Array]) -> Callable[[], object]:
        """One run with inputs already in place; opening is done when this returns."""


class LooksFirst(Runtime, Protocol):
    """A runtime that knows by a look at a file which operators it has in no numbers."""

    def lacks(self, model: Path) -> list[Refusal]:
        """The nodes of such operators, which neither int8 nor float makes run; empty says nothing."""


class TimesItself(Runtime, Protocol):
    """A runtime in a process of its own, with its own clock, where opening a file takes seconds."""

    def time(
        self,
        built: Mapping[str, Built],
        feeds: Mapping[str, Mapping[str, Array]],
        runs: int,
        max_seconds: float,
    ) -> dict[str, list[tuple[int, ...]]]:
        """What a run took in ns: of each model, its rounds; round i of all of them belongs together."""

    def run_all(self, built: Built, feeds: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
        """As `run` for each feed, in one process."""
