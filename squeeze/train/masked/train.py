"""Trains a vision transformer as a masked autoencoder that also learns what its teacher makes of what it sees.

The mean squared error of the pixels that it does not see, and the mean absolute difference of states, by a linear layer
to the teacher's width, of what both see (DMAE). Neither labels nor answers are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze import students
from squeeze.guides.views import Views
from squeeze.losses.loss import Loss, Space
from squeeze.outputs import Outputs
from squeeze.students.token_student import TokenStudent
from squeeze.students.vit import Params
from squeeze.train import checkpoint, loop, optimiser
from squeeze.train.batches import Batch
from squeeze.train.masked.grid import drawn
from squeeze.train.masked.network import Masked, VisibleTeacher
from squeeze.train.pace import pace_of
from squeeze.train.schedule import learning_rate, picks
from squeeze.workdir import digest_json

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.budget import Pace
    from squeeze.calib import Calib
    from squeeze.progress import Progress
    from squeeze.spec import ArchSpec, DistillPart, MaskedPart
    from squeeze.students.encoder import Encoder
    from squeeze.train.checkpoint import Checkpoint, State
    from squeeze.train.compute import Compute
    from squeeze.train.masked.grid import Grid

Json = dict[str, Any]  # Any: JSON
_LAST = "classifier"


@dataclass(frozen=True)
class TrainedMasked:
    """weights: of the student but for its last layer, of which nothing was asked. history: as `loop.train` has it."""

    weights: dict[str, Tensor]
    history: list[Json]
    summary: str


class MaskedLoss(Loss):
    """See above. Outputs are the pixels [n, masked, numbers]; the tap "visible" the states [n, units, d]."""

    needs: ClassVar[frozenset[str]] = frozenset({"visible"})
    space: ClassVar[Space] = "features"

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        pixels = functional.mse_loss(student.logits.float(), teacher.logits.float())
        ours, theirs = (one.taps["visible"].float() for one in (student, teacher))
        return pixels + functional.l1_loss(ours, theirs)


class MaskedPupil:
    """A `loop.Learner`: a fresh student of `arch`, and what it learns by."""

    def __init__(
        self,
        arch: ArchSpec,
        encoder: Encoder,
        grid: Grid,
        views: Views,
        part: MaskedPart,
        compute: Compute,
        *,
        seed: int,
    ) -> None:
        self.views, self.part, self.compute = views, part, compute
        self.grid, self.seed = grid, seed
        student, params = students.build(arch, seed=seed), Params.model_validate(arch.params)
        assert isinstance(student, TokenStudent)  # whoever makes one has looked
        depths = [max(1, round(part.depth * n)) for n in (params.depth, encoder.params.layers)]
        width = encoder.params.hidden
        self.module = Masked(student, params, grid, depths[0], width, seed).to(compute.device)
        self.module.train()
        self.teacher = VisibleTeacher(encoder, grid, depths[1]).to(compute.device).eval()
        self.visible = grid.visible(part.share)
        self.loss = MaskedLoss()
        self.dtype = compute.dtype_for(self.module)
        own = f"student.{_LAST}."
        self.named = {n: p for n, p in self.module.named_parameters() if not n.startswith(own)}
        self.parameters: list[nn.Parameter] = list(self.named.values())
        groups = optimiser.groups(self.parameters, part.weight_decay, 1.0)
        self.optimiser = optimiser.made(optimiser.ADAMW, groups, part.lr)
        self.optimisers = [self.optimiser]

    def batch_at(self, step: int) -> Batch:
        """x: images and the order of their units; answers: the pixels that are wanted and the teacher's states."""
        part, views = self.part, self.views
        n = len(views.calib.fit)
        chosen = picks(step, n=n, batch_size=part.batch_size, views=views.count, seed=self.seed)
        x = torch.from_numpy(views.at(*chosen).x).to(self.compute.device)
        order = drawn(step, self.grid, len(x), self.seed).to(self.compute.device)
        with self._autocast():
            states = self.teacher(x, order[:, : self.visible])
        wanted = self.module.wanted(x, order, self.visible)
        return Batch({"images": x, "order": order}, Outputs(wanted, {"visible": states}), None)

    def begin(self, step: int) -> None:
        """Sets the rate."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(step)

    def outputs(self, x: dict[str, Tensor]) -> Outputs[Tensor]:
        """Pixels and states of a batch."""
        with self._autocast():
            found: Outputs[Tensor] = self.module(x["images"], x["order"], self.visible)
        return found

    def settle(self, step: int) -> None:
        """Nothing follows from new weights."""

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        part = self.part
        peak = optimiser.ADAMW.rate * part.lr
        return learning_rate(step, steps=part.steps, peak=peak, warmup=part.warmup)

    def quality(self) -> None:
        """Of a student that gives no answers yet only the loss is told."""

    def state(self) -> State:
        """Weights and moments."""
        kept = optimiser.moments(self.optimiser, optimiser.ADAMW, self.named)
        return {"model": self.module.state_dict(), "moments": kept}

    def restore(self, found: Checkpoint) -> None:
        """Goes back to the state of a checkpoint."""
        self.module.load_state_dict(found.state["model"])
        optimiser.restore(self.optimiser, found.state.get("moments", {}), self.named)

    def finished(self) -> dict[str, Tensor]:
        """The weights of the student but for its last layer, on the CPU."""
        state = self.module.student.state_dict()
        return {n: v.detach().cpu() for n, v in state.items() if not n.startswith(f"{_LAST}.")}

    def _autocast(self) -> torch.autocast:
        half = self.dtype is torch.bfloat16
        return torch.autocast(self.compute.device, torch.bfloat16, enabled=half)


@dataclass(frozen=True)
class MaskedTraining:
    """A student of `arch` before it learns for `part.steps` steps from the images of the fit split, in the views that
    `distill` asks for. encoder: the teacher."""

    arch: ArchSpec
    encoder: Encoder
    grid: Grid
    calib: Calib
    part: MaskedPart
    distill: DistillPart
    seed: int
    threads: int
    compute: Compute

    def train(
        self, *, identity: str, folder: Path, progress: Progress, checkpoint_s: float = 30.0
    ) -> TrainedMasked:
        """Trains it. identity: of everything that is not said here.

        Checkpoints go to `folder` and are removed at the end; call again after a kill to go on. Raises ConfigError when
        the loss is no longer a number.
        """
        part = self.part
        known = digest_json(
            {
                "arch": self.arch.model_dump(mode="json"),
                "compute": self.compute.key(),
                "identity": identity,
                "part": part.model_dump(mode="json"),
                "seed": self.seed,
                "threads": self.threads,
                "unit": self.grid.unit,
                "views": self._views().identity(),
            }
        )
        with self.compute.session(self.threads):
            pupil = self._pupil()
            course = self._course(checkpoint_s)
            history = loop.train(
                pupil, pupil.batch_at, course, identity=known, folder=folder, progress=progress
            )
            weights = pupil.finished()
        checkpoint.remove_all(folder)
        loss = history[-1]["loss"]
        seen = f"{pupil.visible} of {self.grid.count} places seen"
        return TrainedMasked(weights, history, f"loss {loss:.3f} · {seen} · {part.steps:,} steps")

    def pace(self) -> Pace:
        """How fast it would go, by some steps of it."""
        with self.compute.session(self.threads):
            pupil = self._pupil()
            return pace_of(pupil, pupil.batch_at, self._course(0))

    def _views(self) -> Views:
        return Views(self.calib, self.distill, self.seed)

    def _pupil(self) -> MaskedPupil:
        return MaskedPupil(
            self.arch,
            self.encoder,
            self.grid,
            self._views(),
            self.part,
            self.compute,
            seed=self.seed,
        )

    def _course(self, checkpoint_s: float) -> loop.Course:
        part = self.part
        return loop.Course(
            steps=part.steps,
            batch_size=part.batch_size,
            seed=self.seed,
            checkpoint_s=checkpoint_s,
            lr=part.lr,
            lr_key="masked.lr",
        )
