"""Asks a teacher for its answers, and refuses those that nothing can be learned from."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from squeeze.errors import ConfigError, MeasureError
from squeeze.feed import Feed, Padding, as_taken, count
from squeeze.outputs import Outputs

if TYPE_CHECKING:
    from squeeze.calib import Calib
    from squeeze.teacher import Teacher

_BATCH = 64
_PLAIN = 1000  # samples
_PLAIN_BYTES = 64 << 20


def ask(
    teacher: Teacher,
    x: NDArray[np.generic] | Feed,
    needs: Collection[str],
    threads: int,
    padding: Padding | None = None,
) -> Outputs[NDArray[np.float32]]:
    """Logits [n, c], or [n, c, ...places], and the taps `needs` [n, ...] of x [n, ...], of several inputs by their
    names. padding: what of them may be left away; those of like lengths are asked together.

    Raises ConfigError for a tap that the teacher does not have, MeasureError for answers that are not finite.
    """
    logits: list[NDArray[np.float32]] = []
    taps: dict[str, list[NDArray[np.float32]]] = {name: [] for name in needs}
    feed = {teacher.input.name: x} if isinstance(x, np.ndarray) else x
    order = np.arange(count(feed)) if padding is None else padding.order(feed)
    for start in range(0, len(order), _BATCH):
        asked = {name: values[order[start : start + _BATCH]] for name, values in feed.items()}
        found = teacher.outputs(padding.cut(asked) if padding else asked, threads=threads)
        logits.append(found.logits.reshape(-1, 1) if found.logits.ndim == 1 else found.logits)
        for name in needs:
            if name not in found.taps:
                known = ", ".join(sorted(found.taps)) or "none"
                raise ConfigError(
                    f"distill.loss: needs '{name}' of the teacher, which has {known}; use 'auto'"
                )
            taps[name].append(found.taps[name])
    back = np.argsort(order)
    made = Outputs(
        np.concatenate(logits)[back], {name: np.concatenate(t)[back] for name, t in taps.items()}
    )
    if not all(np.isfinite(values).all() for values in (made.logits, *made.taps.values())):
        raise MeasureError(
            f"{teacher.source}: NaN or infinite outputs for some inputs; check the preprocessing (squeeze calib)"
            " and the model"
        )
    return made


def ask_plain(
    teacher: Teacher, calib: Calib, threads: int, padding: Padding | None = None
) -> NDArray[np.float32]:
    """Logits of the first inputs of the calibrate split, by which a training is watched: as many as see agreement to
    about a point; of answers that are maps, as many as memory has room for. Raises as `ask`."""
    first = ask(teacher, _first(calib, 1), (), threads, padding).logits
    count = max(1, min(_PLAIN, _PLAIN_BYTES // first.nbytes))
    return ask(teacher, _first(calib, count), (), threads, padding).logits


def _first(calib: Calib, count: int) -> NDArray[np.generic] | Feed:
    return as_taken(calib.feed(calib.calibrate, 0, count))
