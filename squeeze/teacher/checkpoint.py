"""The weights of a model inside of a checkpoint: found by what fits the model, wherever the training script put them.

Looked at are all dictionaries of tensors, at most four deep, those under usual names first, and their names without the
prefixes that wrappers put before them. What fits the model wholly is taken. Tensors beside a prefix (the counter of an
averaged model, a loss with weights) are left out, and said.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from squeeze.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

logger = logging.getLogger(__name__)

_SHOWN = 3
_SHOWN_KEYS = 8
_DEEPEST = 3  # dots in a place
# How training scripts call the state, the likeliest first; any other name is tried after them.
_NAMES = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "weights",
    "params",
    "ema",
    "ema_state_dict",
    "model_ema",
)
# DataParallel and averaged models, torch.compile, training frameworks, wrapping modules.
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")


@dataclass(frozen=True)
class _Candidate:
    """A dictionary of tensors. place: the keys that lead to it, with dots; empty for the file's own. left_out: names of
    tensors without the prefix that was taken off the others."""

    place: str
    tensors: Mapping[str, torch.Tensor]
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"'{self.place}'" if self.place else "the file's own tensors"


def fitting(
    found: Any,  # Any: what a file of weights held
    wanted: Mapping[str, Any],  # Any: a state_dict may hold more than tensors
    path: Path,
    source: str,
) -> dict[str, torch.Tensor]:
    """The weights in `found`, read from `path`, by the names in `wanted`: the state_dict of the module of `source`.

    Raises ConfigError, saying what there is, when nothing fits wholly.
    """
    if not isinstance(found, dict) or not found:
        raise ConfigError(
            f"{path}: holds a {type(found).__name__}, wanted the dict of state_dict()"
        )
    candidates = list(_candidates(found, ""))
    whole = [c for c in candidates if not _problems(c, wanted)]
    if not whole:
        raise ConfigError(_misfit(candidates, found, wanted, path, source))
    chosen = whole[0]
    others = sorted({str(c) for c in whole if c.place != chosen.place})
    if others:
        logger.warning("%s: took %s; %s fits as well", path, chosen, others[0])
    if chosen.left_out:
        logger.warning("%s: left out %s", path, ", ".join(chosen.left_out[:_SHOWN]))
    return dict(chosen.tensors)


def _candidates(found: Mapping[Any, Any], place: str) -> Iterator[_Candidate]:  # Any: see above
    tensors = {str(k): v for k, v in found.items() if isinstance(v, torch.Tensor)}
    if tensors:
        yield from _without_prefixes(_Candidate(place, tensors))
    keys = sorted(found, key=lambda k: _NAMES.index(k) if k in _NAMES else len(_NAMES))
    for key in keys:
        inner = f"{place}.{key}" if place else str(key)
        if isinstance(found[key], dict) and inner.count(".") < _DEEPEST:
            yield from _candidates(found[key], inner)


def _without_prefixes(one: _Candidate) -> Iterator[_Candidate]:
    """The candidate as it is, and with one prefix after the other taken off."""
    yield one
    counts = {p: sum(name.startswith(p) for name in one.tensors) for p in _PREFIXES}
    prefix = max(counts, key=lambda p: counts[p])
    if counts[prefix] * 2 > len(one.tensors):
        rest = {n.removeprefix(prefix): t for n, t in one.tensors.items() if n.startswith(prefix)}
        beside = tuple(n for n in one.tensors if not n.startswith(prefix))
        yield from _without_prefixes(_Candidate(one.place, rest, (*one.left_out, *beside)))


def _problems(one: _Candidate, wanted: Mapping[str, Any]) -> list[str]:  # Any: see above
    """What keeps the candidate from fitting, in words."""
    tensors = {k: v for k, v in wanted.items() if isinstance(v, torch.Tensor)}
    got = one.tensors
    missing = [k for k in tensors if k not in got and not k.endswith("num_batches_tracked")]
    extra = [k for k in got if k not in wanted]
    other = [
        f"{k} {list(got[k].shape)} instead of {list(v.shape)}"
        for k, v in tensors.items()
        if k in got and got[k].shape != v.shape
    ]
    return [
        f"{len(names)} {what} ({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"
        for what, names in (("missing", missing), ("unknown", extra), ("of another shape", other))
        if names
    ]


def _fits(one: _Candidate, wanted: Mapping[str, Any]) -> int:  # Any: see above
    """How many of the wanted tensors are there in their shape."""
    return sum(
        k in one.tensors and one.tensors[k].shape == v.shape
        for k, v in wanted.items()
        if isinstance(v, torch.Tensor)
    )


def _misfit(
    candidates: list[_Candidate],
    found: Mapping[Any, Any],  # Any: see above
    wanted: Mapping[str, Any],
    path: Path,
    source: str,
) -> str:
    keys = ", ".join(str(k) for k in list(found)[:_SHOWN_KEYS])
    keys += f", ... ({len(found)} keys)" if len(found) > _SHOWN_KEYS else ""
    if not candidates:
        return (
            f"{path}: holds no tensors by name, but {keys}; allowed: the dict of model.state_dict(), alone or under a "
            "key such as state_dict or model"
        )
    best = max(candidates, key=lambda c: _fits(c, wanted))
    count, fits = sum(isinstance(v, torch.Tensor) for v in wanted.values()), _fits(best, wanted)
    inside = "" if best.place == "" and len(candidates) == 1 else f" {best} of ({keys})"
    return (
        f"{path}: does not fit {source}:{inside} of {count} tensors {fits} fit; "
        f"{'; '.join(_problems(best, wanted))}. Give the weights of this very model"
    )
