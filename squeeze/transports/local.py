"""This machine as a device: a folder of its own, and processes in it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

from squeeze.errors import MeasureError
from squeeze.transports.transport import Ran

_KIB = 1024
_PEAK = ".peak"
# A process is held to have had what the one that started it had, so that a small one has to: Python's 10 MB are the
# least that is seen.
_HELD = f"""
import os, resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
with open({_PEAK!r}, "w") as peak:
    peak.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


class Local:
    """See `Transport`."""

    def __init__(self) -> None:
        self._folder: TemporaryDirectory[str] | None = None

    def __enter__(self) -> Local:
        self._folder = TemporaryDirectory(prefix="squeeze-", ignore_cleanup_errors=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._folder is not None
        self._folder.cleanup()
        self._folder = None

    @property
    def folder(self) -> Path:
        """Where commands run."""
        if self._folder is None:
            raise ValueError("a transport is used inside of 'with'")
        return Path(self._folder.name)

    def missing(self) -> str | None:
        return None

    def facts(self) -> Mapping[str, str]:
        one = os.uname()
        return {"system": one.sysname, "release": one.release, "machine": one.machine}

    def put(self, file: Path | bytes, name: str) -> None:
        if isinstance(file, bytes):
            (self.folder / name).write_bytes(file)
        else:
            shutil.copy(file, self.folder / name)

    def get(self, name: str) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except OSError as e:
            raise MeasureError(f"the device has no file '{name}': {e.strerror}") from e

    def run(self, command: Sequence[str], timeout_s: float) -> Ran:
        out, said = self.folder / ".out", self.folder / ".said"
        try:
            with out.open("wb") as to_out, said.open("wb") as to_said:
                process = subprocess.Popen(
                    list(command),
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=to_out,
                    stderr=to_said,
                    start_new_session=True,
                )
        except OSError as e:
            raise MeasureError(f"{command[0]}: cannot be started: {e.strerror}") from e
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired as e:
            raise MeasureError(f"{command[0]}: not done within {timeout_s:g} s") from e
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        texts = [path.read_text(encoding="utf-8", errors="replace") for path in (out, said)]
        return Ran(process.returncode, *texts)

    def time(
        self, commands: Mapping[str, Sequence[str]], rounds: int, timeout_s: float
    ) -> dict[str, list[tuple[int, ...]]]:
        taken: dict[str, list[tuple[int, ...]]] = {name: [] for name in commands}
        names = list(commands)
        for i in range(rounds):
            first = i % len(names)
            for name in names[first:] + names[:first]:
                ran = succeeded(name, self.run(commands[name], timeout_s))
                taken[name].append(tuple(int(line) for line in ran.out.split()))
        return taken

    def memory(self, command: Sequence[str], timeout_s: float) -> int:
        succeeded(
            command[0], self.run([sys.executable, "-I", "-S", "-c", _HELD, *command], timeout_s)
        )
        return int(self.get(_PEAK)) * _KIB


def succeeded(name: str, ran: Ran) -> Ran:
    """Raises MeasureError, with the last thing that it said, for a command that failed."""
    if ran.code == 0:
        return ran
    if ran.code < 0:
        raise MeasureError(f"{name}: it crashed ({signal.Signals(-ran.code).name})")
    lines = [line.strip() for line in ran.said.splitlines() if line.strip()]
    raise MeasureError(f"{name}: {lines[-1] if lines else f'it ended with code {ran.code}'}")
