"""A teacher as a frozen torch function that also hands out what enters each of its batch normalisations.

A .pt2 archive is read again, for its export to ONNX folds batch normalisations into convolutions. An ONNX file is taken
as it is; one that was exported that way has none left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from squeeze import graph
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.students import Network
from squeeze.students.imported import imported
from squeeze.teacher import source_digest
from squeeze.teacher.pt2.program import read_program

if TYPE_CHECKING:
    from squeeze.teacher import Teacher

NEEDS_DATA = "inputs cannot be synthesised for it, give data (--calib)"
# Arguments 3 and 4 of each are the running mean and variance.
_BATCH_NORMS = {
    torch.ops.aten._native_batch_norm_legit_no_training.default,
    torch.ops.aten.batch_norm.default,
    torch.ops.aten.native_batch_norm.default,
}


@dataclass(frozen=True)
class Norm:
    """One batch normalisation in one run: x [n, c, ...] enters; mean [c] and variance [c] are those of training."""

    x: Tensor
    mean: Tensor
    variance: Tensor


Watched = Callable[[Tensor], tuple[Tensor, list[Norm]]]


def watch(teacher: Teacher) -> Watched:
    """x [n, ...] -> (the output, what entered each batch normalisation, first to last). Weights take no gradient.

    Raises ConfigError when the teacher cannot be run in torch, or its archive is not what it was.
    """
    if teacher.kind == "pt2":
        if source_digest(teacher.source, None) != teacher.digest:
            raise ConfigError(f"{teacher.source}: changed since the teacher was read; run again")
        return _interpreted(read_program(Path(teacher.source)).module)
    try:
        return _hooked(_network(teacher, fold=False))
    except UnsupportedError:
        # Our passes take out what torch does not know, such as sizes that are computed, but the norms as well.
        try:
            return _hooked(_network(teacher, fold=True))
        except UnsupportedError as e:
            raise ConfigError(f"{teacher.source}: {NEEDS_DATA}: {e}") from e


def _network(teacher: Teacher, *, fold: bool) -> Network:
    model = graph.load(teacher.model)
    if fold:
        taken = teacher.input
        sample = np.random.default_rng(0).standard_normal((1, *taken.shape), np.float32)
        graph.optimise(model, {taken.name: sample}, teacher.interface)
    return imported(graph.with_sizes(model, teacher.interface.free))


def _hooked(network: Network) -> Watched:
    network.eval().requires_grad_(False)
    found: list[Norm] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.append(Norm(inputs[0], module.running_mean, module.running_var))  # type: ignore[arg-type]

    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.register_forward_pre_hook(note)

    def run(x: Tensor) -> tuple[Tensor, list[Norm]]:
        found.clear()
        output = network(x)
        return output, list(found)

    return run


class _Interpreter(torch.fx.Interpreter):
    """Runs a program operator by operator."""

    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module)
        self.found: list[Norm] = []

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:  # Any: as torch has it
        if target in _BATCH_NORMS and args[3] is not None:
            self.found.append(Norm(args[0], args[3], args[4]))
        return super().call_function(target, args, kwargs)


def _interpreted(module: nn.Module) -> Watched:
    assert isinstance(module, torch.fx.GraphModule)
    module.requires_grad_(False)
    interpreter = _Interpreter(module)

    def run(x: Tensor) -> tuple[Tensor, list[Norm]]:
        interpreter.found = []
        return interpreter.run(x), interpreter.found

    return run
