"""Samples of text in batches of like length, none wider than its longest sample: padding is computed for nobody.

Only where that changes nothing: the model leaves the length open and gives on two samples what it gives on them with
all of their padding. What it gives for padding is 0 either way. A mask tells what is padding; of a model that takes
none the ids do, where we made the padding ourselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from squeeze.calib.rows import Raw, chunks
from squeeze.calib.text.arrays import is_mask
from squeeze.errors import MeasureError
from squeeze.feed import Array, Feed, Padding, padded_width, tokens_of
from squeeze.runtimes.concurrent import in_order

if TYPE_CHECKING:
    from squeeze.calib import Calib, Split
    from squeeze.interface import Interface

Outputs = dict[str, Array]
Infer = Callable[[Feed], Outputs]

_SAME = 1e-3  # of the root mean square of an output: what the order of additions changes in float32
_BATCHES = 8  # that are sorted together: of so many outputs are kept


@dataclass(frozen=True)
class Lengths:
    """tokens: of each sample of the split, [n], which the input `tells` tells: what is behind them is `filler`; width:
    with padding. inputs, outputs: those [n, width, ...]."""

    tokens: Array
    tells: str
    filler: int
    width: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def lengths_of(calib: Calib, split: Split, interface: Interface) -> Lengths | None:
    """None where samples have no lengths of their own, or the model no axis for them. Of arrays that were tokenised
    elsewhere a mask tells them; of those it is None for a model that gives something for each token."""
    text = calib.text
    if text is not None:
        if text.pads_left:
            return None
        inputs = tuple(text.kinds)
        by_kind = {kind: name for name, kind in text.kinds.items()}
        masked = "mask" in by_kind
        tells, filler = (by_kind["mask"], 0) if masked else (by_kind["ids"], text.pad_id)
    else:
        named = [s.name for s in interface.inputs if dict(s.free).get(0) and len(s.shape) == 1]
        masks = [name for name in named if is_mask(name)]
        if len(masks) != 1 or len(named) < 2:
            return None
        inputs, tells, filler, masked = tuple(named), masks[0], 0, True
    names = {dict(spec.free).get(0) for spec in interface.inputs if spec.name in inputs}
    if len(names) != 1 or None in names:
        return None
    (axis,) = names
    of_tokens = [spec for spec in interface.outputs if axis in dict(spec.free).values()]
    if any(dict(spec.free).get(0) != axis for spec in of_tokens) or (of_tokens and text is None):
        return None
    tokens = _tokens(split.arrays[tells], filler, whole=masked)
    if tokens is None:
        return None
    width = split.arrays[tells].shape[1]
    return Lengths(tokens, tells, filler, width, inputs, tuple(s.name for s in of_tokens))


def _tokens(rows: Raw, filler: int, *, whole: bool) -> Array | None:
    """How many of each row [n, width] are before the `filler` at its end; None where that is before them too, and a
    row is `whole`, as a mask is."""
    counts = [np.zeros(0, np.int64)]
    for _, some in chunks(rows):
        inside = some != filler
        counts.append(tokens_of(some, filler))
        if whole and (inside[:, 1:] & ~inside[:, :-1]).any():
            return None
    return np.concatenate(counts)


def padding_of(infer: Infer, calib: Calib, split: Split, interface: Interface) -> Padding | None:
    """What calibration may leave away of the samples of `split`; None where that changes what the model gives, or there
    is nothing. Raises what `infer` raises."""
    lengths = lengths_of(calib, split, interface)
    if lengths is None or not len(split) or not _may_be_short(infer, calib, split, lengths):
        return None
    return Padding(lengths.tells, lengths.inputs, lengths.outputs, lengths.filler)


def without_padding(
    outputs: Mapping[str, Array], calib: Calib, split: Split, interface: Interface
) -> Outputs:
    """Outputs of all samples of `split` that another runtime gave with all padding, as `by_length` gives them."""
    lengths = lengths_of(calib, split, interface)
    found = dict(outputs)
    if lengths is None:
        return found
    for name in lengths.outputs:
        x = outputs[name]
        inside = np.arange(lengths.width) < lengths.tokens[:, None]
        found[name] = x * inside.reshape(*inside.shape, *(1,) * (x.ndim - 2)).astype(x.dtype)
    return found


def by_length(
    infer: Infer, calib: Calib, split: Split, lengths: Lengths, size: int, threads: int
) -> Iterator[Outputs]:
    """Every output for the samples of `split`, in their order, some at a time. Raises what `infer` raises."""
    short = len(split) > 0 and _may_be_short(infer, calib, split, lengths)
    for start in range(0, len(split), _BATCHES * size):
        here = np.arange(start, min(start + _BATCHES * size, len(split)))
        order = here[np.argsort(lengths.tokens[here], kind="stable")]
        batches = [order[i : i + size] for i in range(0, len(order), size)]

        def outputs(batch: Array) -> Outputs:
            width = _width(lengths, batch) if short else lengths.width
            return _given(infer, calib, split, lengths, batch, width)

        whole: Outputs = {}
        for batch, found in zip(batches, in_order(outputs, batches, threads), strict=True):
            for name, values in found.items():
                if name not in whole:
                    whole[name] = np.zeros((len(here), *values.shape[1:]), values.dtype)
                whole[name][batch - start] = values
        yield whole


def _width(lengths: Lengths, batch: Array) -> int:
    return padded_width(int(lengths.tokens[batch].max(initial=1)), lengths.width)


def _given(
    infer: Infer, calib: Calib, split: Split, lengths: Lengths, batch: Array, width: int
) -> Outputs:
    """What the model gives for samples of so many tokens; behind the last of a sample 0, as wide as all."""
    feed = {
        name: x[:, :width] if name in lengths.inputs else x
        for name, x in calib.take(split, batch).items()
    }
    found = infer(feed)
    for name in lengths.outputs:
        values = found[name]
        if values.ndim < 2 or values.shape[1] != width:
            raise MeasureError(
                f"output '{name}': got {list(values.shape)} for samples of {width} tokens"
            )
        wide = np.zeros((len(values), lengths.width, *values.shape[2:]), values.dtype)
        for row, tokens, into in zip(values, lengths.tokens[batch], wide, strict=True):
            into[:tokens] = row[:tokens]
        found[name] = wide
    return found


def _may_be_short(infer: Infer, calib: Calib, split: Split, lengths: Lengths) -> bool:
    """Whether the shortest sample and the middle one, or where that has no padding the shortest alone, give the same
    without the padding that both have."""
    order = np.argsort(lengths.tokens, kind="stable")
    batch = np.unique(order[[0, len(order) // 2]])
    if _width(lengths, batch) == lengths.width:
        batch = order[:1]
    width = _width(lengths, batch)
    if width == lengths.width:
        return True
    whole = _given(infer, calib, split, lengths, batch, lengths.width)
    try:
        short = _given(infer, calib, split, lengths, batch, width)
    except MeasureError:
        return False
    return all(_same(short[name], whole[name]) for name in whole)


def _same(a: Array, b: Array) -> bool:
    if a.shape != b.shape:
        return False
    if b.dtype.kind != "f":
        return bool((a == b).all())
    wide = b.astype(np.float64)
    return bool(np.abs(a - wide).max() <= _SAME * max(np.sqrt(np.mean(wide**2)), 1e-30))
