"""Resumable, content-addressed steps: a result is found by what went into it, and redone if its bytes are damaged.

    step = workdir.step("distill", {"teacher": digest, "arch": ..., "seed": 0})
    if not step.done:
        step.partial            # a folder that survives a kill: put checkpoints here
        ... write files into step.partial ...
        step.finish({"loss": 0.3})      # atomic: digests every file, renames the folder
    step.path / "file", step.result

Cases: never run (done is False), killed half-way (partial has what was left), finished (done), damaged (a byte of a
finished step changed: said as a warning, removed, done is False).
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shlex
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)
_RECORD = "step.json"
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def digest_bytes(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes in hexadecimal, read in pieces."""
    h = hashlib.sha256()
    with path.open("rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


def digest_json(value: Any) -> str:  # Any: whatever JSON can hold
    """SHA-256 of the canonical JSON of `value`."""
    return digest_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def write_atomic(path: Path, data: bytes) -> None:
    """Writes a file so that a kill leaves either the old bytes or the new ones, never a part."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def check_target_file(target: Path, source: Path) -> None:
    """Raises ConfigError when an .onnx file made from `source` cannot be written to `target` (-o)."""
    try:
        folder = target.resolve().parent
    except (OSError, RuntimeError) as e:
        raise ConfigError(f"-o {target}: links lead in a circle there") from e
    if target.is_dir():
        raise ConfigError(f"-o {target}: is a folder; the name of a file is wanted")
    if target.suffix.lower() != ".onnx":
        wanted = target.with_suffix(".onnx")
        raise ConfigError(
            f"-o {target}: an ONNX file is written, and read back by its name; say -o {shlex.quote(str(wanted))}"
        )
    if not folder.is_dir():
        raise ConfigError(f"-o {target}: there is no folder {target.parent}")
    if target.exists() and not target.is_file():
        raise ConfigError(f"-o {target}: is no regular file; choose another name")
    if target.exists() and source.exists() and target.samefile(source):
        raise ConfigError(f"-o {target}: is the model itself; choose another name")
    if not os.access(target if target.exists() else folder, os.W_OK):
        raise ConfigError(f"-o {target}: cannot be written; choose another place")
    # Who may do everything is told so of file systems, too, that take nothing.
    probe = folder / f".squeeze-{os.getpid()}"
    try:
        probe.touch()
    except OSError as e:
        raise ConfigError(
            f"-o {target}: cannot be written: {e.strerror}; choose another place"
        ) from e
    finally:
        probe.unlink(missing_ok=True)


def write_target_file(target: Path, data: bytes) -> None:
    """`write_atomic`, to what `target` leads to where it is a link, with a ConfigError that names -o."""
    try:
        write_atomic(target.resolve(), data)
    except OSError as e:
        raise ConfigError(f"-o {target}: cannot be written: {e.strerror}") from e


class Step:
    """One step's folder. `result` is the JSON that `finish` was given; `digest` names everything that went in."""

    def __init__(self, root: Path, name: str, inputs: dict[str, Any]) -> None:
        self.name = name
        self.digest = digest_json({"step": name, "inputs": inputs})
        self.path = root / "steps" / f"{name}-{self.digest[:24]}"
        self.partial = root / "partial" / f"{name}-{self.digest[:24]}"
        self.result: dict[str, Any] = {}
        self.seconds = 0.0  # what it took when it was made
        self.done = self._load()
        if not self.done:
            self.partial.mkdir(parents=True, exist_ok=True)

    def key(self) -> str:
        """What a step that is given this one's result is found by."""
        return self.digest

    def finish(self, result: dict[str, Any], seconds: float = 0.0) -> None:
        """Seals the files of `partial` and makes them the step's result. `result` must be JSON; `seconds`: what it
        took."""
        files = {p.name: digest_file(p) for p in sorted(self.partial.iterdir()) if p.is_file()}
        record: dict[str, Any] = {"name": self.name, "key": self.digest}  # Any: JSON
        record |= {"result": result, "files": files, "seconds": round(seconds, 3)}
        record["digest"] = digest_json(record)
        write_atomic(self.partial / _RECORD, json.dumps(record, indent=1).encode())
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            shutil.rmtree(self.path)
        self.partial.replace(self.path)
        # Through JSON, so that a first run and a resumed one go on with equal values.
        self.result, self.done = json.loads(json.dumps(result)), True
        self.seconds = record["seconds"]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Holds the step's lock: of two compiles that need the same step one works and the other finds it done."""
        from filelock import FileLock

        with FileLock(self.partial.with_name(self.partial.name + ".lock")):
            self.done = self._load()
            if not self.done:
                self.partial.mkdir(parents=True, exist_ok=True)
            yield

    def _load(self) -> bool:
        if not self.path.is_dir():
            return False
        try:
            record = json.loads((self.path / _RECORD).read_bytes())
            sealed = record.pop("digest")
            intact = sealed == digest_json(record) and all(
                digest_file(self.path / name) == d for name, d in record["files"].items()
            )
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            intact = False
        if not intact:
            logger.warning("%s: the stored result is damaged; the step runs again", self.path)
            shutil.rmtree(self.path, ignore_errors=True)
            return False
        self.result = record["result"]
        self.seconds = record.get("seconds", 0.0)
        return True


class Workdir:
    """The folder of all steps. Several compiles may share it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
            probe = root / f".write-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as e:
            raise ConfigError(
                f"cache folder {root}: cannot be written: {e.strerror}; choose another with --cache"
            ) from e

    def step(self, name: str, inputs: dict[str, Any]) -> Step:
        """The step called `name` for these inputs (JSON; digests, not contents)."""
        return Step(self.root, name, inputs)
