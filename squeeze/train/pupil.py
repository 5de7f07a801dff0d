"""A student in training: its weights, their moving average, its optimiser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from squeeze import students
from squeeze.errors import ConfigError
from squeeze.outputs import Outputs
from squeeze.train.average import Average
from squeeze.train.batches import only_input
from squeeze.train.schedule import learning_rate

if TYPE_CHECKING:
    from squeeze.spec import ArchSpec, DistillPart
    from squeeze.students import Student
    from squeeze.train.batches import Batches
    from squeeze.train.checkpoint import Checkpoint, State
    from squeeze.train.compute import Compute

_MOMENTUM = 0.9
_EVALUATION_BATCH = 250


class Pupil:
    """A `loop.Learner`: SGD with Nesterov momentum on a fresh student of `arch`.

    Torch's threads and generator are the caller's. Raises ConfigError for a loss that needs taps which students don't
    have.
    """

    def __init__(
        self, arch: ArchSpec, part: DistillPart, batches: Batches, compute: Compute, *, seed: int
    ) -> None:
        self.arch, self.part, self.batches, self.compute = arch, part, batches, compute
        self.loss = batches.lesson.loss.to(compute.device)
        if missing := sorted(self.loss.needs - students.TAPS):
            raise ConfigError(
                f"distill.loss: '{part.loss}' needs '{missing[0]}' of the student, which has"
                f" {', '.join(sorted(students.TAPS))}; use 'auto'"
            )
        module = students.build(arch, seed=seed).to(compute.device)
        # torch's annotation of Module.to lacks the memory format.
        self.module = module.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.dtype = compute.dtype_for(module)
        self.average = Average(module, part.ema)
        self.named = dict(module.named_parameters())
        self.parameters = list(self.named.values())
        groups = [
            {
                "params": [p for p in self.parameters if p.ndim > 1],
                "weight_decay": part.weight_decay,
            },
            {"params": [p for p in self.parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.SGD(
            groups, lr=part.lr, momentum=_MOMENTUM, nesterov=True, fused=True
        )
        self.optimisers = [self.optimiser]

    def begin(self, step: int) -> None:
        """Sets the rate."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(step)

    def outputs(self, x: Tensor) -> Outputs[Tensor]:
        """Logits [n, c], and taps where the loss needs some."""
        return self._outputs(self.module, x)

    def settle(self, step: int) -> None:
        """Takes the new weights into the average."""
        self.average.update(self.module, step)

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        part = self.part
        return learning_rate(step, steps=part.steps, peak=part.lr, warmup=part.warmup)

    def quality(self) -> tuple[str, float]:
        """How near the averaged student is to the guide on plain inputs that it did not learn from."""
        module = self._averaged().to(self.compute.device).eval()
        lesson, plain = self.batches.lesson, self.batches.guide.plain
        with torch.no_grad():
            parts = [
                self._outputs(module, only_input(x)).logits.float().cpu()
                for x in self.batches.plain(len(plain), _EVALUATION_BATCH)
            ]
        return lesson.quality(torch.cat(parts), lesson.logits(plain))

    def state(self) -> State:
        """Weights, average and momentum."""
        momentum = {
            name: self.optimiser.state[p]["momentum_buffer"] for name, p in self.named.items()
        }
        return {
            "model": self.module.state_dict(),
            "average": self.average.state,
            "momentum": momentum,
        }

    def restore(self, found: Checkpoint) -> None:
        """Goes back to the state of a checkpoint."""
        self.module.load_state_dict(found.state["model"])
        self.average.load(found.state["average"])
        for name, p in self.named.items():
            buffer = torch.empty_like(p).copy_(found.state["momentum"][name])
            self.optimiser.state[p]["momentum_buffer"] = buffer

    def finished(self) -> nn.Module:
        """The student with the averaged weights and the teacher's scale, in eval mode, on the CPU."""
        module = self._averaged()
        self.batches.lesson.fold(module.classifier)
        return module.eval()

    def _averaged(self) -> Student:
        module = students.build(self.arch)
        module.load_state_dict(self.average.state)
        return module

    def _outputs(self, module: Student, x: Tensor) -> Outputs[Tensor]:
        half = self.dtype is torch.bfloat16
        with torch.autocast(self.compute.device, torch.bfloat16, enabled=half):
            return module.taps(x) if self.loss.needs else Outputs(module(x))
