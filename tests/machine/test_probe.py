"""What is read of this machine, and whether it is of the kind that a target describes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from squeeze.machine.likeness import unlike, unlike_features
from squeeze.machine.memory import memory_bytes
from squeeze.machine.probe import features, probe
from squeeze.target import Cpu


def test_features_are_the_clusters_without_their_architecture() -> None:
    assert features(("x86_avx2", "x86_avx512vnni", "x86_amx")) == ("avx2", "avx512vnni", "amx")
    assert features(("arm64_neon", "arm64_dotprod")) == ("neon", "dotprod")
    assert features(()) == ()


def test_each_fact_says_where_it_was_read() -> None:
    found = probe()
    assert 1 <= found.cores <= (os.cpu_count() or 1)
    for fact in (found.clock_hz, found.ram_bytes):
        assert fact is None or (fact.value > 0 and fact.source)


@pytest.mark.skipif(not Path("/proc/meminfo").is_file(), reason="no /proc/meminfo")
def test_memory_is_what_the_system_says() -> None:
    found = memory_bytes()
    assert found is not None
    assert found.total == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < found.available <= found.total


@pytest.mark.parametrize(
    ("wanted", "has", "why"),
    [
        (("avx2",), ("avx2",), None),
        ((), ("avx2", "amx"), None),
        (("avx2", "amx"), ("avx2",), "this machine's processor has no amx"),
        (("avx2",), ("avx2", "amx"), "this machine's processor has amx too, and is faster"),
    ],
    ids=["alike", "any", "lacking", "more"],
)
def test_a_processor_is_alike_with_the_same_features(
    wanted: tuple[str, ...], has: tuple[str, ...], why: str | None
) -> None:
    assert unlike_features(wanted, has) == why


def test_another_architecture_is_unlike_and_the_host_never_is() -> None:
    assert unlike(Cpu(arch="host", features=("neon", "amx"))) is None
    why = unlike(Cpu(arch="hexagon"))
    assert why is not None
    assert why.startswith("its processor is hexagon, this machine's ")
