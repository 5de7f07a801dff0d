"""Which line of the user's model torch could not export, in words for people who have not read torch's source."""

from __future__ import annotations

import io
import logging
import sysconfig
import traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_GUARDS = "torch.fx.experimental.symbolic_shapes"  # where torch logs that it made a size a number
_OURS = str(Path(__file__).parent.parent)
_LIBRARY = sysconfig.get_paths()["stdlib"]
_PACKAGES = ("numpy", "onnx", "onnxscript", "sympy", "torch")
_MESSAGE = 200
_CODE = 80


def line_of(error: BaseException) -> str:
    """ ", at FILE:LINE (code)" of the model's innermost code that was running; empty when none was."""
    return _line(traceback.extract_tb(error.__traceback__))


def where_fixed(trace: Callable[[], object]) -> str:
    """As `line_of`, where a size that was to stay free became a number while `trace` ran; empty where torch does not
    log it."""
    lines: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "[guard added]" in record.getMessage():
                lines.append(_line(traceback.extract_stack()[:-1]))

    logger, listener, sink = logging.getLogger(_GUARDS), Listener(), io.StringIO()
    level, propagates = logger.level, logger.propagate
    logger.addHandler(listener)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        with redirect_stdout(sink), redirect_stderr(sink):
            trace()
    except Exception:
        return next((line for line in lines if line), "")
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)
        logger.propagate = propagates
    return ""


def first_line(error: BaseException) -> str:
    """The first line of what it says, or what it is."""
    lines = str(error).strip().splitlines()
    return lines[0][:_MESSAGE] if lines else type(error).__name__


def reason(error: BaseException) -> str:
    """The first line of what torch says; where it speaks of its own symbols, what that means."""
    text = first_line(error)
    return "its code asks for the value of a tensor" if "data-dependent" in text else text


def _line(stack: list[traceback.FrameSummary]) -> str:
    called = max((i for i, f in enumerate(stack) if f.filename.startswith(_OURS)), default=-1)
    theirs = [f for f in stack[called + 1 :] if _is_theirs(f.filename)]
    if not theirs:
        return ""
    last = theirs[-1]
    return f", at {last.filename}:{last.lineno} ({(last.line or '').strip()[:_CODE]})"


def _is_theirs(file: str) -> bool:
    _, installed, package = file.partition("site-packages")
    if installed:
        return Path(package).parts[1] not in _PACKAGES
    return not file.startswith(("<", _LIBRARY))
