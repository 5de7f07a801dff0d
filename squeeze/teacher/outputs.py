"""Names for what a torch model returns: keys of dicts and fields of dataclasses, numbers for the rest.

One tensor is "output"; a tuple gives "output_0", "output_1"; {"boxes": ..., "pair": (a, b)} gives "boxes", "pair_0",
"pair_1". What is None is left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from squeeze.errors import UnsupportedError

Path = tuple[str | int, ...]  # keys and places, outermost first


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:  # Any: what a model returns
    """What is in dicts, dataclasses, tuples and lists, with its place; None is nothing."""
    if value is None:
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, (*path, str(key)))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from leaves(getattr(value, field.name), (*path, field.name))
    elif isinstance(value, (tuple, list)):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*path, index))
    else:
        yield path, value


def named_tensors(
    returned: Any,  # Any: what a model returns
    taken: Sequence[str],
    who: str,
) -> dict[str, torch.Tensor]:
    """The tensors in it by their names, none of them among `taken`. Raises UnsupportedError for anything else."""
    found = list(leaves(returned))
    other = [type(leaf).__name__ for _, leaf in found if not isinstance(leaf, torch.Tensor)]
    if other or not found:
        raise UnsupportedError(
            f"{who} returns {other[0] if other else 'nothing'}; allowed: tensors, and tuples, lists, dicts and "
            "dataclasses of them. Wrap it in a module that returns the tensors to keep"
        )
    names = output_names([path for path, _ in found], taken)
    return {name: leaf for name, (_, leaf) in zip(names, found, strict=True)}


def output_names(paths: Sequence[Path], taken: Sequence[str]) -> tuple[str, ...]:
    """A name for each place, none of them twice or among `taken` (the names of inputs)."""
    if len(paths) == 1 and not any(isinstance(part, str) for part in paths[0]):
        names = ["output"]
    else:
        names = [_joined(path) for path in paths]
    if len(set(names)) < len(names):
        names = [f"output_{i}" for i in range(len(paths))]
    return tuple(_free(name, taken) for name in names)


def _joined(path: Path) -> str:
    parts = path if path and isinstance(path[0], str) else ("output", *path)
    return "_".join(map(str, parts))


def _free(name: str, taken: Sequence[str]) -> str:
    return f"{name}_output" if name in taken else name
