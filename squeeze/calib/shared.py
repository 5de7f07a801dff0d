"""Samples that lie in two splits: what was trained on, or chosen by, is no measure of what comes later.

Told by the bytes of a sample, over all of its inputs; labels are not looked at.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from squeeze.calib.rows import chunks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squeeze.calib.set import Split

_DIGEST_BYTES = 16


def shared(splits: Mapping[str, Split]) -> tuple[str, ...]:
    """What is said of a split with samples that one before it has, too."""
    known = {name: digests(split) for name, split in splits.items()}
    found = []
    for name, others, what in (
        ("evaluate", ("fit", "calibrate"), "reported"),
        ("calibrate", ("fit",), "chosen"),
    ):
        before = {digest for other in others for digest in known[other]}
        if count := sum(digest in before for digest in known[name]):
            found.append(
                f"{count} of {len(known[name])} samples to {name} are among those to {' or '.join(others)}, too, which "
                f"makes what is {what} look better than it is"
            )
    return tuple(found)


def judges_what_trains(fit: Split, calibrate: Split, evaluate: Split) -> bool:
    """Whether what judges is what trains: each sample to evaluate is among the others, each to fit among those."""
    fitted, judged = set(digests(fit)), set(digests(evaluate))
    return fitted <= judged <= fitted | set(digests(calibrate))


def digests(split: Split) -> list[bytes]:
    """One a sample, of the bytes of all its inputs."""
    found = [b""] * len(split)
    for name in sorted(split.arrays):
        for start, rows in chunks(split.arrays[name]):
            for i, row in enumerate(np.ascontiguousarray(rows), start):
                found[i] = hashlib.blake2b(
                    found[i] + row.tobytes(), digest_size=_DIGEST_BYTES
                ).digest()
    return found
