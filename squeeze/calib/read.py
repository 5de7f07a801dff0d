"""Arrays out of .npy and .npz files. Nothing in them is ever executed, and anything wrong is said with the file's name.

Cases: a small array is read into memory; a large one stays on disk, where it lies, or unpacked to a nameless file when
it is a compressed member of a .npz.
Python objects, text and records are refused.
"""

from __future__ import annotations

import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

from squeeze.calib.rows import Array, Raw, Rows, Spool
from squeeze.errors import ConfigError

SMALL_BYTES = 16 << 20  # up to here an array is kept in memory
_MOST_SAID = 200  # NumPy repeats a header, which may be as long as somebody made it
_BLOCK_BYTES = 1 << 20
_NUMERIC = "biuf"
# What stands before a member of a zip: signature, versions, flags, method, time, checksum, sizes; lengths of its name
# and of its extra field.
_LOCAL_HEADER = "<4s5H3L2H"
_LOCAL_HEADER_BYTES = struct.calcsize(_LOCAL_HEADER)
_ENCRYPTED = 1

# What NumPy and zipfile raise on damaged bytes: found by feeding them damaged files (tests/calib/test_damaged.py).
_DAMAGED = (
    ValueError,
    OSError,
    EOFError,
    SyntaxError,
    MemoryError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    tokenize.TokenError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)

Header = tuple[tuple[int, ...], bool, np.dtype[Any]]  # Any: only known when read


def members(path: Path) -> dict[str, Callable[[], Raw]]:
    """Name -> reader of each array of a .npz (its keys) or .npy (its stem) file. Raises ConfigError."""
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise ConfigError(f"{path}: the file is empty")
    if path.suffix == ".npy":
        return {path.stem: partial(_npy, path)}
    if path.suffix != ".npz":
        raise ConfigError(f"{path}: got '{path.suffix}', allowed: .npz, .npy")
    with _said(path, "not a .npz file (or a damaged one)"), zipfile.ZipFile(path) as archive:
        names = [n[: -len(".npy")] for n in archive.namelist() if n.endswith(".npy")]
    if not names:
        raise ConfigError(f"{path}: holds no arrays; make it with numpy.savez(path, x=..., y=...)")
    return {name: partial(_member, path, name) for name in names}


def _npy(path: Path) -> Raw:
    where = str(path)
    with _said(path, "not a .npy file (or a damaged one)"), path.open("rb") as file:
        shape, fortran_order, dtype = _header(file, where)
        offset, size_bytes = file.tell(), _size_bytes(shape, dtype)
        if path.stat().st_size - offset < size_bytes:
            raise ConfigError(_truncated(where, shape, dtype, path.stat().st_size - offset))
        if size_bytes > SMALL_BYTES:
            if fortran_order:
                return _by_rows(path, dtype, shape, offset)
            return Rows(partial(_opened, path), dtype, shape, offset)
        return _whole(file, where, (shape, fortran_order, dtype))


def _opened(path: Path) -> BinaryIO:
    return path.open("rb")


def _member(path: Path, name: str) -> Raw:
    where = f"{path}: array '{name}'"
    with (
        _said(where, "damaged"),
        zipfile.ZipFile(path) as archive,
        archive.open(f"{name}.npy") as file,
    ):
        shape, fortran_order, dtype = header = _header(file, where)
        if _size_bytes(shape, dtype) <= SMALL_BYTES:
            return _whole(file, where, header)
        # A member that is not compressed is read where it lies; once as a whole, for its checksum.
        place = _stored_at(path, archive.getinfo(f"{name}.npy"))
        begin = file.tell()
        spool, wanted = (Spool() if place is None else None), _size_bytes(shape, dtype)
        left = wanted
        while left and (block := file.read(min(left, _BLOCK_BYTES))):
            if spool is not None:
                spool.write(block)
            left -= len(block)
        if left:
            raise ConfigError(_truncated(where, shape, dtype, wanted - left))
        file.read(1)  # as below
        if spool is None:
            offset = (place or 0) + begin
            if fortran_order:
                return _by_rows(path, dtype, shape, offset)
            return Rows(partial(_opened, path), dtype, shape, offset)
        if fortran_order:
            with spool.opened() as columns:
                return _by_rows(columns, dtype, shape, 0)
        return Rows(spool.opened, dtype, shape)


def _stored_at(path: Path, member: zipfile.ZipInfo) -> int | None:
    """The byte of the file at which an uncompressed member begins; None for a compressed one."""
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & _ENCRYPTED:
        return None
    with path.open("rb") as file:
        file.seek(member.header_offset)
        *_, name_bytes, extra_bytes = struct.unpack(_LOCAL_HEADER, file.read(_LOCAL_HEADER_BYTES))
    return int(member.header_offset + _LOCAL_HEADER_BYTES + name_bytes + extra_bytes)


def _by_rows(
    file: Path | BinaryIO,
    dtype: np.dtype[Any],  # Any: as above
    shape: tuple[int, ...],
    offset: int,
) -> Rows:
    """An array that is stored column after column, written again row after row."""
    spool = Spool()
    step = max(1, SMALL_BYTES * shape[0] // _size_bytes(shape, dtype))
    for start in range(0, shape[0], step):
        # Mapped anew for each block: pages of a map that stays would count as memory of this process.
        columns = np.memmap(file, dtype, "r", offset, shape, "F")
        spool.write(np.ascontiguousarray(columns[start : start + step]).tobytes())
    return Rows(spool.opened, dtype, shape)


def _header(file: IO[bytes], where: str) -> Header:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ConfigError(f"{where}: .npy version {version}, allowed: (1, 0), (2, 0)")
    first = version == (1, 0)
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read(file)
    if dtype.hasobject:
        raise ConfigError(
            f"{where}: holds Python objects, that is a pickle, which can run code when it is opened, so it is not "
            "read; save one array of numbers (x.astype(...), rows of equal length)"
        )
    if dtype.kind not in _NUMERIC:
        raise ConfigError(f"{where}: got {dtype}, allowed: integers, floats, booleans")
    # NumPy lets True pass for a size.
    if any(isinstance(d, bool) or d < 0 for d in shape):
        raise ConfigError(f"{where}: damaged: shape {list(shape)}")
    return shape, fortran_order, dtype


def _whole(file: IO[bytes], where: str, header: Header) -> Array:
    shape, fortran_order, dtype = header
    data = file.read(_size_bytes(shape, dtype))
    if len(data) < _size_bytes(shape, dtype):
        raise ConfigError(_truncated(where, shape, dtype, len(data)))
    file.read(1)  # at the end of a .npz member its checksum is compared
    array = np.frombuffer(data, dtype)
    return array.reshape(shape, order="F" if fortran_order else "C")


def _size_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:  # Any: as above
    return math.prod(shape) * dtype.itemsize


def _truncated(where: str, shape: tuple[int, ...], dtype: np.dtype[Any], got_bytes: int) -> str:
    wanted = _size_bytes(shape, dtype)
    return f"{where}: truncated: {dtype} {list(shape)} takes {wanted} bytes, {got_bytes} are there"


@contextmanager
def _said(where: str | Path, what: str) -> Iterator[None]:
    """Turns what damaged bytes raise into a ConfigError."""
    try:
        yield
    except _DAMAGED as e:
        reason = str(e).splitlines()[0][:_MOST_SAID] if str(e) else type(e).__name__
        raise ConfigError(
            f"{where}: {what}: {reason}; write it again with numpy.savez or numpy.save"
        ) from e
