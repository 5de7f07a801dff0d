"""The package `transformers`, used late, offline and for its own code alone: a folder's configuration and its network.

The attention is the "eager" one: MatMul, Mul, Add, Softmax, MatMul. What torch makes of its fused attention has
a dozen more nodes a layer (guards against rows of NaN, the scale on both sides, slices), which the runtime would run
and each of our passes would have to look through.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.offline import forbid_downloads
from squeeze.runtimes.installed import missing_package
from squeeze.teacher.hf.folder import instead

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from squeeze.teacher.hf.folder import Folder, Head

_MIN_VERSION = "5.0"
_CLASSES: dict[Head, str] = {
    "image": "AutoModelForImageClassification",
    "none": "AutoModel",
    "sequence": "AutoModelForSequenceClassification",
    "tokens": "AutoModelForTokenClassification",
}
_ENCODER = "EncoderModel"
# What a bare encoder may lack: `pooler_output` is not read.
_UNREAD = "pooler."


def configuration(folder: Folder) -> Any:  # Any: transformers has a class for each kind
    """config.json as transformers reads it, with its defaults. Raises ConfigError, or UnsupportedError where the
    package is missing."""
    with _offline(folder) as transformers:
        return transformers.AutoConfig.from_pretrained(
            str(folder.encoder), local_files_only=True, trust_remote_code=False
        )


def network(folder: Folder) -> torch.nn.Module:
    """The folder's network in eval mode, float32, with its weights. Raises as `configuration`, and ConfigError for
    weights that are not those of the network."""
    import torch

    config = configuration(folder)
    _check_size(folder, config)
    with _offline(folder) as transformers:
        made, found = _class(transformers, folder).from_pretrained(
            str(folder.encoder),
            attn_implementation="eager",
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # said below, in our words
            local_files_only=True,
            output_loading_info=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
    for name, stored, wanted in sorted(found["mismatched_keys"]):
        raise ConfigError(
            f"{folder.encoder}: tensor '{name}' has {list(stored)} in the weights, by config.json {list(wanted)}; are "
            "the two of one model?"
        )
    unread = folder.head == "none"
    missing = [k for k in sorted(found["missing_keys"]) if not (unread and k.startswith(_UNREAD))]
    if missing:
        raise ConfigError(
            f"{folder.encoder}: the weights lack {len(missing)} tensors of {type(made).__name__}, such as "
            f"'{missing[0]}'; an untrained layer is no teacher"
        )
    if (
        folder.architecture
        and folder.sentence is None
        and type(made).__name__ != folder.architecture
    ):
        raise UnsupportedError(
            f"{folder.encoder}: transformers makes {type(made).__name__} of architecture '{folder.architecture}'; "
            f"allowed: classifiers of texts and images, taggers, and bare encoders{instead(folder.architecture)}"
        )
    module: torch.nn.Module = made.eval()
    return module


def _class(transformers: Any, folder: Folder) -> Any:  # Any: the module, a class of it
    """What reads a folder: of T5 and its like the encoder has a class of its own."""
    if folder.head == "none" and folder.architecture.endswith(_ENCODER):
        return transformers.AutoModelForTextEncoding
    return getattr(transformers, _CLASSES[folder.head])


def _check_size(folder: Folder, config: Any) -> None:  # Any: see `configuration`
    """Raises ConfigError for a network that is larger than its weights can be, before memory is taken for it."""
    import torch
    from safetensors import safe_open

    files = [file for file in folder.files if file.suffix == ".safetensors"]
    with _offline(folder) as transformers:
        tensors = 0
        for file in files:
            with safe_open(file, "pt") as opened:
                tensors += len(opened.keys())
        count: float = float("inf")
        if getattr(config, "num_hidden_layers", 0) <= tensors:  # each layer has some
            with torch.device("meta"):
                made = _class(transformers, folder).from_config(config)
            count = sum(p.numel() for p in made.parameters())
    stored = sum(file.stat().st_size for file in files)
    if count > stored:  # a number takes a byte at least
        raise ConfigError(
            f"{folder.encoder}: config.json describes a larger network than {stored:,} bytes of weights can be of; are "
            "the two of one model?"
        )


@contextmanager
def _offline(folder: Folder) -> Iterator[Any]:  # Any: the module
    """The package, quiet. What it says of this folder becomes a ConfigError in one line."""
    from squeeze.export.blame import first_line
    from squeeze.export.quiet import quiet

    transformers = _imported()
    try:
        with quiet():
            yield transformers
    except (
        Exception
    ) as e:  # every configuration class raises its own errors for values it does not take
        raise ConfigError(
            f"{folder.encoder}: transformers {transformers.__version__} does not read it: {first_line(e)}"
        ) from e


@cache
def _imported() -> Any:  # Any: the module
    if why := missing_package("transformers", "transformers", "hf", _MIN_VERSION):
        raise UnsupportedError(f"a Hugging Face folder is read with transformers: {why}")
    forbid_downloads()
    from squeeze.export.quiet import quiet

    with quiet():
        import transformers
    return transformers
