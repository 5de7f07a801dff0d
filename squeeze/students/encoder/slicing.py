"""A smaller encoder as the first rows and columns of a larger one's weights, and some of its layers.

Behind AutoDistil (Xu et al., "Few-shot Task-agnostic Neural Architecture Search for Distilling Large Language Models",
2022): a child of a weight-sharing network is a prefix. Which heads and channels come first is somebody else's to
decide, by sorting the larger one's weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from squeeze.errors import ConfigError
from squeeze.students.encoder.params import Dense, Params

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SIZES = ("layers", "hidden", "heads", "ffn")


def sliced(
    state: Mapping[str, Tensor], large: Params, small: Params, kept: Sequence[int]
) -> dict[str, Tensor]:
    """The weights of an encoder of `small`, as views of `state`, which is that of one of `large`.

    kept: the layers of `large` that `small` has, in the order in which they run. Normalisation is over the width that
    is left. Raises ConfigError where `small` is larger, or differs in more than layers, hidden, heads and ffn.
    """
    check_within(large, small)
    hidden, attention, ffn = small.hidden, small.attention, small.ffn
    shapes = {
        "query": (attention, hidden),
        "key": (attention, hidden),
        "value": (attention, hidden),
        "out": (hidden, attention),
        "norm1": (hidden, hidden),
        "up": (ffn, hidden),
        "down": (hidden, ffn),
        "norm2": (hidden, hidden),
    }
    places = {old: new for new, old in enumerate(kept)}
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        part, *rest = name.split(".")
        if part == "layers":
            if int(rest[0]) not in places:
                continue
            rows, columns = shapes[rest[1]]
            name = f"layers.{places[int(rest[0])]}.{rest[1]}.{rest[2]}"
            found[name] = value[:rows, :columns] if value.ndim == 2 else value[:rows]
        elif part == "project" or (large.embedding is None and part in ("norm", "patch", "factor")):
            found[name] = value[:hidden]
        elif part == "relative":
            found[name] = value[:, : small.heads]
        elif (
            (large.embedding is None and part in ("position", "segment"))
            or (large.embedding is None and part == "word" and large.rank is None)
            or (part == "tail" and rest == ["0", "weight"])
        ):
            found[name] = value[:, :hidden]
        else:
            found[name] = value
    return found


def check_within(large: Params, small: Params) -> None:
    """Raises ConfigError unless `small` is a prefix of `large`."""
    if large.each or small.each:
        raise ConfigError(
            "encoder: one whose layers differ in their sizes is no prefix, and has none"
        )
    for name in _SIZES:
        if getattr(small, name) > getattr(large, name):
            raise ConfigError(
                f"encoder: {name} {getattr(small, name)} is more than the {getattr(large, name)} it is cut from"
            )
    sizes = {name: getattr(small, name) for name in _SIZES}
    if large.model_copy(update=sizes) != small:
        raise ConfigError(f"encoder: a part of a larger one differs in {', '.join(_SIZES)} alone")
    if small.hidden < large.hidden and not large.tail:
        raise ConfigError("encoder: a narrower one needs a layer behind it that widens its output")


def fresh_tail(params: Params, state: Mapping[str, Tensor]) -> tuple[Params, dict[str, Tensor]]:
    """The same encoder with a layer behind it, so that narrower ones give outputs of its width; it changes nothing.

    Where there is one already nothing is added.
    """
    if params.tail:
        return params, dict(state)
    tail = (Dense(outputs=params.hidden),)
    return params.model_copy(update={"tail": tail}), {
        **state,
        "tail.0.weight": torch.eye(params.hidden),
        "tail.0.bias": torch.zeros(params.hidden),
    }
