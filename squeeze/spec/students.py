"""What a recipe says of how students come to be: searched, distilled, taken from a network, made of the teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag, ValidationInfo, field_validator

from squeeze.spec.frozen import Frozen

# What a value is where a key takes either; pydantic puts it in the place of an error, people have no use for it.
NAME, TABLE = "a name", "a table"


class SearchPart(Frozen):
    """Search without training. `evaluations` = 0 keeps the teacher's own architecture. start: where a student's weights
    begin: 'inherit', it is the teacher made smaller; 'anew', at random, its architecture searched; 'auto', the former
    for convolutional teachers, where it begins near enough to the teacher (docs/search.md). bits: of the weights of a
    student for a demanded size, which has the more of them the fewer bits they take; 8 where a target packs none.
    'auto' are 4, and 3 or 2 for a smaller teacher that would begin far from the teacher."""

    # It decides which steps there are, and none of what they find.
    unkeyed: ClassVar[frozenset[str]] = frozenset({"start"})

    evaluations: int = Field(160, ge=0)
    population: int = Field(32, ge=2)
    measured: int = Field(6, ge=1)
    families: tuple[str, ...] = ()
    speedup: float = Field(8.0, ge=1)
    shrink: float = Field(12.0, ge=1)
    batch_size: int = Field(64, ge=4)
    proxy: str = "diswot"
    start: Literal["auto", "inherit", "anew"] = "auto"
    bits: Literal["auto", 8, 4, 3, 2] = "auto"


class Term(Frozen):
    """One of the losses that `distill.loss` adds up: its weight, which goes in a straight line to `end_weight` where
    there is one. Further keys are options of that loss, such as `temperature`."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float]

    weight: float = Field(1.0, ge=0)
    end_weight: float | None = Field(None, ge=0)

    @property
    def options(self) -> dict[str, float]:
        """What the loss is made with beside the defaults."""
        return dict(self.__pydantic_extra__)


class DistillPart(Frozen):
    """Distillation with a fixed number of steps, so that the same seed gives the same weights.

    loss: the name of one, or a table of names and weights: `{kd = 1.0, crd = {weight = 0.8, temperature = 0.07}}`.
    panel: what several teachers say together, their mean or the best of them for each sample. codec: how answers are
    kept, see `guides.codec`. least_sure: the share of the calibrate split which extra samples have to be surer than.
    patience: of ten looks at the calibrate split, after how many in a row that find the average no better it stops; 0
    for never. crops: views of a sample in a batch. drop_unsure, label_unsure, thin_sure: shares of the views that the
    guide is least sure of, next to them, and surest of, see `guides.sureness`. keep: the share of samples to train
    with, chosen 'anew' for each epoch, or 'once'. label_weight: what labels count beside answers, 'auto' as held-out
    samples say, or by how few samples are kept. assistants: networks between teacher and student that are taught first,
    'auto' as many as the sizes ask for (docs/distillation.md)."""

    # What a panel says is in the key of its answers, which samples stay in that of the data, and assistants decide who
    # answers.
    unkeyed: ClassVar[frozenset[str]] = frozenset(
        {"assistants", "checkpoint_s", "least_sure", "panel"}
    )

    steps: int = Field(2500, ge=1)
    batch_size: int = Field(128, ge=2)
    lr: float = Field(0.4, gt=0)
    weight_decay: float = Field(5e-4, ge=0)
    warmup: float = Field(0.05, ge=0, lt=1)
    ema: float = Field(0.999, ge=0, lt=1)
    patience: int = Field(0, ge=0)
    # Each is a file or two that stay open while something is trained.
    views: int = Field(4, ge=1, le=400)
    loss: Annotated[
        Annotated[str, Tag(NAME)] | Annotated[dict[str, Term], Tag(TABLE)],
        Discriminator(lambda given: TABLE if isinstance(given, Mapping) else NAME),
    ] = "auto"
    temperature: float = Field(4.0, gt=0)
    label_weight: Literal["auto"] | float = 0.1
    panel: Literal["best", "mean"] = "mean"
    codec: str = "full"
    least_sure: float = Field(0.0, ge=0, lt=1)
    crops: int = Field(1, ge=1)
    drop_unsure: float = Field(0.0, ge=0, lt=1)
    label_unsure: float = Field(0.0, ge=0, lt=1)
    thin_sure: float = Field(0.0, ge=0, lt=1)
    keep: float = Field(1.0, gt=0, le=1)
    keep_chosen: Literal["anew", "once"] = "anew"
    assistants: Literal["auto"] | int = 0
    augment: str = "auto"
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    # Seconds between two places where a killed training can go on; 0 for every step.
    checkpoint_s: float = Field(30.0, ge=0)

    @field_validator("assistants", "label_weight", mode="before")
    @classmethod
    def _number_or_auto(cls, given: Any, info: ValidationInfo) -> Any:  # Any: not validated yet
        """One line for both that it may be."""
        whole = info.field_name == "assistants"
        kind, most = ("whole number", 8) if whole else ("number", 1)
        number = isinstance(given, int if whole else (int, float)) and not isinstance(given, bool)
        if given != "auto" and not (number and 0 <= given <= most):
            raise ValueError(f"takes 'auto', or a {kind} from 0 to {most}")
        return given

    @field_validator("loss", mode="before")
    @classmethod
    def _weights_alone(cls, given: Any) -> Any:  # Any: not validated yet
        """A number where a table could be is the weight."""
        if isinstance(given, str):
            return given
        if not isinstance(given, Mapping) or not given:
            raise ValueError("takes the name of a loss, or a table of names and weights")
        terms = {}
        for name, value in given.items():
            if not isinstance(value, (int, float, Mapping, Term)):
                raise ValueError(
                    f"'{name}' takes a weight, or a table such as {{weight = 1.0, temperature = 4.0}}"
                )
            terms[name] = {"weight": value} if isinstance(value, (int, float)) else value
        return terms


class MaskedPart(Frozen):
    """What a student of the family `vit` learns before it is distilled, from a teacher that is a vision transformer,
    too: `steps` in which both see 1 - `share` of an image, 0 for none. depth: how far into both, as a share of their
    layers, the states are that are compared. lr, weight_decay: on the scale of `distill.lr`, `distill.weight_decay`."""

    steps: int = Field(0, ge=0)
    share: float = Field(0.75, gt=0, lt=1)
    depth: float = Field(0.75, gt=0, le=1)
    batch_size: int = Field(128, ge=2)
    lr: float = Field(0.2, gt=0)
    weight_decay: float = Field(5e-4, ge=0)
    warmup: float = Field(0.05, ge=0, lt=1)
