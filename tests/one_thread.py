"""For the packages of tests whose networks are tiny: several threads on so little work cost more than they give, and
with one the order of sums stays the same. A package takes the fixture by naming it in its conftest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
