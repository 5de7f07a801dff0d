"""The day that is written into what we make."""

from __future__ import annotations

import logging
import os
from datetime import datetime, timezone

logger = logging.getLogger(__name__)

_VARIABLE = "SOURCE_DATE_EPOCH"  # of reproducible-builds.org


def build_date() -> str:
    """Today in UTC, as 2026-11-29; the day of $SOURCE_DATE_EPOCH, seconds since 1970, where it is set: builds that must
    give the same bytes on any day set it. A value that is no such number is warned of and not used."""
    given = os.environ.get(_VARIABLE, "")
    now = datetime.now(timezone.utc)
    try:
        now = datetime.fromtimestamp(int(given), timezone.utc) if given else now
    except (ValueError, OverflowError, OSError):
        logger.warning(
            "%s: got %r, allowed: whole seconds since 1970; today's date is used", _VARIABLE, given
        )
    return now.strftime("%Y-%m-%d")
