"""`squeeze` in a process of its own that begins with its libraries loaded, which takes most of a short command's time.

It is what `python -m squeeze` is in all that a test sees: arguments, environment, folder, file descriptors, limits,
signals, exit code. What is about how a process begins (what is imported when, another seed of hashes) starts Python.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import forkserver
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerContext, ForkServerProcess

ROOT = Path(__file__).resolve().parents[1]
# Against a process that stands still; a busy machine may take its time.
PATIENCE_SECONDS = 3600


@dataclass(frozen=True)
class Started:
    """A process that works, and the ends at which its standard output and standard error are read."""

    process: ForkServerProcess
    output: Connection
    errors: Connection

    def works(self) -> bool:
        return self.process.is_alive()

    def send(self, sent: signal.Signals) -> None:
        assert self.process.pid is not None
        if self.works():
            os.kill(self.process.pid, sent)

    def ended(self) -> subprocess.CompletedProcess[str]:
        """Waits; what a `subprocess.run` of it would have given. After PATIENCE_SECONDS it is killed."""
        impatient = Timer(PATIENCE_SECONDS, self.process.kill)
        impatient.start()
        with ThreadPoolExecutor(2) as pool:
            output, errors = pool.map(_read, (self.output, self.errors))
        self.process.join()
        impatient.cancel()
        impatient.join()
        code = self.process.exitcode
        assert code is not None
        self.process.close()
        return subprocess.CompletedProcess(["squeeze"], code, output, errors)


def run(
    *arguments: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    file_bytes: int | None = None,
) -> subprocess.CompletedProcess[str]:
    """The ended command; `file_bytes` is the size of the largest file that it may write."""
    return start(*arguments, cwd=cwd, env=env, file_bytes=file_bytes).ended()


def start(
    *arguments: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    file_bytes: int | None = None,
) -> Started:
    return call(_squeeze, [str(a) for a in arguments], file_bytes, cwd=cwd, env=env)


def call(
    work: Callable[..., None],
    *arguments: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Started:
    """A process that does `work(*arguments)`, a function of a module, and ends."""
    context = _server()
    (output, output_end), (errors, errors_end) = context.Pipe(False), context.Pipe(False)
    folder, environment = str(cwd or Path.cwd()), dict(os.environ if env is None else env)
    process = context.Process(
        target=_begin, args=(work, arguments, folder, environment, output_end, errors_end)
    )
    process.start()
    output_end.close()
    errors_end.close()
    return Started(process, output, errors)


@cache
def _server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.loaded"])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *([before] if before else [])])
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return context


def _begin(
    work: Callable[..., None],
    arguments: Sequence[object],
    folder: str,
    environment: Mapping[str, str],
    output: Connection,
    errors: Connection,
) -> None:
    for end, descriptor in ((output, 1), (errors, 2)):
        os.dup2(end.fileno(), descriptor)
        end.close()
    # What the first process has written stands in its objects still.
    sys.stdout, sys.stderr = (os.fdopen(d, "w", encoding="utf-8", closefd=False) for d in (1, 2))
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored below nohup
    try:
        work(*arguments)
    finally:
        # A forked process ends without them.
        atexit._run_exitfuncs()


def _squeeze(arguments: Sequence[str], file_bytes: int | None) -> None:
    from squeeze.cli import main

    if file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    sys.argv = ["squeeze", *arguments]
    main()


def _read(end: Connection) -> str:
    with os.fdopen(os.dup(end.fileno()), encoding="utf-8") as stream:
        end.close()
        return stream.read()
