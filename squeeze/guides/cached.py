"""A guide whose answers lie on disk, as `answers.cache_answers` left them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from squeeze.errors import ConfigError
from squeeze.guides import ledger
from squeeze.guides.answers import CLASSES, PLAIN_FILE, file_of
from squeeze.guides.codec import Coded, codec_of
from squeeze.outputs import Outputs
from squeeze.workdir import digest_json

if TYPE_CHECKING:
    from squeeze.guides.views import Views

Array = NDArray[Any]  # Any: float16 or float32


@dataclass(frozen=True)
class Cached:
    """logits[v]: [n, c] or [n, c, ...places] for view v, memory-mapped or as a codec has them; taps[name][v]: [n, ...];
    plain: [m, c] alike. digest: of all of them."""

    logits: tuple[Array | Coded, ...]
    taps: Mapping[str, tuple[Array, ...]]
    plain: NDArray[np.float32]
    digest: str

    def at(
        self, samples: NDArray[np.int64], views: NDArray[np.int64], needs: Collection[str] = ()
    ) -> Outputs[NDArray[np.float32]]:
        """Logits [b, c] and the taps `needs` for view views[k] of sample samples[k]. Raises ConfigError."""
        if missing := sorted(set(needs) - set(self.taps)):
            raise ConfigError(
                f"distill.loss: needs '{missing[0]}' of the teacher, which was not kept with its answers; delete the"
                " cache to make them again"
            )
        taps = {name: _rows(self.taps[name], samples, views) for name in needs}
        return Outputs(_rows(self.logits, samples, views), taps)

    def moments(self) -> tuple[NDArray[np.float32], float]:
        """Mean of each output [c], and the standard deviation around it over all outputs, on the first view."""
        first = np.asarray(self.logits[0][:], np.float64)
        spread = float(np.sqrt(first.var(0).mean()))
        return first.mean(0).astype(np.float32), spread

    def key(self) -> dict[str, Any]:  # Any: JSON
        """Everything that decides the answers."""
        return {"answers": self.digest}


def open_answers(views: Views, *, folder: Path) -> Cached:
    """The answers that `cache_answers` made in `folder` for these views. Raises ConfigError."""
    try:
        record = ledger.read(folder)
        stored = record.get("identity") or {}
        taps = {
            name: tuple(_mapped(folder / file_of(v, name)) for v in range(views.count))
            for name in stored.get("taps", [])
        }
        plain = np.load(folder / PLAIN_FILE, allow_pickle=False).astype(np.float32)
        logits = tuple(_logits(folder, v, views.codec, plain.shape[1]) for v in range(views.count))
    except (OSError, ValueError) as e:
        raise ConfigError(
            f"{folder}: the cache of answers is missing or damaged ({e}); delete the folder to make it again"
        ) from e
    wanted = {"codec": "full", **views.identity()}
    if any({"codec": "full", **stored}.get(key) != value for key, value in wanted.items()):
        raise ConfigError(
            f"{folder}: these answers are for other data, views or seed; delete the folder to make them again"
        )
    return Cached(logits, taps, plain, digest_json(record))


def _logits(folder: Path, view: int, codec: str, classes: int) -> Array | Coded:
    stored = _mapped(folder / file_of(view, None))
    if codec == "full":
        return stored
    return Coded(codec_of(codec, classes), _mapped(folder / file_of(view, CLASSES)), stored)


def _mapped(path: Path) -> Array:
    found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    return found


def _rows(
    by_view: tuple[Array | Coded, ...], samples: NDArray[np.int64], views: NDArray[np.int64]
) -> NDArray[np.float32]:
    out = np.empty((len(samples), *by_view[0].shape[1:]), np.float32)
    for view in np.unique(views):
        rows = np.flatnonzero(views == view)
        out[rows] = by_view[view][samples[rows]]
    return out
