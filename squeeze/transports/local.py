"""This machine as a device: a folder of its own, and processes in it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

from squeeze.errors import MeasureError
from squeeze.transports.transport import Ran

_KIB = 1024


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
        return self._run(command, timeout_s)[0]

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
        ran, peak_bytes = self._run(command, timeout_s)
        succeeded(command[0], ran)
        return peak_bytes

    def _run(self, command: Sequence[str], timeout_s: float) -> tuple[Ran, int]:
        """What it gave, and the most resident bytes."""
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
        late = threading.Event()

        def stop() -> None:
            late.set()
            os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(timeout_s, stop)
        timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            timer.cancel()
            timer.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        if late.is_set():
            raise MeasureError(f"{command[0]}: not done within {timeout_s:g} s")
        texts = [path.read_text(encoding="utf-8", errors="replace") for path in (out, said)]
        return Ran(process.returncode, *texts), usage.ru_maxrss * _KIB


def succeeded(name: str, ran: Ran) -> Ran:
    """Raises MeasureError, with the last thing that it said, for a command that failed."""
    if ran.code == 0:
        return ran
    if ran.code < 0:
        raise MeasureError(f"{name}: it crashed ({signal.Signals(-ran.code).name})")
    lines = [line.strip() for line in ran.said.splitlines() if line.strip()]
    raise MeasureError(f"{name}: {lines[-1] if lines else f'it ended with code {ran.code}'}")
