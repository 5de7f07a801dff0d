"""The teacher's answers for every view, made once and read from disk ever after.

Files in the folder: `view_00.npy` ... [n, c] logits of one view of the whole fit split; `view_00_chunk_00003.npy`
while a view is being made; `calibrate.npy` [m, c] for plain inputs of the calibrate split, to watch the training by;
and the ledger that seals them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from squeeze.errors import ConfigError, MeasureError
from squeeze.guides import ledger
from squeeze.guides.ledger import Ledger
from squeeze.guides.views import Views
from squeeze.workdir import digest_json

if TYPE_CHECKING:
    from squeeze.calib import Calib
    from squeeze.progress import Progress
    from squeeze.spec import DistillPart
    from squeeze.teacher import Teacher

Array = NDArray[Any]  # Any: float16 or float32

CHUNK = 1024  # samples: about a second of teacher, the most that a kill can lose
_BATCH = 64
_CALIBRATE = 1000  # samples, enough to see agreement to about a point
# A class logit beyond this says the same as one at it; float16 ends at 65,504.
_HALF_LIMIT = 60_000.0


@dataclass(frozen=True)
class Labels:
    """Logits of the teacher. `views[v]`: [n, c], memory-mapped; `calibrate`: [m, c] for its first m samples."""

    views: tuple[Array, ...]
    calibrate: NDArray[np.float32]
    digest: str

    def logits(self, samples: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[np.float32]:
        """[b, c] for view views[k] of sample samples[k]."""
        out = np.empty((len(samples), self.calibrate.shape[1]), np.float32)
        for view in np.unique(views):
            rows = np.flatnonzero(views == view)
            out[rows] = self.views[view][samples[rows]]
        return out

    def moments(self) -> tuple[NDArray[np.float32], float]:
        """Mean of each output [c], and the standard deviation around it over all outputs, on the first view."""
        first = np.asarray(self.views[0], np.float64)
        spread = float(np.sqrt(first.var(0).mean()))
        return first.mean(0).astype(np.float32), spread


def cache_labels(
    teacher: Teacher,
    calib: Calib,
    part: DistillPart,
    *,
    seed: int,
    threads: int,
    folder: Path,
    progress: Progress,
) -> None:
    """Runs the teacher on `part.views` views of every fit sample and keeps its logits in `folder`.

    Call again after an interruption: finished chunks are kept. Disk: n * views * c values, of 2 bytes for classes
    (float16), 4 for other outputs. Raises ConfigError (augmentation unfit for the data), MeasureError (the teacher's
    answer is not [n, c] or not finite).
    """
    views = Views(calib, part, seed)
    dtype = _storage(calib, teacher)
    identity = {**views.identity(), "teacher": teacher.digest, "dtype": dtype, "chunk": CHUNK}
    kept = Ledger(folder, identity)
    labelled = partial(_labelled, teacher, threads, dtype)
    n, count = len(calib.fit), part.views
    pace = _Pace(progress, n * count, "img/s" if calib.modality == "image" else "samples/s")

    plain = calib.inputs(calib.calibrate, 0, _CALIBRATE)
    kept.keep("calibrate.npy", partial(labelled, plain))
    for view in range(count):
        name = _name(view)
        if kept.intact(name):
            pace.advance(n, fresh=False)
            continue
        pieces = []
        for start in range(0, n, CHUNK):
            samples = np.arange(start, min(start + CHUNK, n))
            piece = f"view_{view:02}_chunk_{start // CHUNK:05}.npy"
            pieces.append(piece)
            fresh = not kept.intact(piece)
            if fresh:
                kept.keep(piece, partial(labelled, views.batch(samples, view).x))
            pace.advance(len(samples), fresh=fresh)
        kept.keep(name, partial(_joined, [folder / piece for piece in pieces]))
        kept.drop(pieces)


def open_labels(views: Views, *, folder: Path) -> Labels:
    """The labels that `cache_labels` made in `folder` for these views. Raises ConfigError."""
    try:
        record = ledger.read(folder)
        arrays = tuple(
            np.load(folder / _name(view), mmap_mode="r", allow_pickle=False)
            for view in range(views.count)
        )
        calibrate = np.load(folder / "calibrate.npy", allow_pickle=False).astype(np.float32)
    except (OSError, ValueError) as e:
        raise ConfigError(
            f"{folder}: the label cache is missing or damaged ({e}); delete the folder to make it again"
        ) from e
    stored = record.get("identity") or {}
    if any(stored.get(key) != value for key, value in views.identity().items()):
        raise ConfigError(
            f"{folder}: these labels are for other data, views or seed; delete the folder to make them again"
        )
    return Labels(arrays, calibrate, digest_json(record))


class _Pace:
    """Tells how far the labels are, and how fast new ones come."""

    def __init__(self, progress: Progress, total: int, unit: str) -> None:
        self.progress, self.total, self.unit = progress, total, unit
        self.done, self.made, self.began = 0, 0, time.monotonic()

    def advance(self, samples: int, *, fresh: bool) -> None:
        self.done += samples
        self.made += samples if fresh else 0
        seconds = max(time.monotonic() - self.began, 1e-6)
        note = f"{self.made / seconds:,.0f} {self.unit}" if self.made else ""
        self.progress.update(self.done, self.total, note)


def _name(view: int) -> str:
    return f"view_{view:02}.npy"


def _storage(calib: Calib, teacher: Teacher) -> str:
    classes = calib.classes is not None or teacher.output_activation != "none"
    return "float16" if classes else "float32"


def _labelled(teacher: Teacher, threads: int, dtype: str, x: Array) -> Array:
    """Logits [n, c] of x [n, ...]. Raises MeasureError."""
    parts = []
    for start in range(0, len(x), _BATCH):
        logits = teacher.outputs(x[start : start + _BATCH], threads=threads).logits
        logits = logits.reshape(-1, 1) if logits.ndim == 1 else logits
        if logits.ndim != 2:
            raise MeasureError(
                f"{teacher.source}: output has shape {list(logits.shape)}; distillation needs [n, c], one row a sample"
            )
        if not np.isfinite(logits).all():
            raise MeasureError(
                f"{teacher.source}: NaN or infinite outputs for some inputs; check the preprocessing (squeeze calib)"
                " and the model"
            )
        parts.append(logits)
    whole = np.concatenate(parts)
    if dtype == "float16":
        whole = whole.clip(-_HALF_LIMIT, _HALF_LIMIT)
    return whole.astype(dtype)


def _joined(pieces: list[Path]) -> Array:
    return np.concatenate([np.load(piece, allow_pickle=False) for piece in pieces])
