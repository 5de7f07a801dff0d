from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from squeeze.runtimes.concurrent import in_order


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_the_order_of_items_whichever_ends_first(workers: int) -> None:
    last_done = threading.Event()

    def work(item: int) -> int:
        # The first waits for the second where there is somebody to do it.
        if workers > 1 and item == 0:
            assert last_done.wait(10)
        if item == 1:
            last_done.set()
        return item * item

    assert list(in_order(work, range(7), workers)) == [0, 1, 4, 9, 16, 25, 36]


@pytest.mark.parametrize("workers", [1, 3])
def test_items_are_not_taken_long_before_their_results(workers: int) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    results = in_order(lambda item: item, items(), workers)
    assert next(results) == 0
    assert len(taken) <= workers + 1


@pytest.mark.parametrize("workers", [1, 3])
def test_error_comes_where_its_result_would_have(workers: int) -> None:
    def work(item: int) -> float:
        return 1 / (item - 2)

    results = in_order(work, range(5), workers)
    assert [next(results), next(results)] == [-0.5, -1.0]
    with pytest.raises(ZeroDivisionError):
        next(results)
