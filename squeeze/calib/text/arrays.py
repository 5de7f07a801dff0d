"""From tokens to the arrays that a model takes: one length for all samples, padding, masks, inputs by their names.

Length: the 99th percentile of the samples, or what the model fixes, and no more than it takes; what is longer is cut,
and counted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from squeeze.calib.keys import ONLY
from squeeze.calib.rows import Array
from squeeze.calib.text.tokenizer import Tokenizer, Tokens
from squeeze.end import End
from squeeze.errors import ConfigError
from squeeze.interface import named_batch_axes

Kind = Literal["ids", "mask", "types"]

_PERCENTILE = 99
_NAMES: dict[Kind, re.Pattern[str]] = {
    "mask": re.compile(r"(.*[_.])?(attention_mask|attn_mask|input_mask|mask|masks)(_\d+)?", re.I),
    "types": re.compile(
        r"(.*[_.])?(token_type_ids|token_types|segment_ids|segments|type_ids)(_\d+)?", re.I
    ),
    "ids": re.compile(r"(.*[_.])?(input_ids|token_ids|ids|tokens|input_tokens)(_\d+)?", re.I),
}


@dataclass(frozen=True)
class Wanted:
    """Input -> what of the tokens it takes, and its type; fixed: the length that the model fixes."""

    kinds: dict[str, Kind]
    dtypes: dict[str, str]
    fixed: int | None


def is_mask(name: str) -> bool:
    """Whether an input is called as masks are."""
    return _NAMES["mask"].fullmatch(name) is not None


def wanted(ends: Sequence[End] | None, without: set[str], source: str) -> Wanted:
    """What a model takes. ends: its inputs, None where they are not known; without: those that other things fill.

    Raises ConfigError for an input that no tokenizer gives.
    """
    if ends is None:
        return Wanted({ONLY: "ids"}, {ONLY: "int64"}, None)
    kinds: dict[str, Kind] = {}
    for end in ends:
        kind = next((k for k, names in _NAMES.items() if names.fullmatch(end.name)), None)
        if kind is None and len(ends) == 1:
            kind = "ids"
        if kind is None and end.name in without:
            continue
        if kind is None or np.dtype(end.dtype).kind not in ("biuf" if kind == "mask" else "iu"):
            raise ConfigError(
                f"{source}: a tokenizer gives nothing for the model's input {end}; it gives integers called input_ids, "
                "attention_mask and token_type_ids"
            )
        kinds[end.name] = kind
    if "ids" not in kinds.values():
        raise ConfigError(
            f"{source}: the model takes {', '.join(map(str, ends))}, of which none is called as ids of tokens are: "
            "input_ids"
        )
    known = {end.name: end for end in ends}
    lengths = {size for n in kinds if (size := _length(known[n])) is not None}
    return Wanted(kinds, {n: known[n].dtype for n in kinds}, min(lengths, default=None))


def _length(end: End) -> int | None:
    """The length that an input [batch, length] fixes."""
    sizes = end.sizes or ()
    if len(sizes) != 2:
        return None
    batch = next(iter(named_batch_axes(sizes)), 0)
    size = sizes[1 - batch]
    return size if isinstance(size, int) and size > 0 else None


@dataclass(frozen=True)
class Length:
    """tokens: of every sample; cut: how many samples were longer; why: what decided it."""

    tokens: int
    cut: int
    why: str


def length_for(
    counts: Sequence[int], tokenizer: Tokenizer, fixed: int | None, asked: int | None
) -> Length:
    """counts: tokens of each sample. Raises ConfigError where more are asked for than the model has positions."""
    most = max(counts)
    if asked is not None and tokenizer.positions is not None and asked > tokenizer.positions:
        raise ConfigError(
            f"--max-length {asked}: the model takes at most {tokenizer.positions} tokens (config.json)"
        )
    if fixed is not None:
        tokens, why = fixed, "the length that the model fixes"
    elif asked is not None:
        tokens, why = min(asked, most), "as the longest has" if most <= asked else "--max-length"
    else:
        usual = int(np.ceil(np.percentile(counts, _PERCENTILE)))
        longest, where = tokenizer.longest
        tokens = min(usual, longest)
        why = f"the {_PERCENTILE}th percentile" if usual <= longest else f"the most, says {where}"
    return Length(tokens, sum(count > tokens for count in counts), why)


def padded(
    found: Sequence[Tokens], tokenizer: Tokenizer, needs: Wanted, length: int
) -> dict[str, Array]:
    """Input -> [n, length]; no sample is longer."""
    arrays: dict[str, Array] = {}
    for name, kind in needs.kinds.items():
        empty = tokenizer.pad_id if kind == "ids" else 0
        x = np.full((len(found), length), empty, needs.dtypes[name])
        for row, tokens in zip(x, found, strict=True):
            values: Any = {"ids": tokens.ids, "types": tokens.types}.get(kind, 1)
            row[place(len(tokens.ids), length, left=tokenizer.pads_left)] = values
        arrays[name] = x
    return arrays


def place(count: int, length: int, *, left: bool) -> slice:
    """Where so many tokens are in a padded row."""
    return slice(length - count, length) if left else slice(0, count)
