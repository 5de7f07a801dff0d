"""The folder of a trained weight-sharing network: one training, from which device after device is served.

FOLDER/supernet.json                   sizes, the losses of all parts, digests of the teacher and of each file
FOLDER/inherited/weights.safetensors   the teacher's own weights, what matters most first
FOLDER/<space>/weights.safetensors     those of the network of a space
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze.errors import ConfigError
from squeeze.folder import check_folder, written
from squeeze.seal import WEIGHTS
from squeeze.steps.inheriting_work import Kept
from squeeze.train.supernet.space import NAMES, Name
from squeeze.workdir import DISK_FULL, digest_file, digest_json

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]  # Any: JSON
RECORD = "supernet.json"
FORMAT = 1
_INHERITED = "inherited"
_SPEED = "samples_per_s"


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
    """teacher: its digest. spaces: of each, its weights and the losses of its parts. digest: of the record, and so of
    all bytes."""

    folder: Path
    digest: str
    teacher: str
    inherited: Stored
    spaces: Mapping[Name, tuple[Stored, Stored]]

    @property
    def sliced(self) -> bool:
        """Whether it is of a convolutional teacher."""
        return "slices" in self.inherited.result

    def to_json(self) -> Json:
        """What a package says of where its student could come from."""
        return {"source": str(self.folder), "digest": self.digest, "spaces": [*self.spaces]}

    def check(self, digest: str) -> None:
        """Raises ConfigError for another teacher."""
        if digest != self.teacher:
            raise ConfigError(
                f"--from {self.folder}: the network was made of another teacher; make one of this one with "
                "squeeze search --supernet"
            )

    def check_space(self, space: str) -> None:
        """Raises ConfigError for a space that is asked for by name and has no network here."""
        if space in NAMES and space not in self.spaces:
            raise ConfigError(
                f"supernet.space: got '{space}', and --from {self.folder} has {', '.join(self.spaces)}; ask for one of "
                f"them, or train it: squeeze search --supernet --space {space}"
            )


def write_supernet(
    out: Path,
    teacher: str,
    inherited: Kept,
    spaces: Mapping[Name, tuple[Kept, Kept]],
    picked: Json,
) -> None:
    """Writes the folder, whole or not at all. picked: why these spaces, for people. Raises ConfigError when the disk is
    full or not writable."""
    sources: dict[str, Kept] = {
        _INHERITED: inherited,
        **{name: trained for name, (trained, _) in spaces.items()},
    }
    record = {
        "format": FORMAT,
        "teacher": teacher,
        "inherited": {"result": inherited.result, "key": inherited.key()},
        "spaces": {
            name: [{"result": _timeless(kept.result), "key": kept.key()} for kept in pair]
            for name, pair in spaces.items()
        },
        "picked": picked,
        "files": {name: digest_file(kept.path / WEIGHTS) for name, kept in sources.items()},
    }
    record["digest"] = digest_json(record)
    try:
        with written(out) as part:
            for name, kept in sources.items():
                (part / name).mkdir()
                shutil.copyfile(kept.path / WEIGHTS, part / name / WEIGHTS)
            (part / RECORD).write_text(json.dumps(record, indent=1))
    except OSError as e:
        what = "the disk is full" if e.errno in DISK_FULL else str(e.strerror)
        raise ConfigError(
            f"{out}: cannot be written: {what}. Nothing was left behind; the network is kept, the same command goes on"
        ) from e


def check_output(out: Path) -> None:
    """Raises ConfigError for a folder that cannot be written, or holds anything but a network."""
    check_folder(out, "network of squeeze search", RECORD, lambda _: {RECORD, _INHERITED, *NAMES})


def _timeless(result: Json) -> Json:
    """Without how fast it was, so that equal trainings leave equal folders."""
    history = [{k: v for k, v in row.items() if k != _SPEED} for row in result.get("history", ())]
    return {**result, "history": history} if history else result


def open_supernet(folder: Path) -> Supernet:
    """What `write_supernet` wrote. Raises ConfigError for anything else, and for files with other bytes."""
    record = _record(folder)
    try:
        for name, digest in record["files"].items():
            if name not in (_INHERITED, *NAMES) or digest_file(folder / name / WEIGHTS) != digest:
                raise ValueError(f"{name}/{WEIGHTS} has other bytes than were written")
        spaces = {
            name: (_stored(folder / name, pair[0]), _stored(folder / name, pair[1]))
            for name, pair in record["spaces"].items()
        }
        inherited = _stored(folder / _INHERITED, record["inherited"])
        _check_sizes(inherited.result, [folder / name / WEIGHTS for name in record["files"]])
        return Supernet(folder, str(record["digest"]), record["teacher"], inherited, spaces)
    except OSError as e:
        raise _damaged(folder, f"'{Path(str(e.filename)).parent.name}/{WEIGHTS}' is missing") from e
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as e:
        raise _damaged(folder, str(e)) from e


def _record(folder: Path) -> Json:
    """What the folder says of itself. Raises ConfigError where it says nothing that can be trusted."""
    file = folder / RECORD
    if not file.is_file():
        raise ConfigError(
            f"--from {folder}: not a folder that squeeze search --supernet wrote, it has no {RECORD}; give one"
        )
    try:
        record: Json = json.loads(file.read_bytes())
        if record["format"] != FORMAT:
            raise ConfigError(
                f"--from {folder}: another version of squeeze wrote it (format {record['format']!r:.20}, this one "
                f"reads {FORMAT}); train it again with squeeze search --supernet"
            )
        sealed = {k: v for k, v in record.items() if k != "digest"}
        if record["digest"] != digest_json(sealed) or not set(record["spaces"]) <= set(NAMES):
            raise ValueError("its bytes changed since it was written")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        why = str(e) if type(e) is ValueError else "cannot be read"
        raise _damaged(folder, f"{RECORD}: {why}") from e
    return record


def _damaged(folder: Path, why: str) -> ConfigError:
    return ConfigError(
        f"--from {folder}: the network is damaged ({why}); train it again with squeeze search --supernet"
    )


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
