"""Training of a weight-sharing encoder: in every step its largest part, its smallest and some between learn together.

The sandwich rule: Yu and Huang, "Universally Slimmable Networks", 2019; as AutoDistil samples (Xu et al., 2022). Tables
of words stay the teacher's, but for those that were factorised: a small corpus knows few of them, and a step is twice
as fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from squeeze.guides.draw import hashed
from squeeze.outputs import Outputs
from squeeze.students.encoder import Encoder, Params, sliced
from squeeze.train.batches import Batch, only_input
from squeeze.train.lesson import Lesson
from squeeze.train.schedule import learning_rate
from squeeze.train.supernet.information import Critic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from squeeze.losses import Loss
    from squeeze.spec import SupernetPart
    from squeeze.train.checkpoint import Checkpoint, State
    from squeeze.train.compute import Compute
    from squeeze.train.loop import Learner
    from squeeze.train.supernet.objective import Objective
    from squeeze.train.supernet.states import Told

_BETAS = (0.9, 0.98)
_DECAY = 0.01
_CLIP = 1.0
_WARMUP = 0.05
_WORDS = "word.weight"
_WATCHED = 64  # samples: ten times in a training, of which some are short
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class _Tapped(nn.Module):
    """`Encoder.taps` as what the module computes, for functional_call."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, tensors: Tensor) -> Outputs[Tensor]:
        return self.encoder.taps(*tensors)


@dataclass(frozen=True)
class Shared:
    """A network of `params` that others are parts of. kept: number of layers -> those that a part of so many has."""

    params: Params
    weights: Mapping[str, Tensor]
    kept: Mapping[int, tuple[int, ...]]

    def child(self, small: Params) -> dict[str, Tensor]:
        """The weights of a part of it."""
        found = sliced(self.weights, self.params, small, self.kept[small.layers])
        return {name: value.detach().clone() for name, value in found.items()}

    def encoder(self, small: Params) -> Encoder:
        """A part of it as a network of its own."""
        found = Encoder(small)
        found.load_state_dict(self.child(small))
        return found.eval()


class SuperLM:
    """A `loop.Learner`. children: what may be drawn, the smallest first and the largest last; one alone is trained by
    itself. seed: of what is drawn."""

    def __init__(
        self,
        shared: Shared,
        children: Sequence[Params],
        told: Told,
        held: Told,
        objective: Objective,
        part: SupernetPart,
        compute: Compute,
        *,
        steps: int,
        seed: int,
    ) -> None:
        self.shared, self.children = shared, list(children)
        self.told, self.held, self.objective = told, held, objective
        self.part, self.compute, self.steps, self.seed = part, compute, steps, seed
        place = compute.device
        for one in (told, held):
            one.teacher.to(place)
        frozen = _WORDS if shared.params.rank is None else ""
        self.weights = {
            name: nn.Parameter(value.to(place, copy=True), requires_grad=name != frozen)
            for name, value in shared.weights.items()
        }
        # Of states of parts that are narrower than the teacher; the whole ones begin as they are.
        sizes = told.teacher.params.hidden, shared.params.hidden
        self.widening = nn.Parameter(torch.eye(*sizes, device=place))
        named = {**self.weights, "widening": self.widening}
        self.critic: Critic | None = None
        if part.information:
            self.critic = Critic(sizes[1], sizes[0], part.alpha, seed).to(place)
            named |= {f"critic.{name}": p for name, p in self.critic.named_parameters()}
        self.named = {name: p for name, p in named.items() if p.requires_grad}
        self.parameters = list(self.named.values())
        groups = [
            {"params": [p for p in self.parameters if p.ndim > 1], "weight_decay": _DECAY},
            {"params": [p for p in self.parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=part.lr, betas=_BETAS, fused=True)
        self.optimisers = [self.optimiser]
        self._modules: dict[str, _Tapped] = {}

    @property
    def loss(self) -> Loss:
        """Of outputs; the whole of what is learned is `loss_of`."""
        return self.objective.answer

    def begin(self, step: int) -> None:
        """Sets the rate."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(step)

    def batch_at(self, step: int) -> Batch:
        """x: [inputs, b, s] or [1, b, c, h, w]; answers: of the teacher, with its taps."""
        samples = self.told.samples.drawn(step, self.part.batch_size, self.seed)
        return self._batch(self.told, samples)

    def drawn(self, step: int) -> list[Params]:
        """The largest, the smallest, and `part.between` others at random."""
        first, last = self.children[0], self.children[-1]
        if len(self.children) == 1:
            return [first]
        draws = [hashed(self.seed, step, i)[0] for i in range(self.part.between)]
        others = [self.children[int(d % np.uint64(len(self.children)))] for d in draws]
        return [last, first, *others]

    def outputs(self, x: Tensor) -> Outputs[Tensor]:
        """Of the largest part."""
        return self.outputs_of(self.children[-1], x)

    def outputs_of(self, child: Params, x: Tensor) -> Outputs[Tensor]:
        """Output and taps of a part."""
        shared = self.shared
        weights = sliced(self.weights, shared.params, child, shared.kept[child.layers])
        with self._autocast():
            found: Outputs[Tensor] = functional_call(
                self._module(child), {f"encoder.{n}": w for n, w in weights.items()}, (x,)
            )
        return found

    def loss_of(self, child: Params, batch: Batch) -> Tensor:
        """All that a part learns: the objective, and the information that is asked for."""
        found = self.outputs_of(child, only_input(batch.x))
        loss = self._compared(child, found, batch.answers, batch.labels)
        if self.critic is None:
            return loss
        ours, theirs = found.taps["states"].float(), batch.answers.taps["states"].float()
        with torch.autocast(self.compute.device, enabled=False):
            shared: Tensor = self.critic(ours, theirs, batch.answers.taps["mask"])
        return loss + self.part.information * shared

    def _compared(
        self,
        child: Params,
        found: Outputs[Tensor],
        answers: Outputs[Tensor],
        labels: Tensor | None = None,
    ) -> Tensor:
        """The objective, which is all that parts are compared by, without labels: a critic is not kept with the
        weights."""
        with self._autocast():
            return self.objective(found, answers, lambda x: self._widened(child, x), labels)

    def _widened(self, child: Params, states: Tensor) -> Tensor:
        """States of a part, as wide as the teacher's."""
        return states @ self.widening[:, : child.hidden].T

    def held_loss(self, child: Params, batches: Sequence[Batch]) -> float:
        """The mean of the objective over batches that were not learned from."""
        losses = []
        with torch.no_grad():
            for batch in batches:
                found = self.outputs_of(child, only_input(batch.x))
                losses.append(float(self._compared(child, found, batch.answers)))
        return float(np.mean(losses))

    def held_batches(self, most: int = _WATCHED) -> list[Batch]:
        """Of the held-out samples."""
        chosen = self.held.samples.in_order(self.part.batch_size, most)
        return [self._batch(self.held, samples) for samples in chosen]

    def settle(self, step: int) -> None:
        """Nothing follows from new weights."""

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        return learning_rate(step, steps=self.steps, peak=self.part.lr, warmup=_WARMUP)

    def quality(self) -> tuple[str, float]:
        """The cosine with the teacher on held-out samples, the mean over the largest and the smallest part; of states
        where answers are not learned."""
        found = []
        ends = dict.fromkeys((self.children[0], self.children[-1]))  # of one alone it is one
        with torch.no_grad():
            for batch in self.held_batches():
                for child in ends:
                    outputs, answers = self.outputs_of(child, only_input(batch.x)), batch.answers
                    if self.objective.answers:
                        got, wanted = outputs.logits, answers.logits
                    else:
                        counted = answers.taps["mask"] > 0
                        wanted = answers.taps["states"][counted]
                        got = self._widened(child, outputs.taps["states"].float())[counted]
                    cosine = nn.functional.cosine_similarity(got.float(), wanted.float(), dim=-1)
                    found.append(cosine.mean())
        return "cosine", 100 * float(torch.stack(found).mean())

    def state(self) -> State:
        """Weights that learn and the optimiser's moments."""
        moments = {
            f"{moment}.{name}": self.optimiser.state[p][moment]
            for name, p in self.named.items()
            for moment in _MOMENTS
            if moment in self.optimiser.state[p]
        }
        return {"model": dict(self.named), "moments": moments}

    def restore(self, found: Checkpoint) -> None:
        """Goes back to the state of a checkpoint."""
        with torch.no_grad():
            for name, p in self.named.items():
                p.copy_(found.state["model"][name])
        for key, value in found.state.get("moments", {}).items():
            moment, name = key.split(".", 1)
            parameter = self.named[name]
            self.optimiser.state[parameter][moment] = value.to(parameter.device, copy=True)

    def finished(self) -> dict[str, Tensor]:
        """The weights of the whole network."""
        return {name: value.detach().cpu() for name, value in self.weights.items()}

    def _module(self, child: Params) -> _Tapped:
        key = f"{child.layers}x{child.hidden}x{child.heads}x{child.ffn}"
        if key not in self._modules:
            with torch.device("meta"):
                self._modules[key] = _Tapped(Encoder(child))
        return self._modules[key]

    def _batch(self, told: Told, samples: np.ndarray) -> Batch:
        x = told.samples.at(samples).to(self.compute.device)
        counted = told.teacher.counted(dict(zip(self.shared.params.inputs, x, strict=True)))
        with self._autocast():
            return Batch(x, told.at(samples, counted), self._labels(told, samples))

    def _labels(self, told: Told, samples: np.ndarray) -> Tensor | None:
        """Those of the data, where the objective asks for them."""
        y, answer = told.samples.split.y, self.objective.answer
        if not answer.label_weight or y is None:
            return None
        outputs = told.teacher.params.outputs
        lesson = Lesson(answer, np.zeros(outputs, np.float32), 1.0)
        labels = lesson.labels(np.asarray(y[samples]))
        return None if labels is None else labels.to(self.compute.device)

    def _autocast(self) -> torch.autocast:
        half = self.compute.dtype is torch.bfloat16
        return torch.autocast(self.compute.device, torch.bfloat16, enabled=half)


def sandwich(learner: Learner, batch: Batch, step: int) -> Tensor:
    """`loop.update` for a SuperLM: gradients of all parts that are drawn, then one step of the optimiser."""
    assert isinstance(learner, SuperLM)
    learner.optimiser.zero_grad(set_to_none=True)
    losses = []
    for child in learner.drawn(step):
        loss = learner.loss_of(child, batch)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no annotation there
        losses.append(loss.detach())
    nn.utils.clip_grad_norm_(learner.parameters, _CLIP, foreach=True)
    learner.optimiser.step()
    learner.settle(step)
    return torch.stack(losses).sum()
