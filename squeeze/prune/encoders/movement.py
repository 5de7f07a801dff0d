"""Movement pruning of heads and channels (Sanh, Wolf and Rush, "Movement Pruning: Adaptive Sparsity by Fine-Tuning",
2020), in blocks (Lagunas et al., "Block Pruning for Faster Transformers", 2021): what goes is decided while it trains.

The forward pass has a gate m on each head and channel, 1 for those that the scores S let stay and 0 for others; to the
gradient a gate is its score (straight through), so that a score moves by dL/dm, which is the sum of w * dL/dw over the
weights that take what the part gives. What is pruned has a gradient too, and may come back.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from squeeze.outputs import Outputs
from squeeze.prune.encoders.cut import Cut, cut
from squeeze.prune.encoders.importances import distillation
from squeeze.prune.encoders.planning import Parts, Plan, plan
from squeeze.students.encoder import Encoder, Gates, gated
from squeeze.train import checkpoint, loop
from squeeze.train.quantised.trainer import ADAM_SHARE
from squeeze.train.schedule import learning_rate
from squeeze.workdir import digest_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from squeeze.losses import Loss
    from squeeze.progress import Progress
    from squeeze.prune.encoders.seen import Seen
    from squeeze.spec import PrunePart
    from squeeze.students.network import Inputs
    from squeeze.train.batches import Batches
    from squeeze.train.checkpoint import Checkpoint, State

# Of the steps, after which what is pruned still changes places, but is as much as it will be.
_GROWS_FOR = 0.7
_WARMUP = 0.05
_SCORES_RATE = 1.0
_DECAY = 0.01
_DIGITS = 24


def share_at(step: int, steps: int, share: float) -> float:
    """The share that is pruned at a step: share * (1 - (1 - step / T)^3), T being 7 tenths of the steps (the cubic
    schedule of Zhu and Gupta, 2017)."""
    done = min(1.0, (step + 1) / (_GROWS_FOR * steps))
    return float(share * (1 - (1 - done) ** 3))


class Movement:
    """A `loop.Learner`: an encoder whose gates follow scores that learn with its weights. The table of words stays.

    begins: the scores at first. Where an encoder is its own teacher there is no loss and no gradient before something
    is pruned, so that it is not the first steps' noise that decides.
    """

    def __init__(
        self,
        encoder: Encoder,
        begins: Parts,
        batches: Batches,
        planned: Callable[[Parts, float], Plan],
        *,
        share: float,
        steps: int,
        lr: float,
    ) -> None:
        lesson, place = batches.lesson, batches.device
        self.encoder = copy.deepcopy(encoder).to(place)
        self.encoder.word.requires_grad_(False)
        self.planned, self.share, self.steps, self.lr = planned, share, steps, lr
        self.loss: Loss = lesson.loss.to(place)
        self.mean, self.spread = torch.from_numpy(lesson.mean).to(place), lesson.spread
        self.scores = [
            nn.Parameter(torch.tensor(values, dtype=torch.float32, device=place))
            for values in (*begins.heads, *begins.ffn)
        ]
        self.gates = [torch.ones_like(values) for values in self.scores]
        self.weights = [p for p in self.encoder.parameters() if p.requires_grad]
        self.parameters = [*self.weights, *self.scores]
        self.adam = torch.optim.AdamW(self.weights, lr=lr, betas=(0.9, 0.99), weight_decay=_DECAY)
        self.optimisers = [self.adam, torch.optim.SGD(self.scores, lr=_SCORES_RATE)]

    def begin(self, step: int) -> None:
        """Sets the rate, and the gates from the scores."""
        for group in self.adam.param_groups:
            group["lr"] = self.rate(step)
        stays = self.stays(share_at(step, self.steps, self.share))
        for gate, kept in zip(self.gates, (*stays.heads, *stays.ffn), strict=True):
            gate.zero_()
            gate[list(kept)] = 1.0

    def outputs(self, x: Inputs) -> Outputs[Tensor]:
        """Logits on the scale of the lesson, of the encoder behind its gates."""
        names = self.encoder.params.inputs
        tensors = (x,) if isinstance(x, Tensor) else tuple(x[name] for name in names)
        straight = [
            gate + score - score.detach()
            for gate, score in zip(self.gates, self.scores, strict=True)
        ]
        layers = self.encoder.params.layers
        logits, _ = gated(self.encoder, tensors, Gates(straight[:layers], straight[layers:]))
        return Outputs((logits - self.mean) / self.spread)

    def stays(self, share: float) -> Plan:
        """What the scores let stay when a share of the MACs goes."""
        values = [score.detach().double().cpu().numpy() for score in self.scores]
        layers = self.encoder.params.layers
        return self.planned(Parts(values[:layers], values[layers:]), share)

    def settle(self, step: int) -> None:
        """Nothing follows from new weights."""

    def rate(self, step: int) -> float:
        """Of the weights."""
        return learning_rate(step, steps=self.steps, peak=self.lr, warmup=_WARMUP)

    def quality(self) -> None:
        """Not watched: what counts is the file, and that is measured."""

    def state(self) -> State:
        """Weights, scores and moments, these by the number of their parameter."""
        moments = {
            f"{i}.{name}": value
            for i, p in enumerate(self.weights)
            for name, value in self.adam.state.get(p, {}).items()
        }
        scores = {str(i): score.detach() for i, score in enumerate(self.scores)}
        return {
            "model": self.encoder.state_dict(),
            "scores": scores,
            "adam": moments,
            "loss": self.loss.state_dict(),
        }

    def restore(self, found: Checkpoint) -> None:
        """Goes back to the state of a checkpoint."""
        self.encoder.load_state_dict(found.state["model"])
        self.loss.load_state_dict(found.state.get("loss", {}))
        with torch.no_grad():
            for number, values in found.state["scores"].items():
                self.scores[int(number)].copy_(values)
        for key, value in found.state.get("adam", {}).items():
            number, _, name = key.partition(".")
            p = self.weights[int(number)]
            self.adam.state[p][name] = value.to(p.device, copy=True)


def by_movement(
    batches: Batches,
    seen: Sequence[Seen],
    part: PrunePart,
    *,
    tokens: int,
    checkpoint_s: float,
    seed: int,
    folder: Path,
    progress: Progress,
) -> Callable[[Encoder, float], Cut]:
    """What trains an encoder for `part.steps` (1 at least) while its parts go, and cuts off those that went.

    Checkpoints are in `folder`. The cutter raises ConfigError when the loss is no longer a number.
    """

    def made(encoder: Encoder, share: float) -> Cut:
        def planned(scores: Parts, wanted: float) -> Plan:
            return plan(
                scores,
                encoder.params,
                tokens=tokens,
                share=wanted,
                scope=part.scope,
                align=part.align,
            )

        steps = max(1, part.steps)
        learner = Movement(
            encoder,
            distillation.score(encoder, seen, seed=seed),
            batches,
            planned,
            share=share,
            steps=steps,
            lr=part.lr * ADAM_SHARE,
        )
        course = loop.Course(
            steps=steps,
            batch_size=batches.batch_size,
            seed=seed,
            checkpoint_s=checkpoint_s,
            lr=part.lr,
            lr_key="prune.lr",
        )
        identity = (
            f"{_digest(encoder)} {batches.guide.key()} {part.model_dump_json()} {share:.6g} {seed}"
        )
        place = folder / f"movement-{digest_bytes(identity.encode())[:_DIGITS]}"
        loop.train(learner, batches.at, course, identity=identity, folder=place, progress=progress)
        checkpoint.remove_all(place)
        moved = learner.encoder.cpu()
        return cut(moved, learner.stays(share), tokens)

    return made


def _digest(encoder: Encoder) -> str:
    """Of all weights."""
    values = [np.ascontiguousarray(v.numpy()).tobytes() for v in encoder.state_dict().values()]
    return digest_bytes(b"".join(values))
