"""Which devices are reached, and by what: nothing that is timed here passes for another processor's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from squeeze.device import connect
from squeeze.errors import UnsupportedError
from squeeze.machine.facts import architecture
from squeeze.target import Target

if TYPE_CHECKING:
    from pathlib import Path

OTHER = "arm64" if architecture() != "arm64" else "x86_64"
PEAK = {"float_macs_per_s": 6e9, "memory_bytes_per_s": 5e9}


def target(
    arch: str, features: tuple[str, ...] = (), peak: dict[str, float] | None = None
) -> Target:
    made: dict[str, Any] = {  # Any: of TOML
        "schema": 2,
        "name": "board",
        "summary": "a board",
        "cpu": {"arch": arch, "features": features},
        "peak": peak or {},
        "sources": {f"peak.{key}": "a data sheet" for key in peak or {}},
    }
    return Target.model_validate(made)


def test_processor_of_this_kind_is_timed_here(tmp_path: Path) -> None:
    assert connect(target("host"), tmp_path).runtime is None
    assert connect(target(architecture()), tmp_path).runtime is None


@pytest.mark.parametrize(
    ("arch", "features"), [(OTHER, ()), (architecture(), ("no-such-instructions",))]
)
def test_another_processor_is_estimated_and_never_timed_here(
    tmp_path: Path, arch: str, features: tuple[str, ...]
) -> None:
    reached = connect(target(arch, features, PEAK), tmp_path)
    assert reached.runtime is not None
    assert reached.runtime.source == "estimate"
    assert reached.key() != connect(target("host"), tmp_path).key()


def test_another_processor_that_nothing_is_known_of_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"no no-such-instructions.*\[peak\]"):
        connect(target(architecture(), ("no-such-instructions",)), tmp_path)
