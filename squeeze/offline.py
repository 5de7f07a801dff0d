"""No telemetry, whoever's: what libraries have to find before they are first imported, since later they no longer ask.

onnxruntime      its environment variable; without it the runtime writes a device id and a queue of events under the
                 user's cache folder and looks up its vendor's host, on Linux too
openvino, nncf   the package that sends for them cannot be imported; both then go on quietly. nncf has a variable of
                 its own, but has made an id under the user's home by the time it looks at it
"""

from __future__ import annotations

import logging
import os
import sys

logger = logging.getLogger(__name__)

_ORT_VARIABLE = "ORT_DISABLE_TELEMETRY"
_INTEL_PACKAGE = "openvino_telemetry"


def forbid_telemetry() -> None:
    """Switches it off for this process and its children. A runtime that the caller imported before us is out of our
    reach; that is said at WARNING."""
    if "onnxruntime" in sys.modules and not os.environ.get(_ORT_VARIABLE):
        logger.warning(
            "onnxruntime was imported before squeeze, so its telemetry is on in this process; "
            "import squeeze first, or set %s=1",
            _ORT_VARIABLE,
        )
    os.environ[_ORT_VARIABLE] = "1"
    sys.modules[_INTEL_PACKAGE] = None  # type: ignore[assignment]  # how Python spells "not to be had"
