"""Finds the native library and looks at the file before anybody loads it: a truncated one kills the process."""

from __future__ import annotations

import logging
import platform
import struct
from pathlib import Path

logger = logging.getLogger(__name__)

FILE_NAME = "libsqueeze_ops.so"

# ELF e_machine by platform.machine()
_MACHINES = {"x86_64": 62, "aarch64": 183}
_HEADER_BYTES = 64
_LOAD_SEGMENT = 1


def library_path() -> Path | None:
    """The library in this package's folder; None, and a warning with the reason, when it is absent or damaged.

    An editable install has two such folders: the checkout's, and the one where the build put the library.
    """
    from squeeze import ops

    found = [Path(folder) / FILE_NAME for folder in ops.__path__]
    path = next((p for p in found if p.is_file()), None)
    if path is None:
        return None
    why = defect(path)
    if why is None:
        return path
    logger.warning(
        "%s: %s; the ops run from their ONNX bodies. Build it again with cmake", path, why
    )
    return None


def defect(path: Path) -> str | None:
    """Why `path` is not a complete 64-bit shared library of this machine, or None if it is one."""
    data = path.read_bytes()
    if len(data) < _HEADER_BYTES or data[:4] != b"\x7fELF":
        return "not an ELF file"
    if data[4:6] != b"\x02\x01":
        return "not a 64-bit little-endian ELF file"
    machine = struct.unpack_from("<H", data, 18)[0]
    if machine != _MACHINES.get(platform.machine()):
        return f"built for ELF machine {machine}, this machine is {platform.machine()}"
    program_at, section_at = struct.unpack_from("<QQ", data, 32)
    program_size, programs, section_size, sections = struct.unpack_from("<HHHH", data, 54)
    ends = [program_at + program_size * programs, section_at + section_size * sections]
    if ends[0] > len(data):
        return "truncated"
    for i in range(programs):
        kind, _, offset, _, _, file_bytes = struct.unpack_from(
            "<IIQQQQ", data, program_at + i * program_size
        )
        if kind == _LOAD_SEGMENT:
            ends.append(offset + file_bytes)
    return "truncated" if max(ends) > len(data) else None
