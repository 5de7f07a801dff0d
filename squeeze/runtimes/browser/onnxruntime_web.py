"""Where onnxruntime-web lies: an npm package that a user puts there once; nothing is fetched at run time."""

from __future__ import annotations

import json
import shlex
from functools import cache
from pathlib import Path

from squeeze.paths import web_dir

PINNED = "1.30.0"


def dist() -> Path | None:
    """The folder of its bundles, or None."""
    found = web_dir() / "node_modules" / "onnxruntime-web" / "dist"
    return found if (found / "ort.wasm.min.mjs").is_file() else None


def install_command() -> str:
    return f"npm install --prefix {shlex.quote(str(web_dir()))} onnxruntime-web@{PINNED}"


def web_version() -> str | None:
    """Of the installed package, or None."""
    found = dist()
    return None if found is None else _version(found.parent / "package.json")


@cache
def _version(package: Path) -> str:
    try:
        return str(json.loads(package.read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return "of unknown version"
