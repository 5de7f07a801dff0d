"""What lies in a Hugging Face folder, read as data: no torch, no transformers, and nothing outside of the folder.

Refused, each with what to do: code of the model's own (`auto_map`), pickled weights (pytorch_model.bin), adapters,
networks that are quantised already, and architectures that are no encoder, classifier or tagger.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.teacher.hf.read_json import Json, read_table
from squeeze.teacher.hf.sentence import Sentence, read_sentence

Head = Literal["image", "sequence", "tokens", "none"]

CONFIG, MODULES, PROCESSOR = "config.json", "modules.json", "preprocessor_config.json"
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_SAVE = (
    "Where it was made: AutoModel.from_pretrained(FOLDER).save_pretrained(NEW) writes model.safetensors "
    "(with the class that config.json names under architectures)"
)
# Ends of the names of architectures, and what is behind the encoder there.
HEADS: dict[str, Head] = {
    "ForImageClassification": "image",
    "ForImageClassificationWithTeacher": "image",
    "ForSequenceClassification": "sequence",
    "ForTokenClassification": "tokens",
    "Model": "none",
}
_GENERATIVE = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")


@dataclass(frozen=True)
class Folder:
    """path: as it was given. encoder: where config.json lies. architecture: its class in transformers, "" where nobody
    says. sentence: what sentence-transformers puts behind it. files: all that the network is made of, sorted."""

    path: Path
    encoder: Path
    config: Json
    architecture: str
    head: Head
    sentence: Sentence | None
    files: tuple[Path, ...]

    @property
    def takes_images(self) -> bool:
        """Whether the network takes pixels; else it takes tokens."""
        return self.head == "image" or (
            "image_size" in self.config and "vocab_size" not in self.config
        )


def is_folder(path: Path) -> bool:
    """Whether it may be one: a folder with a configuration of transformers or sentence-transformers."""
    return path.is_dir() and any((path / name).is_file() for name in (CONFIG, MODULES))


def read_folder(path: Path) -> Folder:
    """Raises ConfigError for a damaged or unsafe folder, UnsupportedError for a network that is no teacher."""
    sentence = read_sentence(path) if (path / MODULES).is_file() else None
    encoder = path if sentence is None else sentence.encoder
    file = encoder / CONFIG
    config = read_table(file)
    _refuse(config, encoder, file)
    named = config.get("architectures") or [""]
    architecture = str(named[0]) if isinstance(named, list) else str(named)
    head: Head = "none" if sentence is not None else _head(architecture, file)
    beside = [path / PROCESSOR] if (path / PROCESSOR).is_file() else []
    files = {file, *_weights(encoder), *beside, *(() if sentence is None else sentence.files)}
    return Folder(path, encoder, config, architecture, head, sentence, tuple(sorted(files)))


def _refuse(config: Json, folder: Path, file: Path) -> None:
    if config.get("auto_map"):
        raise ConfigError(
            f"{file}: auto_map asks for code of the model's own, which is not run; export the model yourself "
            "(squeeze.save, docs/teachers.md) and give the .onnx or .pt2"
        )
    if config.get("quantization_config"):
        raise UnsupportedError(
            f"{file}: the network is quantised already (quantization_config); give the float model it was made from"
        )
    if config.get("transformers_weights"):
        raise ConfigError(
            f"{file}: transformers_weights is not read; the weights have to be called {_WEIGHTS}"
        )
    if (folder / "adapter_config.json").is_file():
        raise UnsupportedError(
            f"{folder}: holds an adapter (adapter_config.json); merge it (merge_and_unload) and save the model"
        )
    if not isinstance(config.get("model_type"), str):
        raise ConfigError(
            f"{file}: has no model_type; is it the config.json of a transformers model?"
        )


def _head(architecture: str, file: Path) -> Head:
    """The longest end that fits; a folder that names no class is an encoder."""
    fitting = [end for end in HEADS if architecture.endswith(end)]
    if not architecture:
        return "none"
    if not fitting:
        allowed = ", ".join(f"*{end}" for end in HEADS)
        raise UnsupportedError(
            f"{file}: architecture '{architecture}'; allowed: {allowed}{instead(architecture)}"
        )
    return HEADS[max(fitting, key=len)]


def instead(architecture: str) -> str:
    """What is said to do with a network that writes texts; nothing of others."""
    if not architecture.endswith(_GENERATIVE):
        return ""
    return (
        ". A network that writes texts is taken as .onnx: export it (torch.onnx.export, optimum-cli), then squeeze "
        "quantize FILE.onnx --weights-only"
    )


def _weights(folder: Path) -> list[Path]:
    """The files of weights, the index of shards included."""
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    index = folder / _INDEX
    if not index.is_file():
        pickled = [name for name in _PICKLED if (folder / name).is_file()]
        if pickled:
            raise ConfigError(
                f"{folder / pickled[0]}: pickled weights, which can run code when they are opened, so they are not "
                "read.",
                _SAVE,
            )
        exported = sorted((*folder.glob("*.onnx"), *folder.glob("onnx/*.onnx")))
        if exported:
            raise ConfigError(f"{folder}: has no {_WEIGHTS}, but {exported[0]}: give that file")
        raise ConfigError(f"{folder}: has no {_WEIGHTS}. {_SAVE}")
    shards = read_table(index).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise ConfigError(f"{index}: has no weight_map that says which tensor is in which file")
    names = sorted({str(name) for name in shards.values()})
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise ConfigError(
                f"{index}: '{name}' is no .safetensors file of this folder, so it is not read"
            )
        if not (folder / name).is_file():
            raise ConfigError(f"{folder / name}: no such file, and {_INDEX} names it")
    return [index, *(folder / name for name in names)]
