"""Runs of open sessions on several cores at once, with the results in the order of what they were made from.

The runtime and NumPy let other threads go on while they compute. A session with one thread gives the same numbers on
whatever core it runs, so that the results do not depend on the number of workers, as they may on a session's threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """`work` of each item, up to `workers` at the same time; at most `workers` results wait to be taken.

    What `work` raises is raised where its result would have come. Items are taken by the thread that takes the results.
    """
    if workers < 2:
        yield from map(work, items)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
