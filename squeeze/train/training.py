"""One training in motion: student, its average, optimiser; a step, and its whole state in and out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from squeeze import losses, students
from squeeze.errors import ConfigError
from squeeze.guides.answers import Labels
from squeeze.guides.draw import hashed
from squeeze.guides.views import Views
from squeeze.interface import Outputs
from squeeze.train import precision
from squeeze.train.average import Average
from squeeze.train.checkpoint import Checkpoint, State
from squeeze.train.lesson import target
from squeeze.train.schedule import learning_rate, picks

if TYPE_CHECKING:
    from squeeze.calib import Calib
    from squeeze.spec import ArchSpec, DistillPart
    from squeeze.students import Student

_MOMENTUM = 0.9
_CLIP = 5.0  # of the gradient's norm: far above a healthy step, it only tames the outliers of the first ones
_EVALUATION_BATCH = 250


class Training:
    """SGD with Nesterov momentum on views and cached labels. Torch's threads and generator are the caller's."""

    def __init__(
        self,
        arch: ArchSpec,
        calib: Calib,
        part: DistillPart,
        views: Views,
        labels: Labels,
        *,
        seed: int,
    ) -> None:
        self.calib, self.part, self.views, self.labels, self.seed = calib, part, views, labels, seed
        self.arch = arch
        outputs = labels.calibrate.shape[1]
        name = losses.choose(
            part.loss,
            outputs=outputs,
            activation=str(arch.params.get("output_activation", "none")),
            metric=calib.metric,
            classes=calib.classes,
            valued=calib.classes is None and calib.fit.y is not None,
        )
        self.loss = losses.LOSSES[name](
            temperature=part.temperature, label_weight=part.label_weight
        )
        self.target = target(name, labels)
        module = students.build(arch, seed=seed)
        # torch's annotation of Module.to lacks the memory format.
        self.module = module.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.dtype = precision.choose(part.precision, module)
        self.average = Average(module, part.ema)
        self.named = dict(module.named_parameters())
        decayed = [p for p in self.named.values() if p.ndim > 1]
        plain = [p for p in self.named.values() if p.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": part.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.SGD(
            groups, lr=part.lr, momentum=_MOMENTUM, nesterov=True, fused=True
        )

    def step(self, step: int) -> float:
        """Learns from one batch; returns the loss. Raises ConfigError when it is no longer a number."""
        part = self.part
        rate = self.rate(step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        # For modules that draw themselves, such as dropout.
        torch.manual_seed(int(hashed(self.seed, step)[0] >> np.uint64(1)))
        samples, views = picks(
            step,
            n=len(self.calib.fit),
            batch_size=part.batch_size,
            views=part.views,
            seed=self.seed,
        )
        batch = self.views.batch(samples, views)
        teacher = self.target.teacher(self.labels.logits(samples, views))
        logits = self._forward(self.module, batch.x)
        loss: Tensor = self.loss(
            Outputs(logits, None, None),
            Outputs(teacher, None, None),
            self.target.labels(batch.labels),
        )
        value = float(loss.detach())
        if not np.isfinite(value):
            raise ConfigError(
                f"distill.lr: at {part.lr} the loss became {value} at step {step + 1} of {part.steps}; lower it,"
                f" such as --set distill.lr={part.lr / 4:g}"
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no annotation there
        nn.utils.clip_grad_norm_(self.module.parameters(), _CLIP, foreach=True)
        self.optimiser.step()
        self.average.update(self.module, step)
        return value

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        part = self.part
        return learning_rate(step, steps=part.steps, peak=part.lr, warmup=part.warmup)

    def quality(self) -> tuple[str, float]:
        """How near the averaged student is to the teacher on plain inputs that it did not learn from."""
        module = self._averaged()
        parts = []
        with torch.no_grad():
            for start in range(0, len(self.labels.calibrate), _EVALUATION_BATCH):
                stop = min(start + _EVALUATION_BATCH, len(self.labels.calibrate))
                x = self.calib.inputs(self.calib.calibrate, start, stop)
                parts.append(self._forward(module, x).float())
        return self.target.quality(torch.cat(parts), self.target.teacher(self.labels.calibrate))

    def state(self) -> State:
        """Everything that the next step depends on, beside seed and step."""
        momentum = {
            name: self.optimiser.state[p]["momentum_buffer"] for name, p in self.named.items()
        }
        return {
            "model": self.module.state_dict(),
            "average": self.average.state,
            "momentum": momentum,
        }

    def restore(self, checkpoint: Checkpoint) -> None:
        """Goes back to the state of a checkpoint."""
        self.module.load_state_dict(checkpoint.state["model"])
        self.average.load(checkpoint.state["average"])
        for name, p in self.named.items():
            buffer = torch.empty_like(p).copy_(checkpoint.state["momentum"][name])
            self.optimiser.state[p]["momentum_buffer"] = buffer

    def finished(self) -> nn.Module:
        """The student with the averaged weights and the teacher's scale, in eval mode."""
        module = self._averaged()
        self.target.fold(module.classifier)
        return module

    def _averaged(self) -> Student:
        module = students.build(self.arch)
        module.load_state_dict(self.average.state)
        return module.eval()

    def _forward(self, module: nn.Module, x: NDArray[np.generic]) -> Tensor:
        inputs = torch.from_numpy(np.ascontiguousarray(x))
        if inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        enabled = self.dtype is torch.bfloat16
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            logits: Tensor = module(inputs)
        return logits
