"""Shapes for one run of a model whose sizes may vary: what was asked for, what the model hints at, else round numbers.

An axis that may vary is, in this order: what was asked for its input; the size that another input has under the same
name; 1 for the batch; what the file's metadata tell (`imgsz`, `input_size`, ...: height and width of images;
`max_position_embeddings`: the most tokens); or a round number by kind of input. What was not asked for is said in
words.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from squeeze.errors import ConfigError, unknown
from squeeze.interface import is_of_a_sample, named_batch_axes
from squeeze.runtimes.signature import Input, sized

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The shape for any input with as many axes, where one is given without a name.
ANY = ""
Shape = tuple[int, ...]

_HINTS = ("imgsz", "input_size", "image_size", "img_size", "input_shape", "input_resolution")
# As `squeeze.runtimes.signature` calls them.
_NAMELESS = re.compile(r"dim\d+")
_MOST_TOKENS = "max_position_embeddings"
_LARGEST_HINT = 1 << 14
_CHANNELS = (1, 3, 4)
_COLOURS = 3
_IMAGE = 224
_VOLUME = 32
_SEQUENCE = 128
_SECOND = 16_000  # a waveform: one second of speech
_ELSE = 16


def shapes_of(
    inputs: Sequence[Input], given: Mapping[str, Sequence[int]], hints: Mapping[str, str]
) -> tuple[dict[str, Shape], tuple[str, ...]]:
    """The shape of each input, batch included, and what was assumed.

    given: by input, or under `ANY`. hints: the file's metadata. Raises ConfigError for a shape that fits no input.
    """
    asked = _asked(inputs, given)
    named: dict[str, int] = {}
    for needs in inputs:
        if needs.name in asked:
            named |= _by_name(needs, asked[needs.name])
    found, assumed = dict(asked), []
    for needs in inputs:
        if needs.name in asked:
            continue
        shape = tuple(
            d
            if isinstance(d, int) and d > 0
            else named.get(_name(needs, axis)) or _size(needs, axis, hints)
            for axis, d in enumerate(needs.shape)
        )
        guessed = [
            str(d)
            for axis, d in enumerate(needs.shape)
            if axis != batch_of(needs) and _varies(d) and _name(needs, axis) not in named
        ]
        named |= _by_name(needs, shape)
        found[needs.name] = shape
        if guessed:
            text = "x".join(map(str, shape))
            option = shlex.quote(f"{needs.name}={text}")
            assumed.append(
                f"input '{needs.name}' is {text}: {', '.join(guessed)} may vary (--shape {option} says others)"
            )
    return {needs.name: found[needs.name] for needs in inputs}, tuple(assumed)


def unsaid(
    inputs: Sequence[Input], given: Mapping[str, Sequence[int]], hints: Mapping[str, str]
) -> str | None:
    """Which sizes nobody says, neither `given` nor `hints`, and the option that does; None where all are known.

    What is given is what `shapes_of` takes.
    """
    asked = _asked(inputs, given)
    said = {d for n in inputs if n.name in asked for d in _by_name(n, asked[n.name])}
    shapes, _ = shapes_of(inputs, given, hints)
    for needs in inputs:
        if needs.name in asked:
            continue
        free = [
            str(d)
            for axis, d in enumerate(needs.shape)
            if _varies(d) and _name(needs, axis) not in said and axis != batch_of(needs)
            if not (_hinted(hints) and axis in _planes(needs))
        ]
        if free:
            shape = "x".join(map(str, shapes[needs.name]))
            option = shlex.quote(f"{needs.name}={shape}")
            return f"{', '.join(free)} of input '{needs.name}' may vary; --shape {option} says them"
    return None


def batch_of(needs: Input) -> int | None:
    """The axis that is named like a batch; else the first, unless it may vary and is called a size of one sample."""
    named = named_batch_axes(needs.shape)
    if named:
        return named[0]
    first = next(iter(needs.shape), None)
    return None if first is None or is_of_a_sample(first) else 0


def _by_name(needs: Input, shape: Sequence[int]) -> dict[str, int]:
    """The sizes that may vary, by what tells that one of another input is the same."""
    named = enumerate(zip(needs.shape, shape, strict=True))
    return {_name(needs, axis): size for axis, (d, size) in named if isinstance(d, str)}


def _name(needs: Input, axis: int) -> str:
    """Of a size that the file gives no name the axis says nothing, unless it is the batch."""
    name = str(needs.shape[axis])
    if not _NAMELESS.fullmatch(name):
        return name
    return "" if axis == batch_of(needs) else f"{needs.name}[{axis}]"


def _asked(inputs: Sequence[Input], given: Mapping[str, Sequence[int]]) -> dict[str, Shape]:
    """What was given, checked, by input."""
    names = [needs.name for needs in inputs]
    for name in given:
        if name != ANY and name not in names:
            raise ConfigError(unknown("--shape: input of the model", name, names))
    asked = {n.name: sized(n, given[n.name]) for n in inputs if n.name in given}
    if ANY in given:
        shape = given[ANY]
        free = [n for n in inputs if n.name not in asked]
        # Of none that has as many axes the first one says what it takes.
        fitting = [n for n in free if len(n.shape) == len(shape)] or free[:1]
        asked |= {n.name: sized(n, shape) for n in fitting}
    return asked


def _varies(size: int | str) -> bool:
    """Some exporters write -1 or 0 for a size that may vary."""
    return isinstance(size, str) or size < 1


def _size(needs: Input, axis: int, hints: Mapping[str, str]) -> int:
    """A size for an axis that may vary and that nobody spoke of."""
    rank, batch = len(needs.shape), batch_of(needs)
    if axis == batch:
        return 1
    whole = _is_whole(needs)
    planes = _planes(needs)
    if planes:
        if axis == _channel(needs.shape):
            return _COLOURS
        hinted = _hinted(hints)
        return hinted[planes.index(axis)] if hinted and axis in planes else _IMAGE
    if rank == 5 and not whole:
        return _VOLUME
    if rank == 2 and not whole and batch == 0:
        return _SECOND
    if rank not in (2, 3):
        return _ELSE
    most = hints.get(_MOST_TOKENS, "")
    return min(_SEQUENCE, max(1, int(most))) if whole and most.isdecimal() else _SEQUENCE


def _is_whole(needs: Input) -> bool:
    return needs.dtype.kind in "iub" and needs.dtype.itemsize > 1


def _planes(needs: Input) -> list[int]:
    """The axes of height and width of an image; none of another kind of input."""
    if len(needs.shape) != 4 or _is_whole(needs):
        return []
    return [i for i in range(4) if i not in (_channel(needs.shape), 0)]


def _channel(shape: Sequence[int | str]) -> int:
    """The axis of channels of an image: the last where that is a number of colours, else the second."""
    return 3 if shape[3] in _CHANNELS and shape[1] not in _CHANNELS else 1


def _hinted(hints: Mapping[str, str]) -> tuple[int, int] | None:
    """Height and width that the file's metadata tell, such as "[640, 640]", "640" or "3, 320, 320"."""
    for name in _HINTS:
        numbers = [int(n) for n in re.findall(r"\d{1,9}", hints.get(name, ""))]
        sizes = [n for n in numbers if len(numbers) < 3 or n not in _CHANNELS]
        if sizes and all(8 <= n <= _LARGEST_HINT for n in sizes[-2:]):
            return sizes[-2:][0], sizes[-1]
    return None
