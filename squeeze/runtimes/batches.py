"""A feed of any number of samples for a file that fixes how many it takes at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from squeeze.errors import ConfigError
from squeeze.runtimes.ort import session
from squeeze.runtimes.runtime import Array
from squeeze.runtimes.signature import Input, signature


def inputs_of(model: Path) -> tuple[Input, ...]:
    """What an ONNX file takes. Raises MeasureError when it cannot be opened."""
    return signature(session(model, optimise=False, native=False))


def outputs_of(model: Path) -> tuple[str, ...]:
    """The names of what an ONNX file gives, in its order. Raises as `inputs_of` does."""
    return tuple(o.name for o in session(model, optimise=False, native=False).get_outputs())


def runs_of(inputs: Sequence[Input], feed: Mapping[str, Array]) -> list[dict[str, Array]]:
    """`feed` as one run, or as several where it has a multiple of the batch that the file fixes.

    Raises ConfigError for an input that is missing or of another shape.
    """
    for needs in inputs:
        if needs.name not in feed:
            raise ConfigError(f"input '{needs.name}': nothing given; got {', '.join(feed)}")
    whole = {needs.name: np.asarray(feed[needs.name], needs.dtype, order="C") for needs in inputs}
    if all(_fits(needs, whole[needs.name]) for needs in inputs):
        return [whole]
    batched = {n.name: n.shape[0] for n in inputs if n.shape and isinstance(n.shape[0], int)}
    counts: set[float] = {
        len(whole[name]) / size if whole[name].ndim and size else 0.0
        for name, size in batched.items()
    }
    count = counts.pop() if len(counts) == 1 else 0.0
    if count < 1 or not count.is_integer():
        raise ConfigError(_misfit(inputs, whole))
    runs = [
        {
            n: x[i * batched[n] : (i + 1) * batched[n]] if n in batched else x
            for n, x in whole.items()
        }
        for i in range(int(count))
    ]
    if not all(_fits(n, runs[0][n.name]) for n in inputs):
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
