"""What sentence-transformers puts behind an encoder: modules.json with Pooling, Dense and Normalize, in this order.

Taken: Transformer first, then Pooling (cls, max, mean, mean_sqrt_len, lasttoken; several are joined), then any number
of Dense (Identity, Tanh, ReLU, GELU, Sigmoid) and Normalize. Everything else is refused with its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from squeeze.calib.text.pooling import MODULE, POOLINGS, poolings
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.teacher.hf.read_json import Json, read_list, read_table

ACTIVATIONS = ("GELU", "Identity", "ReLU", "Sigmoid", "Tanh")
_ALLOWED = "allowed: Transformer, Pooling, Dense, Normalize"


@dataclass(frozen=True)
class Dense:
    """A linear layer; activation: one of ACTIVATIONS."""

    weights: Path
    inputs: int
    outputs: int
    bias: bool
    activation: str


@dataclass(frozen=True)
class Sentence:
    """encoder: the folder of config.json. poolings: one or more of POOLINGS. after: what follows, None for Normalize.
    files: all that were read."""

    encoder: Path
    poolings: tuple[str, ...]
    after: tuple[Dense | None, ...]
    files: tuple[Path, ...]

    def outputs(self, hidden: int) -> int:
        """Numbers in an embedding, of an encoder with `hidden` numbers a token."""
        sizes = [one.outputs for one in self.after if one is not None]
        return sizes[-1] if sizes else hidden * len(self.poolings)

    def words(self) -> str:
        """Such as "mean pooling, Normalize"."""
        then = ("Normalize" if one is None else f"Dense {one.outputs}" for one in self.after)
        return ", ".join([f"{'+'.join(self.poolings)} pooling", *then])


def read_sentence(folder: Path) -> Sentence:
    """What modules.json of `folder` says. Raises ConfigError for a damaged one, UnsupportedError for other modules."""
    file = folder / "modules.json"
    modules = read_list(file)
    kinds = [str(one.get("type", "")).rpartition(".")[2] for one in modules]
    places = [_inside(folder, one, file) for one in modules]
    if kinds[:2] != ["Transformer", MODULE]:
        raise UnsupportedError(
            f"{file}: the modules are {', '.join(kinds) or 'none'}; wanted Transformer, Pooling and what follows; "
            f"{_ALLOWED}"
        )
    config = places[1] / "config.json"
    files = [file, config]
    after: list[Dense | None] = []
    for kind, place in zip(kinds[2:], places[2:], strict=True):
        if kind == "Normalize":
            after.append(None)
        elif kind == "Dense":
            dense = _dense(place)
            files += [place / "config.json", dense.weights]
            after.append(dense)
        else:
            raise UnsupportedError(f"{file}: module '{kind}' is not known; {_ALLOWED}")
    return Sentence(places[0], _poolings(read_table(config), config), tuple(after), tuple(files))


def _inside(folder: Path, module: Json, file: Path) -> Path:
    path = PurePosixPath(str(module.get("path", "")))
    if path.is_absolute() or ".." in path.parts:
        raise ConfigError(f"{file}: path '{path}' leaves the model's folder, so it is not read")
    return folder / path


def _poolings(config: Json, file: Path) -> tuple[str, ...]:
    found, strange = poolings(config)
    if strange or not found:
        raise UnsupportedError(
            f"{file}: pooling {', '.join(strange) or 'of no kind'}; allowed: {', '.join(POOLINGS)}"
        )
    return found


def _dense(place: Path) -> Dense:
    file = place / "config.json"
    config = read_table(file)
    activation = str(config.get("activation_function", "")).rpartition(".")[2]
    if activation not in ACTIVATIONS:
        raise UnsupportedError(
            f"{file}: activation_function '{config.get('activation_function')}'; allowed: {', '.join(ACTIVATIONS)}"
        )
    sizes = [config.get("in_features"), config.get("out_features")]
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ConfigError(f"{file}: in_features and out_features must be whole numbers above 0")
    weights = place / "model.safetensors"
    if not weights.is_file():
        raise ConfigError(
            f"{weights}: no such file; save the sentence encoder anew with safe_serialization=True"
        )
    return Dense(
        weights, int(sizes[0] or 0), int(sizes[1] or 0), bool(config.get("bias", True)), activation
    )
