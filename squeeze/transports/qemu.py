"""A 64-bit Arm CPU that qemu emulates: programs of its Linux run on this machine, and give what they give there.

Which kernels they choose shows too (`traced`). How long they take, and what memory the process holds, is the
emulator's and is never given.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType

from squeeze.errors import UnsupportedError
from squeeze.transports.arm64_instructions import instructions
from squeeze.transports.emulated_cpu import EmulatedCpu, emulated_cpu
from squeeze.transports.local import Local
from squeeze.transports.transport import Ran

QEMU = "qemu-aarch64-static"
# Debian's C library for Arm; programs are linked against it at run time.
SYSTEM = Path("/usr/aarch64-linux-gnu")
INSTALL = (
    "apt-get install --no-install-recommends qemu-user-static libc6-arm64-cross "
    "libstdc++6-arm64-cross"
)
_MOUNTS = ("unshare", "--map-root-user", "--mount")
_SCRIPT = 'mount --bind "$1" /proc/cpuinfo && shift && exec "$@"'
_CPUINFO, _LOG = ".cpuinfo", ".in_asm"


class Qemu:
    """See `Transport`. features: of the CPU, as in a target's `cpu.features`."""

    def __init__(self, features: Collection[str], cores: int = 1) -> None:
        self.cpu: EmulatedCpu = emulated_cpu(features)
        self._cores = cores
        self._local = Local()

    def __enter__(self) -> Qemu:
        self._local.__enter__()
        self.put(self.cpu.cpuinfo(self._cores).encode(), _CPUINFO)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._local.__exit__(kind, error, trace)

    def missing(self) -> str | None:
        if shutil.which(QEMU) is None or not (SYSTEM / "lib").is_dir():
            return f"the emulator of 64-bit Arm or its C library is not installed: {INSTALL}"
        if shutil.which(_MOUNTS[0]) is None or not _may_mount():
            return (
                "this user may have no mounts of its own, and the emulated CPU needs a /proc/cpuinfo of its own: "
                "run as root, or allow user namespaces (sysctl -w kernel.unprivileged_userns_clone=1)"
            )
        return None

    def facts(self) -> Mapping[str, str]:
        return {"machine": "aarch64", "cpu": self.cpu.name, "emulator": emulator_version()}

    def put(self, file: Path | bytes, name: str) -> None:
        self._local.put(file, name)

    def get(self, name: str) -> bytes:
        return self._local.get(name)

    def run(self, command: Sequence[str], timeout_s: float) -> Ran:
        return self._run(command, timeout_s)

    def traced(self, command: Sequence[str], timeout_s: float) -> tuple[Ran, Counter[str]]:
        """As `run`, and in how many places of the code that ran each instruction stands."""
        ran = self._run(command, timeout_s, ("-d", "in_asm", "-D", _LOG))
        with (self._local.folder / _LOG).open(encoding="ascii", errors="replace") as log:
            return ran, instructions(log)

    def time(
        self, commands: Mapping[str, Sequence[str]], rounds: int, timeout_s: float
    ) -> dict[str, list[tuple[int, ...]]]:
        raise UnsupportedError(
            f"{self.cpu.name} is emulated: how long something takes there says nothing of the device"
        )

    def memory(self, command: Sequence[str], timeout_s: float) -> int:
        raise UnsupportedError(f"{self.cpu.name} is emulated: its memory is the emulator's")

    def _run(self, command: Sequence[str], timeout_s: float, options: Sequence[str] = ()) -> Ran:
        if why := self.missing():
            raise UnsupportedError(why)
        emulated = [QEMU, "-cpu", self.cpu.name, *options, "-L", str(SYSTEM), *command]
        return self._local.run(
            [*_MOUNTS, "sh", "-c", _SCRIPT, "sh", _CPUINFO, *emulated], timeout_s
        )


@cache
def emulator_version() -> str:
    """'qemu-aarch64 7.2.22'."""
    program = shutil.which(QEMU)
    if program is None:
        return "qemu-aarch64 (not installed)"
    said = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=False
    ).stdout
    found = re.search(r"version ([\d.]+)", said)
    return f"qemu-aarch64 {found.group(1) if found else 'of unknown version'}"


@cache
def _may_mount() -> bool:
    made = subprocess.run([*_MOUNTS, "true"], capture_output=True, check=False)
    return made.returncode == 0
