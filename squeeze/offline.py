"""No telemetry, whoever's: what libraries have to find before they are first imported, since later they no longer ask.

onnxruntime      its environment variable; without it the runtime writes a device id and a queue of events under the
                 user's cache folder and looks up its vendor's host, on Linux too
transformers     variables of its hub: nothing is fetched or told. Where the caller imported it before us they come too
                 late, and it reads local folders alone for us all the same
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


def forbid_downloads() -> None:
    """Tells the hub that transformers would fetch from that this process, and its children, are offline."""
    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")


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
