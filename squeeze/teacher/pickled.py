"""What a pickle or one of torch's own files holds, told from its list of operations: nothing is ever executed.

A `torch.save` file is a zip with a `data.pkl`, an old one is some pickles in a row; a TorchScript archive has a
`constants.pkl` as well, and code. A pickled module shows by the attributes that every torch.nn.Module has.
"""

from __future__ import annotations

import pickletools
import zipfile
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Literal

Holds = Literal["script", "module", "weights", "pickle", "other"]

_MOST_OPERATIONS = 1_000_000  # a second's work; large models have some 100,000
_MOST_BYTES = 64 << 20
_MOST_PICKLES = 5  # of an old torch.save file: magic number, version, system, object, storages
_FIRST_BYTES = (b"\x80", b"(", b"c", b"]", b"}")
_FEWEST_OPERATIONS = 8  # of a pickle that was cut off
_MODULE = {"_parameters", "_buffers", "_modules"}
_REBUILDS = "torch._utils "  # what every stored tensor is made by
_DAMAGED = (
    ValueError,
    OverflowError,
    MemoryError,
    OSError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Pickled:
    """holds: what kind of thing it is. type_name: the class of a pickled module, as it is called in the file."""

    holds: Holds
    type_name: str = ""


def look(path: Path) -> Pickled:
    """What the file holds; "other" where it is neither a pickle nor a zip that torch.save or torch.jit.save wrote."""
    try:
        if not zipfile.is_zipfile(path):
            if not is_pickle(path):
                return Pickled("other")
            with path.open("rb") as file:
                return _told(file)
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if any(name.rsplit("/", 1)[-1] == "constants.pkl" for name in names):
                return Pickled("script")
            data = next((n for n in names if n.rsplit("/", 1)[-1] == "data.pkl"), None)
            if data is None:
                return Pickled("other")
            with archive.open(data) as file:
                return _told(BytesIO(file.read(_MOST_BYTES)))
    except _DAMAGED:
        return Pickled("other")


def is_pickle(path: Path) -> bool:
    """Whether the file's first operations are those of a pickle."""
    with path.open("rb") as file:
        if file.read(1) not in _FIRST_BYTES:
            return False
        file.seek(0)
        count = 0
        try:
            for count, (code, _, _) in enumerate(pickletools.genops(file), 1):
                if code.name == "STOP" or count == 1000:
                    return True
        except (ValueError, OverflowError, MemoryError):
            # A protocol-2 mark and a run of valid operations: a pickle that was cut off.
            return count >= _FEWEST_OPERATIONS
    return False


def _told(file: IO[bytes]) -> Pickled:
    """From the pickles in a row that `file` holds, as far as they can be listed."""
    attributes: set[str] = set()
    classes: list[str] = []
    owner = ""
    for code, text in _texts(file):
        if code == "GLOBAL":
            classes.append(text)
        elif text in _MODULE:
            # The last class that was named before its first attribute is the module's own.
            owner = owner or (classes[-1] if classes else "")
            attributes.add(text)
    if attributes >= _MODULE:
        return Pickled("module", owner.replace(" ", "."))
    return Pickled("weights" if any(c.startswith(_REBUILDS) for c in classes) else "pickle")


def _texts(file: IO[bytes]) -> list[tuple[str, str]]:
    """Operations with a text, by name, to the end, to a limit or to the first damage."""
    found: list[tuple[str, str]] = []
    left = _MOST_OPERATIONS
    try:
        for _ in range(_MOST_PICKLES):
            for code, value, _ in pickletools.genops(file):
                left -= 1
                if left == 0:
                    return found
                if isinstance(value, str):
                    found.append((code.name, value))
    except _DAMAGED:
        pass
    return found
