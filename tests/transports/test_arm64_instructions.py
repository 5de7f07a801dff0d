"""Instructions of Arm by their words, as GNU's assembler writes them."""

from __future__ import annotations

import pytest

from squeeze.transports.arm64_instructions import instruction, instructions

ASSEMBLED = {
    "udot v0.4s, v1.16b, v2.16b": (0x6E829420, "udot"),
    "udot v0.4s, v1.16b, v2.4b[1]": (0x6FA2E020, "udot"),
    "sdot v3.2s, v31.8b, v30.8b": (0x0E9E97E3, "sdot"),
    "sdot v0.4s, v1.16b, v18.4b[3]": (0x4FB2E820, "sdot"),
    "ummla v0.4s, v1.16b, v2.16b": (0x6E82A420, "ummla"),
    "smmla v9.4s, v1.16b, v2.16b": (0x4E82A429, "smmla"),
    "usmmla v0.4s, v1.16b, v2.16b": (0x4E82AC20, "usmmla"),
    "usdot v0.4s, v1.16b, v2.16b": (0x4E829C20, "usdot"),
    "usdot v0.4s, v1.16b, v2.4b[2]": (0x4F82F820, "usdot"),
    "bfmmla v0.4s, v1.8h, v2.8h": (0x6E42EC20, "bfmmla"),
    "fmla v0.4s, v1.4s, v2.4s": (0x4E22CC20, "fmla"),
    "fmla v0.4s, v1.4s, v2.s[3]": (0x4FA21820, "fmla"),
    "fmla v0.2d, v1.2d, v2.d[1]": (0x4FC21820, "fmla"),
    "smlal v0.8h, v1.8b, v2.8b": (0x0E228020, "smlal"),
    "smlal2 v0.4s, v1.8h, v2.8h": (0x4E628020, "smlal"),
    "smlal v0.4s, v1.4h, v2.h[7]": (0x0F722820, "smlal"),
    "umlal v0.4s, v1.4h, v2.4h": (0x2E628020, "umlal"),
    "umlal2 v0.8h, v1.16b, v2.16b": (0x6E228020, "umlal"),
    "add v0.4s, v1.4s, v2.4s": (0x4EA28420, None),
    "fmul v0.4s, v1.4s, v2.4s": (0x6E22DC20, None),
    "fmls v0.4s, v1.4s, v2.4s": (0x4EA2CC20, None),
    "mul v0.4s, v1.4s, v2.4s": (0x4EA29C20, None),
    "mla v0.4s, v1.4s, v2.4s": (0x4EA29420, None),
    "smull v0.8h, v1.8b, v2.8b": (0x0E22C020, None),
    "sudot v0.4s, v1.16b, v2.4b[0]": (0x4F02F020, None),
}


@pytest.mark.parametrize("text", ASSEMBLED)
def test_an_instruction_is_known_by_its_word(text: str) -> None:
    word, name = ASSEMBLED[text]
    assert instruction(word) == name


def test_a_place_counts_once_however_often_it_is_translated() -> None:
    log = [
        "IN: ",
        "0x5502c122f0:  6e829420  udot     v0.4s, v1.16b, v2.16b",
        "0x5502c122f4:  6e82a420  .byte    0x20, 0xa4, 0x82, 0x6e",
        "0x5502c122f8:  4ea28420  add      v0.4s, v1.4s, v2.4s",
        "0x5502c122f0:  6e829420  udot     v0.4s, v1.16b, v2.16b",
        "0x5502c12300:  6e829420  udot     v0.4s, v1.16b, v2.16b",
    ]
    assert instructions(log) == {"udot": 2, "ummla": 1}
