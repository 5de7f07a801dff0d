"""What a network is trained towards: a loss, with answers and labels in the form and on the scale that it wants.

Values of a regression can be of any size, and a learning rate fits only one. So a student of values learns standardised
ones, and the scale is folded into its last layer when it is done; class logits stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from squeeze import losses
from squeeze.errors import ConfigError
from squeeze.outputs import Outputs

if TYPE_CHECKING:
    from squeeze.calib import Calib
    from squeeze.guides import Guide
    from squeeze.losses import Loss
    from squeeze.spec import DistillPart


@dataclass(frozen=True)
class Lesson:
    """Standardised = (value - mean) / spread, `mean`: [c], [1] where outputs are maps; 0 and 1 in spaces that have no
    scale to learn."""

    loss: Loss
    mean: NDArray[np.float32]
    spread: float

    def logits(self, logits: NDArray[np.float32]) -> Tensor:
        """[n, c] or [n, c, ...places] as the loss wants them."""
        return torch.from_numpy(np.asarray((logits - self.mean) / self.spread, np.float32))

    def answers(self, given: Outputs[NDArray[np.float32]]) -> Outputs[Tensor]:
        """What the guide says, as the loss wants it; taps stay as they are."""
        taps = {name: torch.from_numpy(values) for name, values in given.taps.items()}
        return Outputs(self.logits(given.logits), taps)

    def labels(self, labels: NDArray[np.generic] | None) -> Tensor | None:
        """Class numbers [n] or [n, ...places], shares of classes [n, c] or values; None when the loss has no use for
        this kind."""
        space = self.loss.space
        if labels is None or space == "directions":
            return None
        outputs = len(self.mean)
        whole = np.issubdtype(labels.dtype, np.integer)
        if space == "places":
            return torch.from_numpy(labels.astype(np.int64)) if whole and labels.ndim > 1 else None
        if space == "values":
            return None if whole else self.logits(_as_rows(labels, outputs))
        if space == "yes-no":
            # Shares of two classes, of which the one logit stands for the second.
            one = labels[:, 1] if outputs == 1 and labels.shape[1:] == (2,) else labels
            return torch.from_numpy(one.astype(np.float32))
        if whole:
            return torch.from_numpy(labels.astype(np.int64))
        shares = labels.shape[1:] == (outputs,)
        return torch.from_numpy(labels.astype(np.float32)) if shares else None

    def quality(self, student: Tensor, teacher: Tensor) -> tuple[str, float]:
        """Name and value of how near the student is, both [n, c] standardised: points, or the relative error."""
        space = self.loss.space
        if space == "values":
            return "error", float((student - teacher).square().mean().sqrt())
        if space == "directions":
            return "cosine", 100 * float(nn.functional.cosine_similarity(student, teacher).mean())
        if space == "yes-no":
            return "agreement", 100 * float(((student > 0) == (teacher > 0)).float().mean())
        return "agreement", 100 * float((student.argmax(1) == teacher.argmax(1)).float().mean())

    @torch.no_grad()
    def fold(self, classifier: nn.Linear) -> None:
        """Puts mean and spread into the last layer, so that it gives values as the teacher does."""
        if self.loss.space not in ("values", "directions"):
            return
        classifier.weight.mul_(self.spread)
        if classifier.bias is not None:
            classifier.bias.mul_(self.spread).add_(torch.from_numpy(self.mean))

    @torch.no_grad()
    def unfold(self, classifier: nn.Linear) -> None:
        """Takes out what `fold` put in, so that it learns on the scale of the lesson again."""
        if self.loss.space not in ("values", "directions"):
            return
        classifier.weight.div_(self.spread)
        if classifier.bias is not None:
            classifier.bias.sub_(torch.from_numpy(self.mean)).div_(self.spread)


def lesson_of(part: DistillPart, calib: Calib, guide: Guide, activation: str) -> Lesson:
    """The lesson for `part.loss`, on the scale of the guide's answers. activation: what the teacher ends with.

    Raises ConfigError for a loss that is unknown or does not fit.
    """
    assert part.label_weight != "auto"  # whoever trains has put a number there
    shape = guide.plain.shape[1:]
    return on_scale(loss_of(part, calib, shape, activation, part.label_weight), guide)


def loss_of(
    part: DistillPart,
    calib: Calib,
    shape: tuple[int, ...],
    activation: str,
    label_weight: float,
) -> Loss:
    """`part.loss` for answers whose samples are of `shape`, [c] or [c, ...places].

    Raises ConfigError for a loss that is unknown or does not fit.
    """
    outputs, *places = shape
    loss = losses.make(
        part.loss,
        temperature=part.temperature,
        label_weight=label_weight,
        outputs=outputs,
        activation=activation,
        metric=calib.metric,
        classes=calib.classes,
        valued=calib.classes is None and calib.fit.y is not None,
    )
    if bool(places) != (loss.space == "places"):
        wanted = "[n, c, ...places]" if loss.space == "places" else "[n, c]"
        found = f"[n, {', '.join(map(str, shape))}]"
        raise ConfigError(
            f"distill.loss: needs a teacher that gives {wanted}, and this one gives {found}; "
            + ("name the metric, miou, and use 'auto'" if places else "use 'auto'")
        )
    return loss


def on_scale(loss: Loss, guide: Guide) -> Lesson:
    """The lesson of a loss, on the scale of the guide's answers."""
    mean = np.zeros(1 if loss.space == "places" else guide.plain.shape[1], np.float32)
    if loss.space not in ("values", "directions"):
        return Lesson(loss, mean, 1.0)
    found, spread = guide.moments()
    if loss.space == "directions":  # an angle has no offset to take away
        spread = float(np.sqrt(spread**2 + np.square(found).mean()))
    else:
        mean = found
    return Lesson(loss, mean, spread if spread > 0 else 1.0)


def _as_rows(labels: NDArray[np.generic], outputs: int) -> NDArray[np.float32]:
    values = labels.astype(np.float32)
    return values.reshape(-1, 1) if outputs == 1 else values
