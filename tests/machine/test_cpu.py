from __future__ import annotations

import platform
import re

import pytest

from squeeze.machine import host_name, isa, usable_cores

AVX2 = "fpu sse2 avx avx2 fma"
VNNI = f"{AVX2} avx512f avx512bw avx512vl avx512_vnni"


def x86(flags: str, cores: int = 2) -> str:
    core = f"processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\nflags\t\t: {flags}\n\n"
    return core * cores


def arm(*parts: str, features: str = "fp asimd") -> str:
    return "".join(
        f"processor\t: {i}\nFeatures\t: {features}\nCPU part\t: {part}\n\n"
        for i, part in enumerate(parts)
    )


@pytest.mark.parametrize(
    ("cpuinfo", "clusters"),
    [
        (x86("fpu sse2"), ()),
        (x86("fpu avx2"), ()),
        (x86(AVX2), ("x86_avx2",)),
        (x86(f"{AVX2} avx512f avx512bw avx512vl"), ("x86_avx2",)),
        (x86(VNNI), ("x86_avx2", "x86_avx512vnni")),
        (x86(f"{VNNI} amx_tile amx_int8"), ("x86_avx2", "x86_avx512vnni", "x86_amx")),
        (x86(f"{AVX2} amx_tile amx_int8"), ("x86_avx2",)),
        (arm("0xd08"), ("arm64_neon",)),
        (arm("0xd0b", features="fp asimd asimddp"), ("arm64_neon", "arm64_dotprod")),
        (
            arm("0xd4f", features="fp asimd asimddp i8mm bf16"),
            ("arm64_neon", "arm64_dotprod", "arm64_i8mm"),
        ),
        (
            arm("0xd05", features="fp asimd") + arm("0xd0b", features="fp asimd asimddp"),
            ("arm64_neon",),
        ),
        ("", ()),
    ],
)
def test_isa_is_a_ladder_without_gaps(cpuinfo: str, clusters: tuple[str, ...]) -> None:
    assert isa(cpuinfo) == clusters


def test_host_name_is_the_model_and_the_cores() -> None:
    assert host_name(x86(AVX2, cores=4)) == "Some CPU @ 2.00GHz, 4 cores"
    assert host_name(arm("0xd05", "0xd05", "0xd0b")) == "Cortex-A55 + Cortex-A76, 3 cores"
    assert host_name(arm("0xfff")) == "Arm part 0xfff, 1 core"


def test_host_name_of_this_machine_does_not_tell_its_name() -> None:
    assert re.search(r", \d+ cores?$", host_name())
    node = platform.node()
    assert len(node) < 4 or node not in host_name()
    assert usable_cores() >= 1
