"""How long steps tell that they are alive. The base class is silent; `console/terminal.py` draws."""

from __future__ import annotations


class Progress:
    """Silent progress; a subclass shows it. Steps run one after another, never nested."""

    def headline(self, lines: list[tuple[str, str]]) -> None:
        """What is compiled, for what, and the goal: (word, text) pairs, shown once before the steps."""

    def begin(self, step: str) -> None:
        """A step of the compiler starts."""

    def update(self, done: int, total: int, note: str = "") -> None:
        """The current step has done `done` of `total`; `note` is a few words with numbers and units.

        A step may count several things, one after the other. total: 0 where how much there is to do is not known.
        """

    def end(self, summary: str, seconds: float, *, reused: bool = False) -> None:
        """The current step ended; `reused` when its result came from an earlier run."""
