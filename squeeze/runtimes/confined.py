"""Looks at a model file of strangers in a process that may not take much: a file of some hundred bytes can ask for more
memory than a machine has, or for years, while its constants are computed, its sizes inferred, or one sample run.

One process is started at the first question and forks for each, which takes some milliseconds; it ends with this one.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from squeeze.errors import MeasureError, UnsupportedError

Json = dict[str, Any]  # Any: JSON

# What constants and sizes, and one sample, may take at least; and for each byte of the file, for weights are packed,
# widened and copied.
OPEN_BYTES = 500_000_000
RUN_BYTES = 2_000_000_000
BYTES_PER_BYTE = 16
CPU_SECONDS = 60
WALL_SECONDS = 600
_CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.readline()); "
    "from squeeze.runtimes.confined_child import serve; serve()"
)
# The process has one thread, or its forks could not be trusted.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_ASKED_FOR = re.compile(r"requested buffer of size (\d+)")


def check_within(
    model: Path,
    called: object,
    file_bytes: int,
    *,
    run: bool = True,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> None:
    """Raises UnsupportedError for a `model` that takes more memory or time than a file of `file_bytes` may, or that
    ends the process which looks at it. Whatever else is wrong with it is left to those who work on it.

    called: as the user called it. run: open it and run one sample, not only read it. shapes: of inputs that leave
    sizes open, by name, batch included.
    """
    status = model.stat()
    key = (str(model.resolve()), status.st_mtime_ns, status.st_size)
    sizes = tuple(sorted((name, tuple(shape)) for name, shape in (shapes or {}).items()))
    if why := _why_not(key, BYTES_PER_BYTE * file_bytes, sizes, run=run):
        raise UnsupportedError(f"{called} ({file_bytes:,} bytes): {why}")


@cache
def _why_not(
    key: tuple[str, int, int],
    of_file_bytes: int,
    sizes: tuple[tuple[str, tuple[int, ...]], ...],
    *,
    run: bool,
) -> str | None:
    allowed = {"open": OPEN_BYTES + of_file_bytes, "run": RUN_BYTES + of_file_bytes}
    job = {
        "model": key[0],
        "run": run,
        "shapes": dict(sizes),
        "open_bytes": allowed["open"],
        "run_bytes": allowed["run"],
        "cpu_s": CPU_SECONDS,
        "wall_s": WALL_SECONDS,
    }
    told = _PROCESS.ask(job)
    if told["late"]:
        return f"one sample takes more than {CPU_SECONDS} s of processor time; is there a Loop that hardly ends?"
    if told["died"] is not None:
        return (
            f"it ends the process that tries it ({told['died']}); it is damaged, or made to do that"
        )
    if "memory" not in told:
        return None
    what = "to compute its constants and sizes" if told["doing"] == "open" else "to run one sample"
    asked = _ASKED_FOR.search(told["memory"])
    piece = f" ({int(asked[1]) / 1e9:.3g} GB in one piece)" if asked else ""
    return (
        f"{what} takes more memory{piece} than {allowed[told['doing']] / 1e9:.2g} GB, which a file of this size may. "
        "Look at what sizes Expand, Tile, ConstantOfShape, Range, Pad, Resize or a Loop make"
    )


class _Process:
    """The process that looks, and who may ask it: one at a time."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.owner = 0
        self.started: subprocess.Popen[str] | None = None

    def ask(self, job: Json) -> Json:
        with self.lock:
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps(job) + "\n")
                process.stdin.flush()
                answer = process.stdout.readline()
            except (
                BaseException
            ):  # what it answers later would be taken for that of another question
                self.end()
                raise
            if not answer:
                self.end()
                raise MeasureError(
                    "the process that tries model files ended; is there too little memory?"
                )
            found: Json = json.loads(answer)
            return found

    def _running(self) -> subprocess.Popen[str]:
        # A fork of ours has its parent's process, which answers somebody else.
        if self.started is not None and self.owner == os.getpid() and self.started.poll() is None:
            return self.started
        self.owner = os.getpid()
        self.started = subprocess.Popen(
            [sys.executable, "-I", "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_ONE_THREAD},
            text=True,
            encoding="utf-8",
        )
        assert self.started.stdin is not None
        path = [str(Path(entry).resolve()) for entry in sys.path]
        self.started.stdin.write(json.dumps(path) + "\n")
        return self.started

    def end(self) -> None:
        """Ends the process, if it is this one's."""
        if self.started is None or self.owner != os.getpid():
            return
        self.started.kill()
        self.started.communicate()
        self.started = None


_PROCESS = _Process()
atexit.register(_PROCESS.end)
