"""The batch of the next step, made in another thread while a step learns from its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from squeeze.train.batches import Batch


@contextmanager
def ahead(batch_at: Callable[[int], Batch], steps: int) -> Iterator[Callable[[int], Batch]]:
    """`batch_at` for one step after the other, all below `steps`: a call gives its batch and begins the next one.

    A batch is a pure function of its step, so when it is made changes nothing. What it raises arrives at the call for
    its step. The thread has ended when the block is left.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as thread:
        begun: dict[int, Future[Batch]] = {}

        def at(step: int) -> Batch:
            waiting = begun.pop(step, None)
            batch = batch_at(step) if waiting is None else waiting.result()
            if step + 1 < steps:
                begun[step + 1] = thread.submit(batch_at, step + 1)
            return batch

        yield at
