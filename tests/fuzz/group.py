"""A group of damaged files in a process of its own, so that a crash ends the group only and is located.

It writes a JSON line for each seed before its work, and one with its outcome after.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import tempfile
import time
from pathlib import Path

from squeeze.feed import Feed
from tests.fuzz.bases import BASES
from tests.fuzz.mutations import mutated
from tests.fuzz.one_file import (
    LIMIT_CPU_SECONDS,
    feed_of,
    looked_at,
    lowered,
    outcome,
    quantised,
)

MEMORY_BYTES = 6 << 30
WHOLE_EVERY = 2  # every so many files are quantised, too, which takes most of the time
WAYS = 3
# Thousands of files of a few kilobytes that no disk has to keep.
IN_MEMORY = Path("/dev/shm")
FOLDER = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None


def try_each(base: str, first: int, last: int) -> None:
    """Prints what came of each seed."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable(logging.CRITICAL)
    model = BASES[base]()
    feed = feed_of(model)
    for seed in range(first, last):
        end_after(WAYS * LIMIT_CPU_SECONDS)
        print(json.dumps({"begin": seed}), flush=True)
        came_of = found(mutated(model, seed), feed, whole=seed % WHOLE_EVERY == 0)
        print(json.dumps({"seed": seed, "found": came_of}), flush=True)


def try_limit() -> None:
    """Prints what comes of work that waits longer than its limit of processor time, and of what computes longer."""

    def waits() -> str:
        time.sleep(0.6)
        return "waited"

    def computes() -> str:
        while True:
            pass

    print(json.dumps([outcome(work, limit_cpu_seconds=0.3) for work in (waits, computes)]))


def end_after(cpu_seconds: float) -> None:
    """The process ends when it has used this much processor time from now: nothing else stops a loop in native code."""
    most = int(time.process_time() + cpu_seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))


def found(file: bytes, feed: Feed, *, whole: bool) -> dict[str, tuple[str, str]]:
    """Way -> what came of the file on it."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        at = Path(folder)
        path = at / "model.onnx"
        path.write_bytes(file)
        ways = {
            "inspect": outcome(lambda: looked_at(path)),
            "lower": outcome(lambda: lowered(path, at)),
        }
        if whole:
            ways["quantise"] = outcome(lambda: quantised(path, feed, at / "teacher"))
        return ways
