"""The errors a user can meet: each knows its exit code and says where, what we got, what is allowed, what to do."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from squeeze.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


MOST_HINTS = 3
# All of them; `squeeze --help` shows this table, and docs/command-line.md has the same words.
EXIT_CODES = {
    0: "done",
    1: "standard output cannot be written, or an error that we did not foresee",
    2: "a file, key or option is wrong",
    3: "the target or squeeze does not support it; the message says what helps",
    4: "the goal was missed, or the baseline; what was made is written",
    5: "a graph pass broke the model",
    6: "the runtime failed",
    7: "a package is damaged, another one, or fails a check of verify",
    130: "interrupted; finished steps are kept, the same command goes on",
}


class SqueezeError(Exception):
    """Any expected failure; the command line prints the message alone and exits with `exit_code`.

    A message is one line, whatever is in the names that it tells; what has to stand on a line of its own is given
    beside it.
    """

    exit_code = 1

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(map(printable, lines)))


class ConfigError(SqueezeError):
    """A file, key or flag that the user gave is wrong."""

    exit_code = 2


class UnsupportedError(SqueezeError):
    """The target, or squeeze itself, cannot run this thing; the message says what would change that."""

    exit_code = 3


class GoalMissed(SqueezeError):
    """The compile finished, but an artifact is beyond the goal; `packages` are all that were written."""

    exit_code = 4

    def __init__(self, *lines: str, packages: Sequence[Path] = ()) -> None:
        super().__init__(*lines)
        self.packages = tuple(packages)


class PassError(SqueezeError):
    """A graph pass changed what the model computes, or left it invalid; the message has the history of passes."""

    exit_code = 5


class MeasureError(SqueezeError):
    """The device or the runtime failed to run a model."""

    exit_code = 6


class Mismatch(SqueezeError):
    """A package does not have the bytes that were written or signed, is not the expected one, or computes otherwise."""

    exit_code = 7


def unknown(where: str, got: str, known: Iterable[str]) -> str:
    """The text for a name that is not in a table, with the nearest known names if there are any."""
    names = sorted(known)
    return f"{where}: unknown '{got}'.{hint(got, names)} Known: {', '.join(names)}"


def hint(got: str, known: Sequence[str], *, spelled: int = 1) -> str:
    """' Did you mean ...?' with the names that begin with what we got, at most three, shortest first; where there are
    none with those, at most `spelled`, that are spelled much like it; or ''."""
    begun = sorted((n for n in known if got and n.lower().startswith(got.lower())), key=len)
    near = [*dict.fromkeys(begun)][:MOST_HINTS] or get_close_matches(got, known, n=spelled)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
