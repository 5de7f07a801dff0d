"""The arrays of a set as they lie in its files: which file has which, read and checked for each split with its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from squeeze.calib import folder as calib_folder
from squeeze.calib import labels as calib_labels
from squeeze.calib import read as calib_read
from squeeze.calib import sequences
from squeeze.calib.keys import Keys, Part
from squeeze.calib.rows import Array, Raw
from squeeze.errors import ConfigError

Readers = dict[str, Callable[[], Raw]]


@dataclass(frozen=True)
class Gathered:
    """Samples by input and labels as they were read; `where` names all for messages."""

    x: Mapping[str, Raw]
    y: Array | None
    where: str

    def __len__(self) -> int:
        return len(next(iter(self.x.values())))


def readers(files: Iterable[Path]) -> Readers:
    """Array -> how it is read, of all files and folders of a set. Raises ConfigError for a name that is in two."""
    found: Readers = {}
    for path in files:
        here: Readers = calib_folder.members(path) if path.is_dir() else calib_read.members(path)
        if both := sorted(found.keys() & here.keys()):
            raise ConfigError(f"{path}: array '{both[0]}' is in another file of this set too")
        found |= here
    return found


def gather(
    found: Readers, keys: Keys, source: str, may_be_empty: Collection[str] = ()
) -> dict[str, Gathered]:
    """The arrays of each split that has its own, `fit` first; all samples alike in shape and type. may_be_empty: inputs
    whose samples may have no numbers.

    Raises ConfigError for arrays that do not go together."""
    parts = {"fit": keys.fit, "calibrate": keys.calibrate, "evaluate": keys.evaluate}
    arrays = {name: _one(found, part, source, may_be_empty) for name, part in parts.items() if part}
    first = arrays["fit"]
    for other in arrays.values():
        for name, x in other.x.items():
            wanted = first.x[name]
            if (x.shape[1:], x.dtype) != (wanted.shape[1:], wanted.dtype):
                raise ConfigError(
                    f"{other.where}: samples {x.dtype} {list(x.shape[1:])}, but {first.where} has "
                    f"{wanted.dtype} {list(wanted.shape[1:])}; all splits must be alike"
                )
    return arrays


def _one(found: Readers, part: Part, source: str, may_be_empty: Collection[str]) -> Gathered:
    x = _repeated({name: found[array]() for name, array in part.inputs.items()})
    for name, array in part.inputs.items():
        where = f"{source}: array '{array}'"
        calib_labels.check_values(x[name], where, may_be_empty=name in may_be_empty)
        if len(x[name]) != len(x[next(iter(x))]):
            raise ConfigError(
                f"{source}: array '{array}' has {len(x[name])} samples, '{part.x}' has {len(x[next(iter(x))])}; each "
                "sample needs a row in both"
            )
    many = "s" if len(part.inputs) > 1 else ""
    where = f"{source}: array{many} {', '.join(map(repr, part.inputs.values()))}"
    y = None if part.y is None else np.asarray(found[part.y]())
    return Gathered(x, y, where if part.y is None else f"{where} and '{part.y}'")


def unrolled(part: Gathered, steps: int) -> Gathered:
    """Samples that are sequences, as samples of their steps."""
    y = None if part.y is None else sequences.unrolled_labels(part.y, steps)
    return replace(part, x=sequences.unrolled(part.x, steps), y=y)


def _repeated(arrays: dict[str, Raw]) -> dict[str, Raw]:
    """A single number beside arrays of samples is that number for every sample."""
    samples = max((len(x) for x in arrays.values() if x.ndim), default=0)
    single = [n for n, x in arrays.items() if x.ndim == 0 or (x.shape == (1,) and samples > 1)]
    if len(single) == len(arrays):
        return arrays
    return {
        n: np.broadcast_to(np.asarray(x).reshape(()), (samples,)) if n in single else x
        for n, x in arrays.items()
    }
