"""Inputs that need no data: states that begin at zero, constants that a TOML names, and lengths of sequences.

A state is an input that the model gives back: `state` and `stateN`, `h` and `hn`, `h_in` and `h_out`,
`past_key_values.0` and `present.0`. Names are compared without what says that a value is old or new; type and sizes
have to agree, and at least one input has to be something else. One that grows, which is what a decoder has seen before,
begins empty: each sample is a text of its own, and its mask is as long as its tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from squeeze.calib.rows import Array, Raw
from squeeze.end import End
from squeeze.errors import ConfigError, unknown
from squeeze.interface import named_batch_axes

_OLD = {"0", "in", "init", "initial", "input", "last", "old", "past", "prev", "previous"}
_NEW = {"1", "curr", "n", "new", "next", "out", "output", "present", "updated"}
_CACHES = {"past_key_values": "past", "past_key_value": "past"}
_LENGTH = re.compile(r"(.*[_.])?(len|lens|length|lengths|seq_?lens?|seq_?lengths?)", re.I)


@dataclass(frozen=True)
class Fills:
    """What stands for inputs without arrays. states: input -> output that gives its next value. outputs: all of the
    model's."""

    inputs: Mapping[str, End]
    states: Mapping[str, str]
    constants: Mapping[str, float]
    lengths: tuple[str, ...]
    outputs: Mapping[str, End] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """All inputs that can do without an array."""
        return {*self.states, *self.constants, *self.lengths}

    def grows(self, name: str) -> list[str]:
        """The sizes of a state that its next value has more of: what a decoder has seen before."""
        given = self.outputs.get(self.states.get(name, ""))
        taken = self.inputs[name].sizes or ()
        if name in self.constants or given is None or len(given.sizes or ()) != len(taken):
            return []
        pairs = zip(taken, given.sizes or (), strict=True)
        return [old for old, new in pairs if isinstance(old, str) and old and old != new]

    def array(self, name: str, beside: Mapping[str, Raw]) -> tuple[Array, str]:
        """Samples [n, ...] for one input, beside the arrays that there are, and what was assumed."""
        end, samples = self.inputs[name], len(next(iter(beside.values())))
        grows = self.grows(name)
        shape = _sample_shape(end, {**dict.fromkeys(grows, 0), **_sizes(self.inputs, beside)})
        if name in self.constants:
            value = np.asarray(self.constants[name])
            if np.dtype(end.dtype).kind in "iu" and value != int(value):
                raise ConfigError(
                    f"constants.{name}: got {float(value):g}, the model takes {end.dtype}; give a whole number"
                )
            said = f"input '{name}' is {float(value):g} for all samples"
        elif name in self.lengths:
            value = np.asarray(_length(self.inputs, beside))
            said = f"input '{name}' is {int(value)}, the length of the samples"
        elif grows:
            value, said = np.asarray(0), f"state '{name}' begins empty"
        else:
            value, said = np.asarray(0), f"state '{name}' begins at zero"
        return np.broadcast_to(value.astype(end.dtype), (samples, *shape)), said


def fills(
    inputs: Sequence[End],
    outputs: Sequence[End],
    states: Mapping[str, str],
    constants: Mapping[str, float],
    where: str,
) -> Fills:
    """What can stand for inputs that the data lack. states (output -> input) and constants as a TOML names them.

    Raises ConfigError for names that the model does not have.
    """
    names, gives = [end.name for end in inputs], [end.name for end in outputs]
    for key, name, allowed in (
        *(("states: input of the model", name, names) for name in states.values()),
        *(("states: output of the model", name, gives) for name in states),
        *(("constants: input of the model", name, names) for name in constants),
    ):
        if name not in allowed:
            raise ConfigError(unknown(f"{where}: {key}", name, allowed))
    given = {into: output for output, into in states.items()}
    found = {**_paired(inputs, outputs), **given}
    lengths = tuple(
        end.name
        for end in inputs
        if _LENGTH.fullmatch(end.name)
        and np.dtype(end.dtype).kind in "iu"
        and len(end.sizes or ()) <= 1
    )
    given_by = {end.name: end for end in outputs}
    return Fills({end.name: end for end in inputs}, found, dict(constants), lengths, given_by)


def _paired(inputs: Sequence[End], outputs: Sequence[End]) -> dict[str, str]:
    """Input -> output, where names, types and sizes say that one is the next value of the other."""
    found: dict[str, str] = {}
    for end in inputs:
        stem = _stem(end.name, _OLD)
        same = [o.name for o in outputs if stem and _stem(o.name, _NEW) == stem and _alike(end, o)]
        if len(same) == 1 and same[0] not in found.values():
            found[end.name] = same[0]
    return found if len(found) < len(inputs) else {}


def _stem(name: str, words: set[str]) -> tuple[str, ...]:
    """The name's parts without `words`: ("state",) of stateN, state_out and new_state."""
    for long, short in _CACHES.items():
        name = name.replace(long, short)
    parts = [p for p in re.split(r"[_.\-/:]|(?<=[a-z0-9])(?=[A-Z])|(?<=[a-z])(?=[0-9])", name) if p]
    whole = [p.lower() for p in parts]
    left = [p for p in whole if p not in words]
    if left == whole and len(whole) == 1 and len(whole[0]) == 2 and whole[0][1] == "n":
        left = [whole[0][0]]  # hn, cn
    # Digits tell layers apart: of past.0.key the 0 stays.
    if "past" in whole or "present" in whole:
        left = [p for p in whole if p not in words or p.isdigit()]
    return tuple(left)


def _alike(taken: End, given: End) -> bool:
    if taken.dtype != given.dtype:
        return False
    if taken.sizes is None or given.sizes is None:
        return True
    return len(taken.sizes) == len(given.sizes) and all(
        isinstance(a, str) or isinstance(b, str) or a == b
        for a, b in zip(taken.sizes, given.sizes, strict=True)
    )


def _sizes(inputs: Mapping[str, End], beside: Mapping[str, Raw]) -> dict[str, int]:
    """The sizes that the model names, by the arrays that there are."""
    found: dict[str, int] = {}
    for name, x in beside.items():
        end = inputs.get(name)
        if end is not None and end.sizes is not None and len(end.sizes) == x.ndim:
            batch = next(iter(named_batch_axes(end.sizes)), 0)
            left = [d for i, d in enumerate(end.sizes) if i != batch]
            pairs = zip(left, x.shape[1:], strict=True)
            found |= {d: size for d, size in pairs if isinstance(d, str) and d}
    return found


def _sample_shape(end: End, named: Mapping[str, int]) -> tuple[int, ...]:
    """Of one sample, without the batch; `named` sizes, and 1 for others that may vary."""
    sizes = end.sizes or ()
    # Where none is called a batch, a first axis that may vary, or the only one that does.
    varying = [i for i, d in enumerate(sizes) if isinstance(d, str)]
    axes = named_batch_axes(sizes) or (varying if 0 in varying or len(varying) == 1 else [])
    batch = axes[0] if axes else None
    return tuple(
        d if isinstance(d, int) and d > 0 else named.get(str(d), 1)
        for i, d in enumerate(sizes)
        if i != batch
    )


def _length(inputs: Mapping[str, End], beside: Mapping[str, Raw]) -> int:
    """Of the first array with more than single numbers: its axis that may vary in the model, else its longest."""
    name, x = next(((n, x) for n, x in beside.items() if x.ndim > 1), next(iter(beside.items())))
    end = inputs.get(name)
    sample = x.shape[1:]
    if end is not None and end.sizes is not None and len(end.sizes) == len(sample) + 1:
        batch = next(iter(named_batch_axes(end.sizes)), 0)
        left = [d for i, d in enumerate(end.sizes) if i != batch]
        free = [size for d, size in zip(left, sample, strict=True) if isinstance(d, str)]
        if free:
            return int(free[0])
    return int(max(sample, default=1))
