"""What an ONNX file says of itself to whoever ships it: entries of `metadata_props` called squeeze.KEY, all JSON.

    version  target  inputs  outputs  classes  made_from       known before anything is judged
    build  measured                                            known last

They change no graph. How many bytes they take is known from the start, so that sizes are those of the written file: an
entry that is known last has room kept for it, filled up with spaces, which JSON allows. Entries of the user's own model
stay, before ours. docs/contract.md says what each holds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx

from squeeze.workdir import digest_json

Json = dict[str, Any]  # Any: JSON

PREFIX = "squeeze."
# What an output means that has no scores of classes.
NUMBERS, VECTOR = "numbers", "a vector"


@dataclass(frozen=True)
class Contract:
    """known: KEY -> JSON. room: KEY -> what is known last, as long as it can become. own: of the user's model."""

    known: Json
    room: Json = field(default_factory=dict)
    own: Mapping[str, str] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """By how many the written file is larger than the network."""
        return int(_with(onnx.ModelProto(), self._entries({})).ByteSize())

    def written(self, model: bytes, last: Json) -> bytes:
        """The ONNX file `model` with its contract; last: the value of each key of `room`, no longer than that."""
        proto = onnx.ModelProto.FromString(model)
        return bytes(_with(proto, self._entries(last)).SerializeToString(deterministic=True))

    def to_json(self, last: Json) -> Json:
        """All values, by KEY."""
        return {**self.known, **last}

    def key(self) -> Json:
        """Everything in it is written."""
        return {"known": self.known, "room": self.room, "own": dict(self.own)}

    def _entries(self, last: Json) -> dict[str, str]:
        texts = {key: _text(value) for key, value in self.known.items()}
        for key, longest in self.room.items():
            room, text = len(_text(longest)), _text(last[key]) if key in last else ""
            if len(text) > room:
                raise ValueError(f"{PREFIX}{key}: {len(text)} characters, {room} were kept: {text}")
            texts[key] = text.ljust(room)
        ours = {f"{PREFIX}{key}": texts[key] for key in sorted(texts)}
        return {**{k: v for k, v in self.own.items() if not k.startswith(PREFIX)}, **ours}


def read(model: onnx.ModelProto) -> tuple[Json, dict[str, str]]:
    """The contract of a file, by KEY, and all other entries of its metadata; an entry of ours that is no JSON is left
    as it is."""
    found: Json = {}
    other: dict[str, str] = {}
    for entry in model.metadata_props:
        if not entry.key.startswith(PREFIX):
            other[entry.key] = entry.value
            continue
        try:
            found[entry.key.removeprefix(PREFIX)] = json.loads(entry.value)
        except (ValueError, RecursionError):
            other[entry.key] = entry.value
    return found, other


def build_key(**given: Any) -> str:  # Any: JSON
    """The digest of all that a build was given: equal ones make equal files."""
    return digest_json(given)


def rounded(value: float | None) -> float | None:
    """Six digits, which no metric is finer than, no longer as text than `LONGEST`; None for an endless number."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


# The number that has most characters among the rounded ones.
LONGEST = -1234570000000000.0


def _text(value: Any) -> str:  # Any: JSON
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _with(proto: onnx.ModelProto, entries: Mapping[str, str]) -> onnx.ModelProto:
    del proto.metadata_props[:]
    for key, value in entries.items():
        proto.metadata_props.add(key=key, value=value)
    return proto
