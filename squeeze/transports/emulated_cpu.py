"""Arm CPUs as qemu emulates them, and the /proc/cpuinfo that each would have.

ONNX Runtime chooses kernels by that file, and dies of one that is not Arm's. Parts newer than Cortex-A76 crash it in
the emulator, so that a CPU with matrix products says to be that one; it is without SVE and SME, which few phones let
apps use and in whose place the runtime has other kernels.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

_BASE = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
_DOTPROD = f"{_BASE} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"


@dataclass(frozen=True)
class EmulatedCpu:
    """name: qemu's; part: Arm's number of it; features: as the Linux kernel calls them."""

    name: str
    part: str
    features: str

    def cpuinfo(self, cores: int = 1) -> str:
        """The file, for so many cores."""
        core = (
            "BogoMIPS\t: 100.00\n"
            f"Features\t: {self.features}\n"
            "CPU implementer\t: 0x41\n"
            "CPU architecture: 8\n"
            "CPU variant\t: 0x1\n"
            f"CPU part\t: {self.part}\n"
            "CPU revision\t: 0\n"
        )
        return "\n".join(f"processor\t: {i}\n{core}" for i in range(cores))


_NEON = EmulatedCpu("cortex-a72", "0xd08", _BASE)
_DOT_PRODUCTS = EmulatedCpu("cortex-a76", "0xd0b", _DOTPROD)
_MATRIX_PRODUCTS = EmulatedCpu("max,sme=off,sve=off", "0xd0b", f"{_DOTPROD} i8mm bf16")


def emulated_cpu(features: Collection[str]) -> EmulatedCpu:
    """The CPU with what a target's `cpu.features` say of 8-bit products: none, dot products, or matrix products."""
    if "i8mm" in features:
        return _MATRIX_PRODUCTS
    return _DOT_PRODUCTS if "dotprod" in features else _NEON
