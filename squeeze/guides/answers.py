"""The teacher's answers to every view, made once; `cached` reads them ever after.

Files in the folder: `view_00.npy` ... [n, c] (or [n, c, ...places]) logits of one view of the whole fit split;
`view_00_NAME.npy` [n, ...] a tap that the loss needs; of a codec `view_00.npy` [n, k] probabilities and
`view_00_classes.npy` [n, k] of which classes they are; `view_00_chunk_00003.npy` while a view is being made;
`calibrate.npy` [m, c] for plain inputs of the calibrate split, to watch the training by; and the ledger that seals
them.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from squeeze.errors import ConfigError
from squeeze.guides.ask import ask, ask_plain
from squeeze.guides.codec import Codec, bytes_of, codec_of
from squeeze.guides.ledger import Ledger
from squeeze.guides.views import Seen, Views
from squeeze.outputs import Outputs

if TYPE_CHECKING:
    from squeeze.calib import Calib
    from squeeze.feed import Padding
    from squeeze.guides.panel import Panel
    from squeeze.progress import Progress
    from squeeze.spec import DistillPart
    from squeeze.teacher import Teacher

Array = NDArray[Any]  # Any: float16 or float32

CHUNK = 1024  # samples: about a second of teacher, the most that a kill can lose
PLAIN_FILE = "calibrate.npy"
CLASSES = "classes"
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
    panel: Panel | None = None,
) -> None:
    """Runs the teacher on `Views.count` views of every fit sample and keeps its answers in `folder`.

    Kept are logits and `taps`: `losses.needs` says which a loss reads. padding: what of samples may be left away.
    panel: who answers with the teacher; taps are the teacher's. Call again after an interruption: finished chunks are
    kept.
    Disk: n * views * c values, of 2 bytes for classes (float16), 4 for other outputs and taps; of `part.codec` as
    `codec.bytes_of` says. Raises ConfigError (augmentation or codec unfit for the data, a tap that the teacher does not
    have, too little room), MeasureError (an answer is not finite).
    """
    views, needs = Views(calib, part, seed), sorted(taps)
    dtype = _storage(calib, teacher)
    identity = {**views.identity(), "teacher": teacher.digest, "dtype": dtype, "chunk": CHUNK}
    beside = {} if panel is None else {"panel": panel.key()}
    kept = Ledger(folder, {**identity, **beside, "taps": needs})
    answered = partial(_answered, teacher, panel, needs, threads, dtype, padding)
    n, count = len(calib.fit), views.count
    codec = None if part.codec == "full" else coded_for(part.codec, teacher, calib)
    _refuse_too_many(bytes_needed(views, part, teacher), folder)
    pace = _Pace(progress, n * count, "img/s" if calib.modality == "image" else "samples/s")

    kept.keep(PLAIN_FILE, lambda: _stored(_plain(teacher, panel, calib, threads, padding), dtype))
    for view in range(count):
        kinds = (None, *needs) if codec is None else (None, CLASSES, *needs)
        names = [file_of(view, kind) for kind in kinds]
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
                found = answered(views.at(samples, view))
                logits = (found.logits,) if codec is None else codec.encode(found.logits)[::-1]
                arrays = (*logits, *(found.taps[tap] for tap in needs))
                for piece, array in zip(here, arrays, strict=True):
                    kept.keep(piece, partial(np.asarray, array))
            pace.advance(len(samples), fresh=fresh)
        for name, parts in zip(names, zip(*pieces, strict=True), strict=True):
            kept.keep(name, partial(_joined, [folder / piece for piece in parts]))
        kept.drop([piece for here in pieces for piece in here])


def coded_for(name: str, teacher: Teacher, calib: Calib) -> Codec:
    """The codec for what this teacher says. Raises ConfigError where its outputs are no classes of a sample."""
    sizes = teacher.output.shape
    if len(sizes) != 1 or _storage(calib, teacher) != "float16":
        raise ConfigError(
            f"distill.codec: '{name}' is for classes, and {teacher.source} gives {teacher.output}; use 'full'"
        )
    return codec_of(name, sizes[0])


def bytes_needed(views: Views, part: DistillPart, teacher: Teacher) -> int:
    """What the teacher's answers to all views take on disk, without taps."""
    calib = views.calib
    if part.codec != "full":
        return bytes_of(coded_for(part.codec, teacher, calib), len(calib.fit), views.count)
    each = int(np.prod(teacher.output.shape)) * np.dtype(_storage(calib, teacher)).itemsize
    return each * len(calib.fit) * views.count


def _refuse_too_many(needed: int, folder: Path) -> None:
    """Raises ConfigError where the disk has no room for so many bytes."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ConfigError(
            f"{folder}: the teacher's answers take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; take fewer "
            "distill.views, a smaller distill.codec such as renorm-10, or another folder (--cache)"
        )


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
    panel: Panel | None,
    needs: list[str],
    threads: int,
    dtype: str,
    padding: Padding | None,
    seen: Seen,
) -> Outputs[Array]:
    found = ask(teacher, seen.x, needs, threads, padding)
    taps = {name: values.astype(np.float32) for name, values in found.taps.items()}
    logits = found.logits
    if panel is not None:
        others = [ask(one, seen.x, (), threads, padding).logits for one in panel.others]
        logits = panel.joined([logits, *others], seen.labels)
    return Outputs(_stored(logits, dtype), taps)


def _plain(
    teacher: Teacher, panel: Panel | None, calib: Calib, threads: int, padding: Padding | None
) -> NDArray[np.float32]:
    logits = ask_plain(teacher, calib, threads, padding)
    if panel is None:
        return logits
    others = [ask_plain(one, calib, threads, padding) for one in panel.others]
    labels = calib.calibrate.y
    return panel.joined([logits, *others], None if labels is None else labels[: len(logits)])


def _stored(logits: NDArray[np.float32], dtype: str) -> Array:
    if dtype == "float16":
        logits = logits.clip(-_HALF_LIMIT, _HALF_LIMIT)
    return logits.astype(dtype)


def _joined(pieces: list[Path]) -> Array:
    return np.concatenate([np.load(piece, allow_pickle=False) for piece in pieces])
