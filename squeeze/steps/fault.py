"""A fault of ours in a step that has something else to give: it is said, and the rest goes on."""

from __future__ import annotations

import logging
from pathlib import Path

logger = logging.getLogger(__name__)


def told(what: str, error: Exception, folder: Path) -> str:
    """Says at WARNING what failed, to be reported; the reason on one line, without the `folder` of the step."""
    why = f"{type(error).__name__}: {error}".splitlines()[0].replace(f"{folder}/", "")
    logger.warning("%s: %s; please report this line", what, why)
    logger.debug("the traceback", exc_info=error)
    return why
