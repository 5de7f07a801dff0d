"""All candidates of one case on one device, and the one that is shipped. Knows nothing of how a candidate was made.

The pick is made on the calibrate split and on measured latency and bytes; what is reported of it afterwards, on the
evaluate split, was not used to choose. `judged_again` is the exception, and says so.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze import goal as goals
from squeeze.goal import Lost, Reached

if TYPE_CHECKING:
    from squeeze.net import FloatNet, Origin
    from squeeze.spec import Goal

Json = dict[str, Any]  # Any: JSON

TEACHER = "teacher"
_WORDS = {
    "balanced": "best {} times bytes",
    "fastest": "fastest",
    "smallest": "smallest",
}


@dataclass(frozen=True)
class Original:
    """The user's own file, as it lies there. digest, bytes: with its external data. runs: on the teacher's tensors;
    where it does not, the teacher's time is that of the file as it was adopted."""

    file: Path
    digest: str
    bytes: int
    runs: bool = True


@dataclass(frozen=True)
class Written:
    """The file as it is written but for its contract: with its preprocessing inside."""

    file: Path
    digest: str


@dataclass(frozen=True)
class Candidate:
    """One form of a float network, built for a device as one file.

    form: teacher (the file as it was adopted), float, int8, or what its weights became. drop: points of the worst
    output lost on the calibrate split; class_drop: points of recall of the class that loses most there, None where
    answers are no classes. bits: of the weights of its inner layers. original: what the teacher was adopted
    from, where that is an ONNX file; its bytes are the teacher's, and its speed where it runs. story: what the report
    tells of its making; decides nothing. contract_bytes: by how many the written file is larger; the front knows.
    written: where the file that is written is another than `file`, which everything is made from.
    """

    net: FloatNet
    form: str
    file: Path
    digest: str
    drop: float
    bits: int = 32
    story: Json = field(default_factory=dict, compare=False)
    original: Original | None = None
    contract_bytes: int = 0
    written: Written | None = None
    class_drop: float | None = None

    @classmethod
    def of(
        cls, net: FloatNet, form: str, file: Path, found: Json, bits: int, story: Json | None = None
    ) -> Candidate:
        """What a step wrote as `file` and says in its result: "digest", and what is lost as `Lost.to_json`."""
        lost = Lost.of(found)
        return cls(
            net,
            form,
            file,
            found["digest"],
            lost.drop,
            bits,
            story or {},
            class_drop=lost.class_drop,
        )

    @property
    def lost(self) -> Lost:
        """On the calibrate split."""
        return Lost(self.drop, self.class_drop)

    @property
    def shipped(self) -> Path:
        """The file as it is written, but for its contract: what is judged."""
        return self.file if self.written is None else self.written.file

    @property
    def measured(self) -> Path:
        """The file that is timed."""
        original = self.original
        return self.shipped if original is None or not original.runs else original.file

    @property
    def name(self) -> str:
        """For people: the network and the form, such as student-int8."""
        return TEACHER if self.form == TEACHER else f"{self.net.origin}-{self.form}"

    @property
    def bytes(self) -> int:
        """Of the file as it is written, or would be."""
        return self.bare_bytes + self.contract_bytes

    @property
    def bare_bytes(self) -> int:
        """Without the contract: for the teacher as it lies there."""
        return self.shipped.stat().st_size if self.original is None else self.original.bytes

    def key(self) -> Json:
        """The files are what is measured."""
        original = self.original and [self.original.digest, self.original.runs]
        written = self.written and self.written.digest
        return {"name": self.name, "file": self.digest, "original": original, "written": written}


@dataclass(frozen=True)
class Timed:
    """Latency of a candidate from rounds in which all candidates took turns, or what stands for it on its device.

    p50, p90, p99: None where the device gives no time. ratio: how many times the teacher takes what it takes, in the
    median round; p10 and p90 over rounds. steady: made on a calm machine, in rounds that agree. source: of all of it.
    work: what is made small for speed where that is not the latency, in bytes of `what`. cost: all that the device's
    runtime says (JSON of `Cost`). refused: why the file does not run there; the numbers are of what stands for it.
    """

    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    runs: int
    ratio: float
    ratio_p10: float
    ratio_p90: float
    steady: bool
    source: str = "measured"
    what: str = "latency"
    work: float | None = None
    cost: Json = field(default_factory=dict)
    refused: str = ""

    def reached(self, lost: Lost, file_bytes: int, bits: int) -> Reached:
        """What a file that loses this, of these bytes and bits, does there; bytes are of what the device loads."""
        loaded = self.cost.get("file_bytes")
        if loaded is not None and not self.refused:
            file_bytes = int(loaded)
        ram = self.cost.get("ram_bytes")
        return Reached(
            lost.drop,
            self.p50_ms,
            file_bytes,
            bits,
            work=self.work,
            ram_bytes=None if ram is None else ram + (self.cost.get("persistent_bytes") or 0),
            flash_bytes=self.cost.get("flash_bytes"),
            runs=not self.refused,
            class_drop=lost.class_drop,
        )


Clock = Callable[[tuple[Candidate, ...]], Mapping[str, Timed]]


class Front:
    """Candidates by name, in the order in which they were added; `clock` times all of them interleaved.

    contract_bytes: what the contract of the written file takes, whichever it is. finish: gives candidates the files
    that are written of them, where these are others; the teacher keeps its own, and is only what they are held to.
    """

    def __init__(
        self,
        goal: Goal,
        clock: Clock,
        contract_bytes: int = 0,
        finish: Callable[[tuple[Candidate, ...]], Sequence[Candidate]] | None = None,
    ) -> None:
        self.goal = goal
        self.contract_bytes = contract_bytes
        self._finish = finish
        self.candidates: dict[str, Candidate] = {}
        self._clock = clock
        self._timed: Mapping[str, Timed] | None = None
        self._again: Mapping[str, Lost] = {}
        self._because = ""

    def add(self, *candidates: Candidate) -> None:
        """Puts candidates on the front; what was timed before is timed again with them, in the same rounds."""
        finished = candidates if self._finish is None else self._finish(candidates)
        for candidate in finished:
            whole = replace(candidate, contract_bytes=self.contract_bytes)
            self.candidates[candidate.name] = whole
            self._timed = None

    @property
    def beside_bytes(self) -> int:
        """How much larger files are as they are written than what they are made from: what a limit has no room for."""
        made = (c for c in self.candidates.values() if c.form != TEACHER)
        return max((c.bytes - c.file.stat().st_size for c in made), default=self.contract_bytes)

    def timed(self) -> Mapping[str, Timed]:
        """Latency of every candidate, measured when it is first asked for."""
        if self._timed is None:
            self._timed = self._clock(tuple(self.candidates.values()))
        return self._timed

    def judged(self) -> dict[str, Reached]:
        """What every candidate does, with the loss that it is judged by."""
        timed = self.timed()
        return {
            n: timed[n].reached(self.lost(n), c.bytes, c.bits) for n, c in self.candidates.items()
        }

    def lost(self, name: str) -> Lost:
        """What the candidate called `name` is judged by: its loss on the calibrate split, or of `judged_again`."""
        return self._again.get(name, self.candidates[name].lost)

    @property
    def chosen_on(self) -> str:
        """The split that the pick is made on."""
        return "evaluate" if self._again else "calibrate"

    def pick(self, among: Collection[str] = ()) -> Candidate:
        """Among those inside the goal the objective decides; when none is, the one that is least beyond it.

        among: names that can be picked; empty for all.
        """
        judged = {n: one for n, one in self._shippable().items() if not among or n in among}

        def order(name: str) -> tuple[float, float, str]:
            reached = judged[name]
            return goals.excess(self.goal, reached), goals.objective(self.goal, reached), name

        return self.candidates[min(judged, key=order)]

    def met(self, origin: Origin | None = None) -> bool:
        """Whether a candidate, of the network of that origin alone, is inside every limit of the goal."""
        inside = (self.candidates[name].net for name in self._inside())
        return any(origin in (None, net.origin) for net in inside)

    def why(self) -> str:
        """Why the pick was picked."""
        inside = len(self._inside())
        if not inside:
            return "the nearest, for no candidate is inside the goal"
        noun = "candidate" if inside == 1 else "candidates"
        return f"{self._words()} of {inside} {noun} inside the goal{self._because}"

    def why_not(self, name: str) -> str:
        """Why the candidate called `name` was not picked; empty for the pick itself."""
        picked = self.pick().name
        if name == picked:
            return ""
        failed = [c for c in goals.checks(self.goal, self.judged()[name]) if not c.ok]
        if failed:
            said = ", ".join(
                f"{goals.show(c.what, c.got)} (goal {goals.show(c.what, c.goal)})" for c in failed
            )
            return f"beyond the goal: {said}"
        return f"'{picked}' is the {self._words()}"

    def _words(self) -> str:
        """What the objective makes small, in what the device tells of a run."""
        told = self.timed()[self.pick().name].what
        return _WORDS[self.goal.objective].format(told)

    def without(self, name: str) -> Front:
        """The front without one candidate, which turned out not to be what it was taken for; the times of the others
        stay, for they took turns with each other."""
        rest = copy.copy(self)
        rest.candidates = {n: c for n, c in self.candidates.items() if n != name}
        if self._timed is not None:
            rest._timed = {n: timed for n, timed in self._timed.items() if n != name}
        return rest

    def judged_again(self, lost: Mapping[str, Lost], because: str) -> Front:
        """The same candidates, chosen by what they lose on the evaluate split; because: why, for people."""
        again = copy.copy(self)
        again._again, again._because = lost, f"; {because}"
        return again

    def _shippable(self) -> dict[str, Reached]:
        """`judged` of those that can be picked."""
        held_to = TEACHER if self._finish is not None and len(self.candidates) > 1 else None
        return {n: reached for n, reached in self.judged().items() if n != held_to}

    def _inside(self) -> list[str]:
        judged = self._shippable()
        return [n for n, reached in judged.items() if goals.excess(self.goal, reached) == 0]
