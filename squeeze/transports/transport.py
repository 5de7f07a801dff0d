"""What squeeze asks of a way to a device. `squeeze_runner` is what it runs there; see squeeze/csrc/runner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol


@dataclass(frozen=True)
class Ran:
    """A command that ended. code: negative where a signal ended it; out and said: standard output and error."""

    code: int
    out: str
    said: str


class Transport(Protocol):
    """A way to one device. As a context it has a folder there that is empty at first and goes with it; commands run in
    that folder."""

    def __enter__(self) -> Transport: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def missing(self) -> str | None:
        """What keeps the device out of reach, and the command that changes it; None when nothing does."""

    def facts(self) -> Mapping[str, str]:
        """What the device says of itself, in words."""

    def put(self, file: Path | bytes, name: str) -> None:
        """A file, or what is in one, into the folder there."""

    def get(self, name: str) -> bytes:
        """What is in a file of the folder there. Raises MeasureError when there is none."""

    def run(self, command: Sequence[str], timeout_s: float) -> Ran:
        """Raises MeasureError when it has not ended within `timeout_s`, or cannot be started."""

    def time(
        self, commands: Mapping[str, Sequence[str]], rounds: int, timeout_s: float
    ) -> dict[str, list[tuple[int, ...]]]:
        """Commands take turns, one of each a round; each prints what its runs took in ns, a line a run.

        Round i of all belongs together. Raises MeasureError when one fails, UnsupportedError where a clock says nothing
        of the device.
        """

    def memory(self, command: Sequence[str], timeout_s: float) -> int:
        """Bytes of memory that the command held at most. Raises as `time` does."""
