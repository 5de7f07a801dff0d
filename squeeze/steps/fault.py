"""A fault of ours, or a refusal, in a step that has something else to give: it is said, and the rest goes on."""

from __future__ import annotations

import logging
from pathlib import Path

from squeeze.errors import UnsupportedError

logger = logging.getLogger(__name__)


def told(what: str, error: Exception, folder: Path) -> str:
    """Says at WARNING what failed, to be reported unless it is a refusal; the reason on one line, without the `folder`
    of the step."""
    refused = isinstance(error, UnsupportedError)
    said = str(error) if refused else f"{type(error).__name__}: {error}"
    why = said.splitlines()[0].replace(f"{folder}/", "")
    logger.warning("%s: %s%s", what, why, "" if refused else "; please report this line")
    logger.debug("the traceback", exc_info=error)
    return why
