"""Where shipped data lies (targets, recipes, calibration sets) and where squeeze keeps its own files.

An editable install does not map the top-level data folders into the package, hence two places are looked at.
"""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped(folder: str) -> Path:
    """The folder of shipped data called `folder` ('targets', 'recipes', 'calib'), in a wheel or in a checkout."""
    installed = _PACKAGE / "data" / folder
    return installed if installed.is_dir() else _PACKAGE.parent / folder


def cache_dir() -> Path:
    """Where finished steps are kept: `$SQUEEZE_CACHE`, else the user's cache folder. Safe to delete."""
    if chosen := os.environ.get("SQUEEZE_CACHE"):
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("squeeze")


def state_dir() -> Path:
    """Where this machine's measured latencies are kept: `$SQUEEZE_STATE`, else the user's state folder."""
    if chosen := os.environ.get("SQUEEZE_STATE"):
        return Path(chosen).expanduser()
    from platformdirs import user_state_path

    return user_state_path("squeeze")


def web_dir() -> Path:
    """Where onnxruntime-web is installed: `$SQUEEZE_WEB`, else in the user's data folder."""
    return _installed("SQUEEZE_WEB", "web")


def arm64_dir() -> Path:
    """Where what runs models on an emulated Arm is installed: `$SQUEEZE_ARM64`, else in the user's data folder."""
    return _installed("SQUEEZE_ARM64", "arm64")


def _installed(variable: str, name: str) -> Path:
    if chosen := os.environ.get(variable):
        return Path(chosen).expanduser()
    from platformdirs import user_data_path

    return user_data_path("squeeze") / name
