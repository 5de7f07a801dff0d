"""What kind of teacher a source names, told by its form and first bytes; nothing is opened by a loader here."""

from __future__ import annotations

import pickletools
import re
import zipfile
from pathlib import Path
from typing import Literal

from squeeze.errors import ConfigError
from squeeze.workdir import digest_bytes, digest_file, digest_json

Kind = Literal["factory", "onnx", "pt2"]

FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_ACCEPTED = "allowed: a .pt2 archive, an .onnx file, or package.module:factory with --weights FILE"
_PICKLES = {".bin", ".ckpt", ".joblib", ".p", ".pickle", ".pkl", ".pt", ".pth"}
WEIGHTS = {".bin", ".pt", ".pth", ".safetensors"}
_OTHERS = {
    ".h5": "a Keras file; convert it with tf2onnx",
    ".keras": "a Keras file; convert it with tf2onnx",
    ".pb": "a TensorFlow file; convert it with tf2onnx",
    ".pte": "an ExecuTorch program; give the model it was made from",
    ".safetensors": "weights without a model; give package.module:factory with --weights",
    ".tflite": "a TensorFlow Lite file; convert it with tf2onnx",
}
_MOST_OPCODES = 1000


def classify(source: str, weights: str | None) -> Kind:
    """The kind of `source`, and that its files are there and could be what their names say.

    Raises ConfigError for anything else, with what to do instead.
    """
    if FACTORY.fullmatch(source) and not Path(source).exists():
        _check_weights(source, weights)
        return "factory"
    path = Path(source)
    suffix = path.suffix.lower()
    _check_file(path, _ACCEPTED)
    if weights is not None:
        raise ConfigError(
            f"--weights {weights}: only for a teacher given as package.module:factory; {path} has its own weights"
        )
    if suffix in _OTHERS:
        raise ConfigError(f"{path}: {_OTHERS[suffix]}. {_ACCEPTED.capitalize()}")
    if suffix in _PICKLES or is_pickle(path):
        raise ConfigError(_pickle_message(path))
    if suffix not in {".onnx", ".pt2"}:
        raise ConfigError(f"{path}: not a known kind of model; {_ACCEPTED}")
    return "onnx" if suffix == ".onnx" else "pt2"


def _check_weights(source: str, weights: str | None) -> None:
    if weights is None:
        raise ConfigError(
            f"{source}: a factory builds an untrained model; give its weights with --weights FILE "
            "(.safetensors, or a weights-only .pt)"
        )
    path = Path(weights)
    _check_file(path, f"allowed: a file of weights ({', '.join(sorted(WEIGHTS))})")
    if path.suffix.lower() not in WEIGHTS:
        raise ConfigError(
            f"{path}: '{path.suffix}' is no kind of weights file; allowed: {', '.join(sorted(WEIGHTS))}"
        )


def _check_file(path: Path, allowed: str) -> None:
    try:
        if path.is_dir():
            raise ConfigError(f"{path}: a folder; {allowed}")
        if not path.exists():
            raise ConfigError(f"{path}: no such file; {allowed}")
        if not path.is_file():
            raise ConfigError(f"{path}: not a regular file; {allowed}")
        if path.stat().st_size == 0:
            raise ConfigError(f"{path}: the file is empty; {allowed}")
        with path.open("rb"):
            pass
    except (OSError, ValueError) as e:
        raise ConfigError(f"{path}: cannot be read: {e}") from e


def is_pickle(path: Path) -> bool:
    """Whether the file's first operations are those of a pickle. They are listed, never executed."""
    with path.open("rb") as f:
        if f.read(1) not in (b"\x80", b"(", b"c", b"]", b"}"):
            return False
        f.seek(0)
        count = 0
        try:
            for count, (code, _, _) in enumerate(pickletools.genops(f), 1):
                if code.name == "STOP" or count == _MOST_OPCODES:
                    return True
        except (ValueError, OverflowError, MemoryError):
            # A protocol-2 mark and a run of valid operations: a pickle that was cut off.
            return count >= 8
    return False


def _pickle_message(path: Path) -> str:
    how = (
        "Save the model with torch.export.save (2 lines: docs/teachers.md), "
        "or give package.module:factory with --weights FILE.safetensors"
    )
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
        if any(n.endswith("constants.pkl") for n in names):
            return f"{path}: a TorchScript archive; it can hold code, so it is not read. {how}"
        return (
            f"{path}: a torch.save file holds weights, or a pickled model that can run code when it is opened. "
            f"{how} (or --weights {path.name}, which is read as weights only)"
        )
    if not is_pickle(path):
        return f"{path}: not a file that torch.save wrote. {how}"
    return f"{path}: a pickle can run code when it is opened, so it is not read. {how}"


def digest_files(paths: list[Path], *texts: str) -> str:
    """SHA-256 of one file's bytes; with more files or texts, of all their digests in order."""
    digests = [digest_file(path) for path in paths] + [digest_bytes(t.encode()) for t in texts]
    return digests[0] if len(digests) == 1 else digest_json(digests)
