"""Chromium without a window, with a profile of its own that goes with it, and no way out to the network."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from squeeze.errors import MeasureError

INSTALL = "apt-get install --no-install-recommends chromium"
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-extensions",
    "--disable-sync",
    "--disable-breakpad",
    # What a page does counts in full though nobody looks at it.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    # Shared memory is small in containers.
    "--disable-dev-shm-usage",
    # It asks for updates, lists and experiments by itself; nothing of that is let out.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-quic",
    "--no-pings",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--proxy-server=127.0.0.1:9",  # the discard port; loopback addresses go past a proxy
)
_END_SECONDS = 5


def chromium() -> str | None:
    """The program, or None."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@cache
def chromium_version(program: str) -> str:
    """'Chromium 156.0.1.2'; the program's name where it does not say."""
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=30, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    return " ".join(said.split()[:2]) or Path(program).name


@dataclass(frozen=True)
class Browser:
    """One that is open."""

    process: subprocess.Popen[bytes]
    log: Path

    def ended(self) -> str | None:
        """Why it is no longer there, in one line; None while it is."""
        code = self.process.poll()
        if code is None:
            return None
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        said = next((line for line in reversed(lines) if "FATAL" in line or "sandbox" in line), "")
        return said or (lines[-1] if lines else f"it ended with code {code}")


@contextmanager
def browsing(program: str, url: str, flags: Sequence[str] = ()) -> Iterator[Browser]:
    """Opens `url`, and ends the browser and all of its processes with the block. Raises MeasureError when it will
    not start."""
    with tempfile.TemporaryDirectory(prefix="squeeze-web-", ignore_cleanup_errors=True) as folder:
        log = Path(folder) / "said.txt"
        command = [program, *_FLAGS, *flags, f"--user-data-dir={folder}/profile"]
        if os.geteuid() == 0:
            command.append("--no-sandbox")  # it does not start as root otherwise
        if ends_with_us := shutil.which("setpriv"):
            command = [ends_with_us, "--pdeathsig", "KILL", *command]
        home = {"HOME": folder, "XDG_CONFIG_HOME": folder, "XDG_CACHE_HOME": folder}
        try:
            with log.open("wb") as said:
                process = subprocess.Popen(
                    [*command, url],
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    env={**os.environ, **home},
                    start_new_session=True,
                )
        except OSError as e:
            raise MeasureError(f"{program}: cannot be started: {e.strerror}") from e
        try:
            yield Browser(process, log)
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """The whole session of processes, also those that outlive the first one."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
