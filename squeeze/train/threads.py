"""Torch's threads and its generator, borrowed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch


@contextmanager
def torch_threads(threads: int, *, devices: Sequence[int] = ()) -> Iterator[None]:
    """Torch with this many threads and a generator of our own, also for the CUDA `devices`; as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=list(devices)):
            yield
    finally:
        torch.set_num_threads(before)
