"""No target takes N:M sparsity, and the refusal says what to do instead."""

from __future__ import annotations

import pytest

from squeeze.errors import UnsupportedError
from squeeze.prune.nm import check_target
from squeeze.target import Target


def test_every_target_refuses_when_asked_for_sparsity() -> None:
    target = Target(schema=2, name="host", summary="this machine")
    with pytest.raises(UnsupportedError, match=r"2:4 sparsity: target 'host' has no kernel"):
        check_target(target, 2, 4)
