"""What a file that squeeze wrote takes and gives otherwise than the user's own file, found by reading both.

Names, their order, types, the number of axes, fixed and free sizes, names of sizes. A name given to a size that had
none is no change. What happened to several tensors alike is said once.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnx import helper

from squeeze.teacher.onnx.external import read_graph
from squeeze.teacher.onnx.signature import inputs_of, sizes_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import onnx

    from squeeze.end import Size

# What is said before and after the tensors that it happened to -> those.
Said = dict[tuple[str, str], list[str]]


@dataclass(frozen=True)
class _End:
    """An input or output as its file has it."""

    dtype: str
    sizes: tuple[Size, ...] | None


def compare_interfaces(before: Path, after: Path) -> list[str]:
    """In words, one change each; none where both files take and give the same. Raises ConfigError."""
    theirs, ours = read_graph(before).graph, read_graph(after).graph
    said: Said = defaultdict(list)
    for role, was, now in (
        ("input", _ends(inputs_of(theirs)), _ends(inputs_of(ours))),
        ("output", _ends(theirs.output), _ends(ours.output)),
    ):
        _compare_names(role, was, now, said)
        for name in (n for n in was if n in now):
            _compare(f"{role} '{name}'", was[name], now[name], said)
    return [f"{first}{', '.join(tensors)}: {last}" for (first, last), tensors in said.items()]


def _ends(values: Iterable[onnx.ValueInfoProto]) -> dict[str, _End]:
    return {v.name: _End(_type(v.type), sizes_of(v)) for v in values}


def _type(kind: onnx.TypeProto) -> str:
    held = str(kind.WhichOneof("value"))
    if held != "tensor_type" or not kind.tensor_type.elem_type:
        return held
    return str(helper.tensor_dtype_to_np_dtype(kind.tensor_type.elem_type).name)


def _compare_names(role: str, was: Mapping[str, _End], now: Mapping[str, _End], said: Said) -> None:
    gone, new = [n for n in was if n not in now], [n for n in now if n not in was]
    for names, text in ((gone, "in your file alone"), (new, "not in your file")):
        for name in names:
            said["", text].append(f"{role} '{name}'")
    if [n for n in was if n in now] != [n for n in now if n in was]:
        text = f"in another order than in your file: {', '.join(now)}"
        said["", text].append(f"{role}s")


def _compare(tensor: str, was: _End, now: _End, said: Said) -> None:
    if was.dtype != now.dtype:
        said["", f"{now.dtype}, in your file {was.dtype}"].append(tensor)
    if was.sizes is None or now.sizes is None:
        return
    if len(was.sizes) != len(now.sizes):
        text = f"{_axes(now.sizes)}, in your file {_axes(was.sizes)}"
        said["", text].append(tensor)
        return
    for axis, (old, new) in enumerate(zip(was.sizes, now.sizes, strict=True)):
        if text := _size(old, new):
            said[f"axis {axis} of ", text].append(tensor)


def _size(old: Size, new: Size) -> str:
    """What became of a size; nothing where it is the same."""
    if old == new or (isinstance(new, str) and isinstance(old, str) and not (old and new)):
        return ""
    if isinstance(old, str) and isinstance(new, str):
        return f"called '{new}', in your file '{old}'"
    if isinstance(old, str):
        return f"fixed to {new}, free in your file" + (f" ('{old}')" if old else "")
    return f"{'any size' if isinstance(new, str) else new}, in your file {old}"


def _axes(sizes: Sequence[Size]) -> str:
    return f"{len(sizes)} axes [{', '.join(str(d or '?') for d in sizes)}]"
