"""How a command ends: what it found for --json, the error if there is one, and the exit code.

Commands return an `Answer` and `end` alone writes JSON, so that there is one object on standard output whatever
happens. What libraries or a user's own module print meanwhile is kept away from it (`quiet_output`).
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import signal
import sys
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from squeeze.cli.output import OutputLost, give_up
from squeeze.errors import GoalMissed, SqueezeError
from squeeze.strict_json import strict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Json = dict[str, Any]  # Any: JSON
STDOUT, STDERR = 1, 2


class UsageError(SqueezeError):
    """The command line itself is wrong, as click says it."""

    exit_code = 2


class Stopped(SqueezeError):
    """Ctrl-C, or asked to end; the message says what is kept."""

    exit_code = 130


@dataclass(frozen=True)
class Answer:
    """What a command found, and the error that it ends with all the same, such as a missed goal."""

    found: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON
    error: SqueezeError | None = None


def end(answer: Answer, *, as_json: bool) -> int:
    """Writes the one JSON object if it is wanted, and the error for people; the exit code."""
    error, found = answer.error, answer.found
    if error is not None:
        found = {**found, "error": str(error), "exit_code": error.exit_code}
    try:
        if as_json:
            _write(json_text(found))
        else:
            # What a library printed would fail when Python ends, whose exit code is another one.
            sys.stdout.flush()
    except OutputLost as e:
        error = error or e
    except (
        BrokenPipeError
    ):  # the reader went away; Python's own flush at the end would complain again
        give_up(STDOUT)
    if error is None:
        return 0
    if isinstance(error, GoalMissed):
        text = str(error)
    elif isinstance(error, Stopped):
        text = f"\n{error}"  # below the ^C that the terminal shows
    else:
        text = f"error: {error}"
    with suppress(OSError):  # the exit code is left to tell it
        click.echo(text, err=True)
    return error.exit_code


def json_text(found: Mapping[str, Any]) -> str:  # Any: JSON
    """`found` as strict JSON: numbers that JSON does not have (infinite, not a number) become null."""
    return json.dumps(strict(found), indent=1, allow_nan=False)


@contextmanager
def quiet_output() -> Iterator[io.StringIO]:
    """Standard output of Python code goes into the buffer that is given; that of C code and of child processes to
    standard error."""
    sys.stdout.flush()
    kept = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    heard = io.StringIO()
    try:
        with redirect_stdout(heard):
            yield heard
    finally:
        # What C code has in its own buffer would come out after the object.
        ctypes.CDLL(None).fflush(None)
        os.dup2(kept, STDOUT)
        os.close(kept)


def _write(text: str) -> None:
    # Ctrl-C could only cut the object in two now.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        click.echo(text)
    finally:
        signal.signal(signal.SIGINT, before)
