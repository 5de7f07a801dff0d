"""What a model looks numbers of its data up in, and whether its tables have them: told before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from squeeze.calib.rows import Raw, chunks, value_range
from squeeze.errors import ConfigError


@dataclass(frozen=True)
class Lookups:
    """rows: input -> how many numbers its table tells apart. positions: input -> how many of its tokens the table of
    positions has room for."""

    rows: Mapping[str, int] = field(default_factory=dict)
    positions: Mapping[str, int] = field(default_factory=dict)

    def check(
        self,
        parts: Sequence[Mapping[str, Raw]],
        source: str,
        token_of: Callable[[int], str | None] = lambda _: None,
    ) -> None:
        """Raises ConfigError for a number, or a length, of samples [n, ...] that the model has no row for. token_of:
        what a number stands for, where that is known."""
        for name in dict.fromkeys(name for part in parts for name in part):
            given = [part[name] for part in parts if name in part and len(part[name])]
            if given and np.dtype(given[0].dtype).kind in "iu":
                self._check_length(name, given, source)
                self._check_numbers(name, given, source, token_of)

    def _check_length(self, name: str, given: Sequence[Raw], source: str) -> None:
        room = self.positions.get(name)
        tokens = max(x.shape[-1] for x in given)
        if room is not None and tokens > room:
            raise ConfigError(
                f"{source}: the samples of input '{name}' have {tokens} tokens, the model's table of positions ends at "
                f"{room}; cut them to {room} (of texts: --max-length {room})"
            )

    def _check_numbers(
        self,
        name: str,
        given: Sequence[Raw],
        source: str,
        token_of: Callable[[int], str | None],
    ) -> None:
        rows = self.rows.get(name)
        if rows is None:
            return
        low, high = value_range(given)
        if high < rows and low >= -rows:
            return
        beyond = int(high if high >= rows else low)
        token = token_of(beyond)
        meant = "" if token is None else f" (token {token!r})"
        samples = sum(
            int(((x >= rows) | (x < -rows)).reshape(len(x), -1).any(axis=1).sum())
            for one in given
            for _, x in chunks(one)
        )
        raise ConfigError(
            f"{source}: input '{name}' has the id {beyond}{meant}, the model's table ends at {rows - 1} ({samples} of "
            f"{sum(map(len, given))} samples have such ids); tokenise with the tokenizer that the model was trained "
            "with (of texts: --tokenizer), or enlarge its table (resize_token_embeddings)"
        )
