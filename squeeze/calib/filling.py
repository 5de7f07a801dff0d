"""Samples for inputs that the data have no arrays for: states, constants, lengths."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from squeeze.calib import keys as calib_keys
from squeeze.calib import states as calib_states
from squeeze.calib.gather import Gathered, Readers
from squeeze.calib.of_model import OfModel
from squeeze.calib.states import Fills
from squeeze.calib.toml import Declared
from squeeze.end import End

logger = logging.getLogger(__name__)

Ends = tuple[tuple[End, ...], tuple[End, ...]]  # inputs and outputs


def fills(ends: Ends | None, declared: Declared, of_model: OfModel, source: str) -> Fills:
    """What can stand for inputs without arrays; nothing where the model's ends are not known."""
    if ends is None:
        if declared.states or declared.constants:
            logger.warning(
                "%s: [states] and [constants] need a model whose inputs are known", source
            )
        return Fills({}, {}, {}, ())
    return calib_states.fills(
        *ends, declared.states, {**of_model.constants, **declared.constants}, source
    )


def with_arrays(
    found: Readers, declared: Declared, inputs: Sequence[str] | None, filled: Fills
) -> Sequence[str] | None:
    """The inputs that arrays are looked for: all but those that can do without one, and have none."""
    if not inputs:
        return inputs
    places = [*declared.arrays.given(), *(calib_keys.claim(array, inputs) for array in found)]
    named = {place.input for place in places if place is not None}
    return [name for name in inputs if name not in filled.names or name in named] or inputs


def fill(
    arrays: dict[str, Gathered],
    missing: list[str],
    asked: Sequence[str] | None,
    filled: Fills,
) -> tuple[str, ...]:
    """Puts samples for the missing inputs into every split, in place; what was assumed."""
    if not missing or asked is None:
        return ()
    said: dict[str, None] = {}
    for split, part in arrays.items():
        here = dict(part.x)
        if len(here) == 1:
            here = {asked[0]: next(iter(here.values()))}
        for name in missing:
            here[name], text = filled.array(name, here)
            said[text] = None
        arrays[split] = replace(part, x=here)
    return tuple(said)
