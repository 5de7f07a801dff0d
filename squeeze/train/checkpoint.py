"""Where a killed training goes on: weights and what else a learner carries at a step, whole or not at all.

A checkpoint is `checkpoint_00000500.safetensors` and, written after it, `checkpoint_00000500.json` with step, history
and the digest of the tensors, which are those of a CPU wherever the training runs. The last two are kept. A damaged one
is said as a warning and passed over; one of another training (other architecture, data, recipe, seed, threads) is
dropped.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from squeeze.workdir import digest_bytes, digest_json, write_atomic

logger = logging.getLogger(__name__)

_KEPT = 2

State = dict[str, dict[str, Tensor]]  # part, such as "model" or "momentum" -> name -> tensor


@dataclass(frozen=True)
class Checkpoint:
    """`step` steps are done."""

    step: int
    state: State
    history: list[dict[str, Any]]  # Any: numbers by name, JSON


def write(folder: Path, checkpoint: Checkpoint, training: str) -> None:
    """Stores a checkpoint of the training whose digest is `training`, and drops the oldest."""
    flat = {
        f"{part}/{name}": tensor.detach().to("cpu", copy=True).contiguous()
        for part, tensors in checkpoint.state.items()
        for name, tensor in tensors.items()
    }
    data = save(flat)
    record = {
        "training": training,
        "step": checkpoint.step,
        "history": checkpoint.history,
        "tensors": digest_bytes(data),
    }
    record["digest"] = digest_json(record)
    stem = folder / f"checkpoint_{checkpoint.step:08}"
    write_atomic(stem.with_suffix(".safetensors"), data)
    write_atomic(stem.with_suffix(".json"), json.dumps(record).encode())
    for old in _records(folder)[_KEPT:]:
        _remove(old)


def read_last(folder: Path, training: str) -> Checkpoint | None:
    """The newest intact checkpoint of this training; None means from the start."""
    for path in _records(folder):
        try:
            return _read(path, training)
        except _OtherTraining:
            _remove(path)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as e:
            logger.warning("%s: damaged checkpoint (%s); an earlier one is used", path, e)
            _remove(path)
    return None


def remove_all(folder: Path) -> None:
    """Drops every checkpoint, finished or torn."""
    for path in folder.glob("checkpoint_*"):
        path.unlink(missing_ok=True)


class _OtherTraining(Exception):
    pass


def _records(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint_*.json"), reverse=True)


def _remove(record: Path) -> None:
    record.unlink(missing_ok=True)
    record.with_suffix(".safetensors").unlink(missing_ok=True)


def _read(path: Path, training: str) -> Checkpoint:
    record = json.loads(path.read_bytes())
    sealed = record.pop("digest")
    if sealed != digest_json(record):
        raise ValueError("the record does not match its digest")
    if record["training"] != training:
        raise _OtherTraining
    data = path.with_suffix(".safetensors").read_bytes()
    if digest_bytes(data) != record["tensors"]:
        raise ValueError("the tensors do not match their digest")
    state: State = {}
    for key, tensor in load(data).items():
        part, name = key.split("/", 1)
        state.setdefault(part, {})[name] = tensor
    return Checkpoint(record["step"], state, record["history"])
