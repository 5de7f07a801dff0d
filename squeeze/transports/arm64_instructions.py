"""Which kernels ran on an emulated Arm CPU, by the instructions that tell them apart.

qemu lists the code that it translates (`-d in_asm`), which is code that ran at least once. The words are decoded here:
its own disassembler does not know all of them. Encodings: Arm Architecture Reference Manual for A-profile, C4.1.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

# name -> (mask, value) of each form: vector by vector, and by one element.
_FORMS: dict[str, tuple[tuple[int, int], ...]] = {
    "bfmmla": ((0xFFE0FC00, 0x6E40EC00),),
    "fmla": ((0xBFA0FC00, 0x0E20CC00), (0xBF80F400, 0x0F801000)),
    "sdot": ((0xBFE0FC00, 0x0E809400), (0xBFC0F400, 0x0F80E000)),
    "smlal": ((0xBF20FC00, 0x0E208000), (0xBF00F400, 0x0F002000)),
    "smmla": ((0xFFE0FC00, 0x4E80A400),),
    "udot": ((0xBFE0FC00, 0x2E809400), (0xBFC0F400, 0x2F80E000)),
    "umlal": ((0xBF20FC00, 0x2E208000), (0xBF00F400, 0x2F002000)),
    "ummla": ((0xFFE0FC00, 0x6E80A400),),
    "usdot": ((0xBFE0FC00, 0x0E809C00), (0xBFC0F400, 0x0F80F000)),
    "usmmla": ((0xFFE0FC00, 0x4E80AC00),),
}
_LINE = re.compile(r"^0x([0-9a-f]+):\s+([0-9a-f]{8})\b")


def instruction(word: int) -> str | None:
    """The name of an instruction that is told apart; None for any other."""
    for name, forms in _FORMS.items():
        if any(word & mask == value for mask, value in forms):
            return name
    return None


def instructions(log: Iterable[str]) -> Counter[str]:
    """How many places of the code that ran have each instruction."""
    seen: dict[str, str] = {}
    for line in log:
        if (found := _LINE.match(line)) and (name := instruction(int(found.group(2), 16))):
            seen[found.group(1)] = name
    return Counter(seen.values())
