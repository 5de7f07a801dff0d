"""A student in training: its weights, their moving average, its optimiser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from squeeze import students
from squeeze.errors import ConfigError
from squeeze.guides.draw import hashed
from squeeze.losses.loss import Loss, Start
from squeeze.outputs import Outputs
from squeeze.train import optimiser
from squeeze.train.average import Average
from squeeze.train.batches import only_input
from squeeze.train.schedule import learning_rate

if TYPE_CHECKING:
    from squeeze.spec import ArchSpec, DistillPart
    from squeeze.students import Student
    from squeeze.train.batches import Batches
    from squeeze.train.checkpoint import Checkpoint, State
    from squeeze.train.compute import Compute

_EVALUATION_BATCH = 250
_LOSS = "loss"  # what the loss has of its own, in a checkpoint
_PREPARING = -1  # beside the steps, which draw from 0 on


class Pupil:
    """A `loop.Learner`: SGD with Nesterov momentum, or AdamW for transformers, on a student of `arch`: a fresh one, or
    one with the `weights` of a `finished` one, or of one without its last layer, which then begins anew.

    Torch's threads and generator are the caller's. Raises ConfigError for a loss that needs taps which students don't
    have.
    """

    def __init__(
        self,
        arch: ArchSpec,
        part: DistillPart,
        batches: Batches,
        compute: Compute,
        *,
        seed: int,
        weights: dict[str, Tensor] | None = None,
    ) -> None:
        self.arch, self.part, self.batches, self.compute = arch, part, batches, compute
        self.loss = batches.lesson.loss
        if missing := sorted(self.loss.student_taps - students.TAPS):
            raise ConfigError(
                f"distill.loss: needs '{missing[0]}' of the student, which has"
                f" {', '.join(sorted(students.TAPS))}; use 'auto'"
            )
        module = students.build(arch, seed=seed)
        if weights is not None:
            module.load_state_dict({**module.state_dict(), **weights})
            if "classifier.weight" in weights:
                batches.lesson.unfold(module.classifier)
        if self.loss.prepares:
            self._prepare(module, seed)
        self.loss.to(compute.device)
        module = module.to(compute.device)
        # torch's annotation of Module.to lacks the memory format.
        self.module = module.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.dtype = compute.dtype_for(module)
        self.average = Average(module, part.ema)
        self.named = dict(module.named_parameters())
        groups = optimiser.groups(list(self.named.values()), part.weight_decay, 1.0)
        for one in self.loss.modules():
            if isinstance(one, Loss) and (own := list(_own(one))):
                groups += optimiser.groups(own, part.weight_decay, one.pace)
        self.named |= {f"{_LOSS}.{name}": p for name, p in self.loss.named_parameters()}
        self.parameters = list(self.named.values())
        self.kind = optimiser.ADAMW if students.is_transformer(arch) else optimiser.SGD
        self.optimiser = optimiser.made(self.kind, groups, part.lr)
        self.optimisers = [self.optimiser]

    def begin(self, step: int) -> None:
        """Sets the rate."""
        for group in self.optimiser.param_groups:
            group["lr"] = group["pace"] * self.rate(step)

    def outputs(self, x: Tensor) -> Outputs[Tensor]:
        """Logits [n, c], and taps where the loss needs some."""
        return self._outputs(self.module, x)

    def settle(self, step: int) -> None:
        """Takes the new weights into the average."""
        self.average.update(step)

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        part = self.part
        peak = self.kind.rate * part.lr
        return learning_rate(step, steps=part.steps, peak=peak, warmup=part.warmup)

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
        """Weights, average, moments, and what the loss has of its own."""
        return {
            "model": self.module.state_dict(),
            "average": self.average.state,
            "moments": optimiser.moments(self.optimiser, self.kind, self.named),
            _LOSS: self.loss.state_dict(),
        }

    def restore(self, found: Checkpoint) -> None:
        """Goes back to the state of a checkpoint."""
        self.module.load_state_dict(found.state["model"])
        self.average.load(found.state["average"])
        self.loss.load_state_dict(found.state.get(_LOSS, {}))
        optimiser.restore(self.optimiser, found.state.get("moments", {}), self.named)

    def finished(self) -> nn.Module:
        """The student with the averaged weights and the teacher's scale, in eval mode, on the CPU."""
        module = self._averaged()
        self.batches.lesson.fold(module.classifier)
        return module.eval()

    def _prepare(self, module: Student, seed: int) -> None:
        """Shows the loss what it will see, so that it can make what is its own: the same for the same seed."""
        batch = self.batches.at(0)
        torch.manual_seed(int(hashed(seed, _PREPARING)[0] >> np.uint64(1)))
        with torch.no_grad():
            seen = module.eval().taps(only_input(batch.x).cpu())
        taps = {name: values.cpu() for name, values in batch.answers.taps.items()}
        views = self.batches.views.count * len(self.batches.calib.fit)
        answers = Outputs(batch.answers.logits.cpu(), taps)
        self.loss.prepare(Start(seen, answers, views, self.batches.answers))

    def _averaged(self) -> Student:
        module = students.build(self.arch)
        module.load_state_dict(self.average.state)
        return module

    def _outputs(self, module: Student, x: Tensor) -> Outputs[Tensor]:
        half = self.dtype is torch.bfloat16
        with torch.autocast(self.compute.device, torch.bfloat16, enabled=half):
            return module.taps(x) if self.loss.student_taps else Outputs(module(x))


def _own(loss: Loss) -> Iterator[nn.Parameter]:
    """The parameters of a loss that are not those of a loss inside it."""
    inner = {
        id(p)
        for m in loss.modules()
        if m is not loss and isinstance(m, Loss)
        for p in m.parameters()
    }
    return (p for p in loss.parameters() if id(p) not in inner)
