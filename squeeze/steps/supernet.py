"""The folder of a trained weight-sharing network: one training, from which device after device is served.

FOLDER/supernet.json                   sizes, the losses of all parts, digests of the teacher and of each file
FOLDER/inherited/weights.safetensors   the teacher's own weights, what matters most first
FOLDER/<space>/weights.safetensors     those of the network of a space
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from squeeze.errors import ConfigError
from squeeze.exchange import PART, beside, exchange
from squeeze.seal import WEIGHTS
from squeeze.steps.inheriting_work import Kept
from squeeze.train.supernet.space import NAMES, Name
from squeeze.workdir import digest_file, digest_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Json = dict[str, Any]  # Any: JSON
RECORD = "supernet.json"
_INHERITED = "inherited"


@dataclass(frozen=True)
class Stored:
    """What a folder holds of a step; `path` has its files by the names that the step gave them."""

    path: Path
    result: Json
    digest: str

    def key(self) -> str:
        """What decided it."""
        return self.digest


@dataclass(frozen=True)
class Supernet:
    """teacher: its digest. spaces: of each, its weights and the losses of its parts."""

    teacher: str
    inherited: Stored
    spaces: Mapping[Name, tuple[Stored, Stored]]

    @property
    def sliced(self) -> bool:
        """Whether it is of a convolutional teacher."""
        return "slices" in self.inherited.result

    def check(self, digest: str) -> None:
        """Raises ConfigError for another teacher."""
        if digest != self.teacher:
            raise ConfigError(
                "--from: the network was made of another teacher; make one of this one with squeeze search --supernet"
            )


def write_supernet(
    out: Path,
    teacher: str,
    inherited: Kept,
    spaces: Mapping[Name, tuple[Kept, Kept]],
    picked: Json,
) -> None:
    """Writes the folder, whole or not at all. picked: why these spaces, for people."""
    made = beside(out, PART)
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    sources: dict[str, Kept] = {
        _INHERITED: inherited,
        **{name: trained for name, (trained, _) in spaces.items()},
    }
    for name, kept in sources.items():
        (made / name).mkdir()
        shutil.copyfile(kept.path / WEIGHTS, made / name / WEIGHTS)
    record = {
        "format": 1,
        "teacher": teacher,
        "inherited": {"result": inherited.result, "key": inherited.key()},
        "spaces": {
            name: [{"result": kept.result, "key": kept.key()} for kept in pair]
            for name, pair in spaces.items()
        },
        "picked": picked,
        "files": {name: digest_file(made / name / WEIGHTS) for name in sources},
    }
    record["digest"] = digest_json(record)
    (made / RECORD).write_text(json.dumps(record, indent=1))
    if out.exists():
        exchange(made, out)
        shutil.rmtree(made, ignore_errors=True)
    else:
        made.replace(out)


def open_supernet(folder: Path) -> Supernet:
    """What `write_supernet` wrote. Raises ConfigError for anything else, and for files with other bytes."""
    try:
        record = json.loads((folder / RECORD).read_bytes())
        sealed = record.pop("digest")
        if sealed != digest_json(record) or not set(record["spaces"]) <= set(NAMES):
            raise ValueError(f"{RECORD} is damaged")
        for name, digest in record["files"].items():
            if name not in (_INHERITED, *NAMES) or digest_file(folder / name / WEIGHTS) != digest:
                raise ValueError(f"{name} is damaged")
        spaces = {
            name: (_stored(folder / name, pair[0]), _stored(folder / name, pair[1]))
            for name, pair in record["spaces"].items()
        }
        inherited = _stored(folder / _INHERITED, record["inherited"])
        _check_sizes(inherited.result, [folder / name / WEIGHTS for name in record["files"]])
        return Supernet(record["teacher"], inherited, spaces)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as e:
        raise ConfigError(
            f"--from {folder}: not a network that squeeze search --supernet wrote ({e})"
        ) from e


def _check_sizes(inherited: Json, files: list[Path]) -> None:
    """Raises ValueError unless each file has the weights of the network that is described, and no others."""
    import torch

    from squeeze.students.encoder import Encoder, Params

    if "slices" in inherited:
        _check_same(_sliced_sizes(inherited), files)
        return
    params = Params.model_validate(inherited["params"])
    kept = inherited["kept"]
    places = range(params.layers)
    if any(len(layers) > len(places) or not set(layers) <= set(places) for layers in kept):
        raise ValueError("layers that there are not")
    if sorted(map(len, kept)) != list(range(1, params.layers + 1)):
        raise ValueError("numbers of layers are missing")
    with torch.device("meta"):
        wanted = {name: list(x.shape) for name, x in Encoder(params).state_dict().items()}
    _check_same(wanted, files)


def _sliced_sizes(inherited: Json) -> dict[str, list[int]]:
    """Shapes of the weights of a network that is sliced. Raises ValueError where its largest part is none."""
    from squeeze.shrink.supernet.slices import Sliceable, Slices

    try:
        slices = Slices(Sliceable.model_validate(inherited["slices"]))
        slices.layers(slices.whole)
    except ConfigError as e:
        raise ValueError(str(e)) from e
    return {name: list(x.shape) for name, x in slices.network.state_dict().items()}


def _check_same(wanted: dict[str, list[int]], files: list[Path]) -> None:
    from safetensors import SafetensorError, safe_open

    for file in files:
        try:
            with safe_open(file, framework="numpy") as opened:
                found = {name: opened.get_slice(name).get_shape() for name in opened.keys()}  # noqa: SIM118
        except SafetensorError as e:
            raise ValueError(f"{file.parent.name}: {e}") from e
        if found != wanted:
            raise ValueError(f"{file.parent.name} has other weights than the network has")


def _stored(path: Path, given: Json) -> Stored:
    return Stored(path, given["result"], given["key"])
