"""A feed of any number of samples for a file that fixes how many it takes at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from squeeze.errors import ConfigError
from squeeze.runtimes.runtime import Array
from squeeze.runtimes.signature import Input


def runs_of(inputs: Sequence[Input], feed: Mapping[str, Array]) -> list[dict[str, Array]]:
    """`feed` as one run, or as one for each sample where the file takes a batch of 1.

    Raises ConfigError for an input that is missing or of another shape.
    """
    for needs in inputs:
        if needs.name not in feed:
            raise ConfigError(f"input '{needs.name}': nothing given; got {', '.join(feed)}")
    whole = {needs.name: np.asarray(feed[needs.name], needs.dtype, order="C") for needs in inputs}
    if all(_fits(needs, whole[needs.name]) for needs in inputs):
        return [whole]
    batched = [n for n in inputs if n.shape and n.shape[0] == 1]
    counts = {len(whole[n.name]) for n in batched if whole[n.name].ndim}
    if len(counts) != 1:
        raise ConfigError(_misfit(inputs, whole))
    runs = [
        {**whole, **{n.name: whole[n.name][i : i + 1] for n in batched}}
        for i in range(counts.pop())
    ]
    if not runs or not all(_fits(n, runs[0][n.name]) for n in inputs):
        raise ConfigError(_misfit(inputs, whole))
    return runs


def joined_runs(found: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Outputs of `runs_of`, sample after sample."""
    if len(found) == 1:
        return dict(found[0])
    return {name: np.concatenate([np.atleast_1d(one[name]) for one in found]) for name in found[0]}


def _fits(needs: Input, x: Array) -> bool:
    return x.ndim == len(needs.shape) and all(
        isinstance(need, str) or need == got for need, got in zip(needs.shape, x.shape, strict=True)
    )


def _misfit(inputs: Sequence[Input], feed: Mapping[str, Array]) -> str:
    wrong = next((n for n in inputs if not _fits(n, feed[n.name])), inputs[0])
    return (
        f"input '{wrong.name}': got shape {list(feed[wrong.name].shape)}, the model takes "
        f"[{', '.join(map(str, wrong.shape))}]"
    )
