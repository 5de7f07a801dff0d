"""Keeps the exporter's prints, warnings and log lines off the user's terminal."""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from threading import RLock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ONE_AT_A_TIME = RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing that is printed, warned or logged inside is shown; errors still arrive as exceptions."""
    # All of this is of the whole process: two threads that overlapped would leave it as it was for the other one.
    with _ONE_AT_A_TIME:
        disabled = logging.root.manager.disable
        sink = io.StringIO()
        logging.disable(logging.CRITICAL)
        try:
            with warnings.catch_warnings(), redirect_stdout(sink), redirect_stderr(sink):
                warnings.simplefilter("ignore")
                yield
        finally:
            logging.disable(disabled)
