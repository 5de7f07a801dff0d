"""What kind of teacher a source names, told by its form and first bytes; nothing is opened by a loader here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from squeeze.errors import ConfigError
from squeeze.teacher import pickled
from squeeze.teacher.hf.folder import is_folder, read_folder
from squeeze.workdir import digest_bytes, digest_file, digest_json

Kind = Literal["factory", "hf", "onnx", "pt2"]

FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_ACCEPTED = (
    "allowed: a .pt2 archive, an .onnx file, a Hugging Face folder (config.json, model.safetensors), or "
    "package.module:factory with --weights FILE"
)
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


def classify(source: str, weights: str | None) -> Kind:
    """The kind of `source`, and that its files are there and could be what their names say.

    Raises ConfigError for anything else, with what to do instead.
    """
    if FACTORY.fullmatch(source) and not Path(source).exists():
        _check_weights(source, weights)
        return "factory"
    path = Path(source)
    suffix = path.suffix.lower()
    folder = is_folder(path)
    if not folder:
        _check_file(path, _ACCEPTED)
    if weights is not None:
        raise ConfigError(
            f"--weights {weights}: only for a teacher given as package.module:factory; {path} has its own weights"
        )
    if folder:
        read_folder(path)
        return "hf"
    if suffix in _OTHERS:
        raise ConfigError(f"{path}: {_OTHERS[suffix]}. {_ACCEPTED.capitalize()}")
    if suffix in _PICKLES or pickled.is_pickle(path):
        raise ConfigError(*refusal(path))
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


def refusal(path: Path) -> tuple[str, ...]:
    """Why a pickle, or a file of torch.save or torch.jit.save, is no model for us, and what to do: the lines of it."""
    name = path.name
    save = "Save the model with squeeze.save or torch.export.save (docs/teachers.md)"
    factory = "or give package.module:factory with --weights"
    found = pickled.look(path)
    if found.holds == "script":
        return script_refusal(str(path), name)
    if found.holds == "module":
        kind = f" ({found.type_name})" if found.type_name else ""
        return (
            f"{path}: a pickled torch module{kind}, which can run code when it is opened, so it is not read.",
            f'Where the model was made: squeeze.save(model, example, "net.pt2"); {factory} FILE.safetensors',
        )
    if found.holds == "weights":
        return (
            f"{path}: a torch.save file of weights without their model. {save}, {factory} {name}, "
            "which is read as weights only",
        )
    if found.holds == "pickle":
        return (
            f"{path}: a pickle (torch.save writes them too), which can run code when it is opened, so it is not read. "
            f"{save}, {factory} FILE.safetensors",
        )
    return (f"{path}: not a file that torch.save wrote. {save}, {factory} FILE.safetensors",)


def script_refusal(where: str, name: str) -> tuple[str, str]:
    """A TorchScript archive called `name` refused, with the two lines of code that make an ONNX file of it."""
    return (
        f"{where}: a TorchScript archive; it can hold code, so it is not read. In Python: "
        f'model = torch.jit.load("{name}").eval()',
        'torch.onnx.export(model, (example,), "net.onnx", dynamo=False, input_names=["x"], '
        'dynamic_axes={"x": {0: "batch"}})',
    )


def digest_files(paths: list[Path], *texts: str) -> str:
    """SHA-256 of one file's bytes; with more files or texts, of all their digests in order."""
    digests = [digest_file(path) for path in paths] + [digest_bytes(t.encode()) for t in texts]
    return digests[0] if len(digests) == 1 else digest_json(digests)
