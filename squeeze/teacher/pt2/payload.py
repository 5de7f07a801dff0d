"""The weights of a .pt2 archive: raw bytes and a description, made into tensors here; nothing is unpickled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch._export.serde import schema
from torch._export.serde.serialize import deserialize_scalar_type

from squeeze.errors import ConfigError
from squeeze.teacher.pt2.schema import Json, conform, read_json

if TYPE_CHECKING:
    from squeeze.teacher.pt2.archive import Archive

_MOST_BYTES = 8 << 30


def read_payload(archive: Archive, folder: str) -> dict[str, torch.Tensor]:
    """The tensors of "weights" or "constants" by name, floats as float32; those saved as one share their bytes.

    Raises ConfigError for pickled payloads, and for tensors that do not lie inside of their bytes.
    """
    member = f"data/{folder}/model_{folder}_config.json"
    where = f"{archive.path}: {member}"
    described = read_json(archive.read(member), where)
    config = conform(schema.PayloadConfig, described, where)["config"]
    flat: dict[tuple[str, int], torch.Tensor] = {}
    tensors = {}
    for name, entry in config.items():
        place = f"{where}: '{name}'"
        meta = entry["tensor_meta"]
        if entry["use_pickle"] or meta is None:
            raise ConfigError(
                f"{place} is stored as a pickle, which can run code when it is opened, so it is not read; "
                "export a model whose weights are plain tensors"
            )
        # As stored; the clean description says what it becomes.
        stored = described["config"][name]["tensor_meta"]["dtype"]
        key = (entry["path_name"], stored)
        if key not in flat:
            data = archive.read(f"data/{folder}/{entry['path_name']}")
            flat[key] = _flat(data, stored, meta["dtype"], place)
        tensor = _strided(flat[key], meta, place)
        tensors[name] = (
            torch.nn.Parameter(tensor, requires_grad=False) if entry["is_param"] else tensor
        )
    return tensors


def _flat(data: bytes, stored: int, wanted: int, place: str) -> torch.Tensor:
    try:
        dtype, target = (deserialize_scalar_type(schema.ScalarType(t)) for t in (stored, wanted))
        if not data:
            return torch.empty(0, dtype=target)
        return torch.frombuffer(bytearray(data), dtype=dtype).to(target)
    except (KeyError, ValueError, RuntimeError) as e:
        raise ConfigError(f"{place}: its {len(data)} bytes are not whole tensor elements") from e


def _strided(flat: torch.Tensor, meta: Json, place: str) -> torch.Tensor:
    try:
        sizes, strides = ([d["as_int"] for d in meta[k]] for k in ("sizes", "strides"))
        offset = meta["storage_offset"]["as_int"]
    except KeyError as e:
        raise ConfigError(f"{place}: its sizes are not numbers") from e
    numbers = [offset, *sizes, *strides]
    inside = len(sizes) == len(strides) and all(0 <= n < _MOST_BYTES for n in numbers)
    elements = 1
    for size in sizes:
        elements *= size
    if inside and elements:
        last = offset + sum((d - 1) * s for d, s in zip(sizes, strides, strict=True))
        inside = last < len(flat) and elements * flat.element_size() <= _MOST_BYTES
    if not inside:
        raise ConfigError(
            f"{place}: a tensor of sizes {sizes} does not fit into the {len(flat)} elements that are stored"
        )
    return torch.as_strided(flat, sizes, strides, offset)
