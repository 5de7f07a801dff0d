"""Standard output as commands write to it: a sign that it cannot show is a question mark, and where it cannot be
written at all (a full disk, a terminal that is gone) that is an error like any other, told once.

A reader that went away (a broken pipe) is none: click ends the command then.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from squeeze.errors import SqueezeError

_STDOUT, _STDERR = 1, 2


class OutputLost(SqueezeError):
    """Standard output cannot be written."""


class Output(io.TextIOWrapper):
    """Standard output, whose errors are OutputLost. before: the stream that wrote to the same place."""

    def __init__(self, before: io.TextIOWrapper) -> None:
        super().__init__(
            before.buffer,
            encoding=before.encoding,
            errors="replace",
            line_buffering=before.line_buffering,
        )
        self.before = before  # which would close the file if nobody had it any more

    def write(self, text: str) -> int:
        with _told():
            return super().write(text)

    def flush(self) -> None:
        with _told():
            super().flush()


def prepare_output() -> None:
    """Puts streams in the place of those that are not there, because the one who started us closed them, and `Output`
    in that of standard output."""
    for descriptor, name in ((_STDOUT, "stdout"), (_STDERR, "stderr")):
        if getattr(sys, name) is None:
            give_up(descriptor)
            setattr(sys, name, os.fdopen(descriptor, "w", encoding="utf-8", closefd=False))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = Output(sys.stdout)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as e:
        # What is in the buffer still would fail again when Python ends.
        give_up(_STDOUT)
        raise OutputLost(
            f"standard output cannot be written: {e.strerror}; files that the command wrote are there"
        ) from e


def give_up(descriptor: int) -> None:
    """What is written there goes nowhere from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
