"""The teacher's answers to every view, made once; `cached` reads them ever after.

Files in the folder: `view_00.npy` ... [n, c] (or [n, c, ...places]) logits of one view of the whole fit split;
`view_00_NAME.npy` [n, ...] a tap that the loss needs; `view_00_chunk_00003.npy` while a view is being made;
`calibrate.npy` [m, c] for plain inputs of the calibrate split, to watch the training by; and the ledger that seals
them.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from squeeze.guides.ask import ask, ask_plain
from squeeze.guides.ledger import Ledger
from squeeze.guides.views import Views
from squeeze.outputs import Outputs

if TYPE_CHECKING:
    from squeeze.calib import Calib
    from squeeze.feed import Feed, Padding
    from squeeze.progress import Progress
    from squeeze.spec import DistillPart
    from squeeze.teacher import Teacher

Array = NDArray[Any]  # Any: float16 or float32

CHUNK = 1024  # samples: about a second of teacher, the most that a kill can lose
PLAIN_FILE = "calibrate.npy"
# A class logit beyond this says the same as one at it; float16 ends at 65,504.
_HALF_LIMIT = 60_000.0


def cache_answers(
    teacher: Teacher,
    calib: Calib,
    part: DistillPart,
    *,
    seed: int,
    threads: int,
    folder: Path,
    progress: Progress,
    taps: Collection[str] = (),
    padding: Padding | None = None,
) -> None:
    """Runs the teacher on `Views.count` views of every fit sample and keeps its answers in `folder`.

    Kept are logits and `taps`: `losses.needs` says which a loss reads. padding: what of samples may be left away. Call
    again after an interruption: finished chunks are kept. Disk: n * views * c values, of 2 bytes for classes (float16),
    4 for other outputs and taps. Raises ConfigError (augmentation unfit for the data, a tap that the teacher does not
    have), MeasureError (the teacher's answer is not finite).
    """
    views, needs = Views(calib, part, seed), sorted(taps)
    dtype = _storage(calib, teacher)
    identity = {**views.identity(), "teacher": teacher.digest, "dtype": dtype, "chunk": CHUNK}
    kept = Ledger(folder, {**identity, "taps": needs})
    answered = partial(_answered, teacher, needs, threads, dtype, padding)
    n, count = len(calib.fit), views.count
    pace = _Pace(progress, n * count, "img/s" if calib.modality == "image" else "samples/s")

    kept.keep(PLAIN_FILE, lambda: _stored(ask_plain(teacher, calib, threads, padding), dtype))
    for view in range(count):
        names = [file_of(view, tap) for tap in (None, *needs)]
        if all(kept.intact(name) for name in names):
            pace.advance(n, fresh=False)
            continue
        pieces: list[list[str]] = []
        for start in range(0, n, CHUNK):
            samples = np.arange(start, min(start + CHUNK, n))
            here = [f"{name.removesuffix('.npy')}_chunk_{start // CHUNK:05}.npy" for name in names]
            pieces.append(here)
            fresh = not all(kept.intact(piece) for piece in here)
            if fresh:
                found = answered(views.at(samples, view).x)
                arrays = (found.logits, *(found.taps[tap] for tap in needs))
                for piece, array in zip(here, arrays, strict=True):
                    kept.keep(piece, partial(np.asarray, array))
            pace.advance(len(samples), fresh=fresh)
        for name, parts in zip(names, zip(*pieces, strict=True), strict=True):
            kept.keep(name, partial(_joined, [folder / piece for piece in parts]))
        kept.drop([piece for here in pieces for piece in here])


def file_of(view: int, tap: str | None) -> str:
    """The name of the file of a view: of its logits, or of a tap."""
    return f"view_{view:02}.npy" if tap is None else f"view_{view:02}_{tap}.npy"


class _Pace:
    """Tells how far the answers are, and how fast new ones come."""

    def __init__(self, progress: Progress, total: int, unit: str) -> None:
        self.progress, self.total, self.unit = progress, total, unit
        self.done, self.made, self.began = 0, 0, time.monotonic()

    def advance(self, samples: int, *, fresh: bool) -> None:
        self.done += samples
        self.made += samples if fresh else 0
        seconds = max(time.monotonic() - self.began, 1e-6)
        note = f"{self.made / seconds:,.0f} {self.unit}" if self.made else ""
        self.progress.update(self.done, self.total, note)


def _storage(calib: Calib, teacher: Teacher) -> str:
    classes = calib.classes is not None or teacher.output_activation != "none"
    return "float16" if classes else "float32"


def _answered(
    teacher: Teacher,
    needs: list[str],
    threads: int,
    dtype: str,
    padding: Padding | None,
    x: Array | Feed,
) -> Outputs[Array]:
    found = ask(teacher, x, needs, threads, padding)
    taps = {name: values.astype(np.float32) for name, values in found.taps.items()}
    return Outputs(_stored(found.logits, dtype), taps)


def _stored(logits: NDArray[np.float32], dtype: str) -> Array:
    if dtype == "float16":
        logits = logits.clip(-_HALF_LIMIT, _HALF_LIMIT)
    return logits.astype(dtype)


def _joined(pieces: list[Path]) -> Array:
    return np.concatenate([np.load(piece, allow_pickle=False) for piece in pieces])
