"""What the teacher says of every token, kept: the states that enter its last layer, in half precision.

The last layer is run again when they are read, which costs a part of the teacher's work and keeps outputs, states,
queries, keys and values in one array.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from squeeze.outputs import Outputs
    from squeeze.progress import Progress
    from squeeze.students.encoder import Encoder
    from squeeze.train.supernet.samples import Samples

_BATCH = 64
_HALF_LIMIT = 60_000.0  # float16 ends at 65,504


@dataclass(frozen=True)
class Told:
    """The teacher's answers to `samples`; states: [tokens, hidden], those of sample i from places[i] on."""

    teacher: Encoder
    samples: Samples
    states: NDArray[np.float16]
    places: NDArray[np.int64]

    def at(self, chosen: NDArray[np.int64], mask: Tensor) -> Outputs[Tensor]:
        """As `Encoder.taps`, without a gradient. mask: [b, s], as long as the longest of them."""
        x = np.zeros((*mask.shape, self.states.shape[1]), np.float32)
        for row, sample in enumerate(chosen):
            start, stop = self.places[sample : sample + 2]
            x[row, : stop - start] = self.states[start:stop]
        with torch.no_grad():
            return self.teacher.last(torch.from_numpy(x).to(mask.device), mask)


def write_states(teacher: Encoder, samples: Samples, path: Path, progress: Progress) -> None:
    """Runs the teacher on all samples and writes the states."""
    places = _places(samples)
    hidden = teacher.params.hidden
    kept = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.float16, shape=(int(places[-1]), hidden)
    )
    done = 0
    for chosen in samples.in_order(_BATCH):
        tensors = samples.at(chosen)
        given = dict(zip(teacher.params.inputs, tensors, strict=True))
        with torch.no_grad():
            mask = teacher.mask(given)
            x = teacher.embedded(given)
            added = teacher.added(x, mask)
            for layer in teacher.layers[:-1]:
                x = layer(x, added)
        found = x.clamp(-_HALF_LIMIT, _HALF_LIMIT).numpy().astype(np.float16)
        for row, sample in enumerate(chosen):
            start, stop = places[sample : sample + 2]
            kept[start:stop] = found[row, : stop - start]
        done += len(chosen)
        progress.update(done, len(samples), "samples")
    kept.flush()


def open_states(teacher: Encoder, samples: Samples, path: Path) -> Told:
    """What `write_states` wrote for the same teacher and samples."""
    return Told(
        teacher, samples, np.load(path, mmap_mode="r", allow_pickle=False), _places(samples)
    )


def _places(samples: Samples) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(samples.lengths)])
