"""What a recipe says of networks that begin as the teacher: its parts, stages, smaller and cheaper forms of it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from squeeze.spec.frozen import Frozen


class SupernetPart(Frozen):
    """Students that are parts of one network, which inherits the teacher's weights. It is trained for `steps`; the part
    that is picked, alone for `further` steps, or in `stages`. `between`: parts drawn at random in a step, beside the
    largest and the smallest one. `networks`: how many of the spaces asked for get a network, 0 for all; which, their
    parts say before anything is trained. Of transformers alone: `batch_size`, `lr`; `mixed`: made texts for each text
    to train with; `information`: the weight of MI-alpha between the pooled states of a part and of the teacher, 0 for
    none; `alpha`: its alpha; `attention`: the weight of MiniLM's distributions of attention, 0 for none. Convolutional
    networks take `distill.batch_size` and `shrink.lr`."""

    space: Literal["auto", "untrained", "base", "small", "tiny"] = "auto"
    networks: int = Field(0, ge=0, le=3)
    steps: int = Field(1200, ge=1)
    further: int = Field(1200, ge=0)
    batch_size: int = Field(32, ge=2)
    lr: float = Field(5e-4, gt=0)
    between: int = Field(2, ge=0)
    mixed: float = Field(0.0, ge=0, le=10)
    information: float = Field(0.0, ge=0)
    alpha: float = Field(0.9, ge=0, le=1)
    attention: float = Field(0.0, ge=0)


class Stage(Frozen):
    """One of the trainings that follow each other for a part of a network of texts: on what, towards whom, and how far
    it goes into what is said. pretrained: the model that the teacher was fine-tuned from. answers: beside the latent
    loss, what is said of a sample, and its label."""

    data: Literal["general", "task"]
    teacher: Literal["pretrained", "fine-tuned"]
    loss: Literal["latent", "answers"]
    steps: int = Field(ge=1)

    @property
    def name(self) -> str | None:
        """Which of STAGES it is; None for none of them."""
        sizes = (self.data, self.teacher, self.loss)
        return next((name for name, known in STAGES.items() if known == sizes), None)


# Of ERNIE-Tiny, in their order: data, teacher and loss. From one to the next only one of the three changes.
STAGES: dict[str, tuple[str, str, str]] = {
    "gd": ("general", "pretrained", "latent"),
    "ged": ("general", "fine-tuned", "latent"),
    "tad": ("task", "fine-tuned", "latent"),
    "tsd": ("task", "fine-tuned", "answers"),
}


class ShrinkPart(Frozen):
    """Students that are the teacher made smaller: `steps` of distillation at a peak rate of `lr`, by default a third of
    `distill.steps`. farthest: where `search.start` leaves the choice, how far from the teacher one may begin, as a
    share of how far a constant answer is."""

    unkeyed: ClassVar[frozenset[str]] = frozenset({"farthest"})

    steps: int | None = Field(None, ge=0)
    lr: float = Field(0.05, gt=0)
    farthest: float = Field(0.5, gt=0)


class PuzzlePart(Frozen):
    """A network of replaced parts of a convolutional teacher, beside the student: each replacement learns for `steps`
    steps of Adam at a peak rate of `lr` what its part does with up to `samples` samples; the whole, as a teacher made
    smaller does, for `shrink.steps`. The bounds are those of `search`."""

    # It decides which steps there are, and none of what they find.
    unkeyed: ClassVar[frozenset[str]] = frozenset({"enabled"})

    enabled: bool = False
    steps: int = Field(200, ge=0)
    lr: float = Field(0.002, gt=0)
    samples: int = Field(1024, ge=2)


class PrunePart(Frozen):
    """Structured pruning: `ratio` is the share of MACs to remove, 0 for none; `steps` of training follow a round."""

    ratio: float = Field(0.0, ge=0, lt=1)
    rounds: int = Field(2, ge=1)
    # head, movement: of text encoders alone, whose heads and channels go
    importance: Literal["bn", "distillation", "head", "l2", "movement", "taylor"] = "distillation"
    scope: Literal["global", "group"] = "global"
    align: int = Field(8, ge=1)
    steps: int = Field(400, ge=0)
    lr: float = Field(0.03, gt=0)
    sparsity: Literal["none", "1:4", "2:4"] = "none"


class AdaptivePart(Frozen):
    """Tokens of a transformer get as many learners of a layer as they need. `compute`: the share of the operations of
    its linear layers between attentions that stays, 0 for a network as it is; `learners`: of each layer. Steps:
    `module_steps` of learners and `gate_steps` of gates, layer by layer, and `steps` of all of it, at the peak rate
    `lr`. budget, entropy, diversity: weights of what is learned beside the teacher's answers."""

    compute: float = Field(0.0, ge=0, lt=1)
    learners: int = Field(4, ge=2, le=64)
    module_steps: int = Field(400, ge=0)
    gate_steps: int = Field(200, ge=0)
    steps: int = Field(1200, ge=0)
    batch_size: int = Field(32, ge=2)
    lr: float = Field(2e-4, gt=0)
    budget: float = Field(1.0, ge=0)
    entropy: float = Field(0.05, ge=0)
    diversity: float = Field(0.0, ge=0)
