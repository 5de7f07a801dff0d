"""Opens the zip of a .pt2 archive as data: looks at every member before one is used; torch never sees the file.

Refused: pickles and compiled code in any form, members that leave the folder, are compressed or overlap (which is how
a small file becomes a huge one), several programs, and the forms that torch wrote before 2.9.
"""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.teacher.source import refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = "models/model.json"
_SAVE_AGAIN = "save it again with torch.export.save of torch 2.9 or newer"
_COMPILED = {".so", ".cpp", ".o", ".cubin", ".dll", ".dylib", ".py", ".pyc", ".pte"}


class Archive:
    """The members of a checked .pt2 archive, by their names below the archive's root."""

    def __init__(self, path: Path, file: zipfile.ZipFile, names: Mapping[str, str]) -> None:
        self.path = path
        self._file = file
        self._names = names

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def read(self, name: str) -> bytes:
        """The bytes of a member. Raises ConfigError when it is missing or damaged."""
        if name not in self._names:
            raise ConfigError(f"{self.path}: the archive has no '{name}'; {_SAVE_AGAIN}")
        try:
            return self._file.read(self._names[name])
        except (zipfile.BadZipFile, EOFError, OSError, ValueError) as e:
            raise ConfigError(f"{self.path}: '{name}' in the archive is damaged: {e}") from e


def open_archive(path: Path) -> Archive:
    """Checks every member's name, form and size. Raises ConfigError, or UnsupportedError for compiled packages."""
    try:
        file = zipfile.ZipFile(path)
        members = [m for m in file.infolist() if not m.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as e:
        raise ConfigError(f"{path}: not a torch.export archive, or cut off: {e}") from e
    _check_maker(path, members)
    _check_form(path, members)
    names = _below_root(path, members)
    _check_kind(path, names, file)
    return Archive(path, file, names)


def _check_maker(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Tells the zips that torch's other ways of saving write; only names are looked at."""
    last = {m.filename.rsplit("/", 1)[-1] for m in members}
    if last & {"constants.pkl", "data.pkl"}:
        raise ConfigError(*refusal(path))


def _check_form(path: Path, members: list[zipfile.ZipInfo]) -> None:
    seen = set()
    for member in members:
        name = member.filename
        parts = PurePosixPath(name).parts
        outside = name.startswith("/") or ".." in parts or "\\" in name or ":" in name
        if outside or not name.isprintable() or not parts:
            raise ConfigError(
                f"{path}: member {name[:80]!r} points outside of the archive, so it is not opened"
            )
        # torch looks names up without regard to case.
        if name.lower() in seen:
            raise ConfigError(
                f"{path}: member '{name}' is there twice, so the archive is not opened"
            )
        seen.add(name.lower())
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise ConfigError(
                f"{path}: member '{name}' is compressed or encrypted, torch.export.save stores plainly; {_SAVE_AGAIN}"
            )
    if sum(m.file_size for m in members) > path.stat().st_size:
        raise ConfigError(
            f"{path}: its members claim more bytes than the file has, it is not opened"
        )


def _below_root(path: Path, members: list[zipfile.ZipInfo]) -> dict[str, str]:
    names = {m.filename for m in members}
    if "serialized_exported_program.json" in names:
        raise ConfigError(f"{path}: an archive of torch 2.7 or older; {_SAVE_AGAIN}")
    if any("/" not in name for name in names) or len({n.split("/")[0] for n in names}) != 1:
        raise ConfigError(f"{path}: a zip file, but not one that torch.export.save wrote")
    return {name.split("/", 1)[1]: name for name in names}


def _check_kind(path: Path, names: Mapping[str, str], file: zipfile.ZipFile) -> None:
    for name in names:
        if PurePosixPath(name).suffix in _COMPILED or name.startswith("data/aotinductor/"):
            raise UnsupportedError(
                f"{path}: holds compiled code ('{name}'), which is not loaded; "
                "save the exported program itself with torch.export.save"
            )
        in_payload = name.startswith(("data/weights/", "data/constants/"))
        if in_payload and name.endswith(".pt"):
            raise ConfigError(f"{path}: '{name}' is a pickle of torch 2.8 or older; {_SAVE_AGAIN}")
        if name.startswith(("data/constants/custom_obj", "data/constants/opaque")):
            raise ConfigError(
                f"{path}: '{name}' is a pickled object, which can run code when it is opened; "
                "export a model without custom objects"
            )
    programs = sorted(n for n in names if n.startswith("models/"))
    if programs != [PROGRAM]:
        raise UnsupportedError(
            f"{path}: holds {', '.join(programs) or 'no program'}; allowed: one program '{PROGRAM}', "
            "as torch.export.save writes it"
        )
    if "byteorder" in names and file.read(names["byteorder"]).strip() != b"little":
        raise UnsupportedError(f"{path}: written on a big-endian machine; {_SAVE_AGAIN}")
