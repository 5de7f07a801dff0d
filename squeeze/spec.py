"""The frozen nouns: recipe, goal, architecture, measurement. Plain data, strict, no behaviour but parsing.

Recipe = what we want; measurement = what we got; what the device can is in target.py.
"""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from squeeze import paths
from squeeze.errors import ConfigError, unknown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Collection

Objective = Literal["balanced", "smallest", "fastest"]
# What a value is where a key takes either; pydantic puts it in the place of an error, people have no use for it.
_NAME, _TABLE = "a name", "a table"
# What a file says of itself.
NAMES = frozenset({"name", "schema_version", "summary"})


class Frozen(BaseModel):
    """Base of every noun: immutable, and an unknown key is an error, never ignored.

    `unkeyed`: fields that cannot change a result, such as names; a step that is given this is found without them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    unkeyed: ClassVar[frozenset[str]] = frozenset()

    def key(self) -> dict[str, Any]:  # Any: JSON
        """What of this decides the result of a step, as JSON."""
        plain = self.model_dump(mode="json")
        return {
            name: value.key() if isinstance(value := getattr(self, name), Frozen) else plain[name]
            for name in type(self).model_fields
            if name not in self.unkeyed
        }


class Goal(Frozen):
    """What the artifact has to reach. `None` means no limit; `max_drop` is in points of the metric,
    `max_worst_class_drop` in points of recall of the class that loses most; `max_bits`, of the inner layers' weights,
    is what `quant.bits` asks for."""

    max_latency_ms: float | None = Field(None, gt=0)
    max_bytes: int | None = Field(None, gt=0)
    max_ram_bytes: int | None = Field(None, gt=0)
    max_flash_bytes: int | None = Field(None, gt=0)
    max_bits: Literal[2, 3, 4] | None = None
    max_drop: float = Field(1.5, ge=0)
    max_worst_class_drop: float | None = Field(None, ge=0)
    objective: Objective = "balanced"


class SearchPart(Frozen):
    """Search without training. `evaluations` = 0 keeps the teacher's own architecture. start: where a student's weights
    begin: 'inherit', it is the teacher made smaller; 'anew', at random, its architecture searched; 'auto', the former
    where it begins near enough to the teacher (docs/search.md)."""

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
    start: Literal["auto", "inherit", "anew"] = "anew"


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
        Annotated[str, Tag(_NAME)] | Annotated[dict[str, Term], Tag(_TABLE)],
        Discriminator(lambda given: _TABLE if isinstance(given, Mapping) else _NAME),
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
    """Students that are the teacher made smaller: `steps` of distillation at a peak rate of `lr`. farthest: where
    `search.start` leaves the choice, how far from the teacher one may begin, as a share of how far a constant answer
    is."""

    unkeyed: ClassVar[frozenset[str]] = frozenset({"farthest"})

    steps: int = Field(800, ge=0)
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


class QuantPart(Frozen):
    """int8, and below it weights of `bits` bits. `steps` of quantised distillation are made where rounding alone loses
    more than the goal allows; 0 for none."""

    enabled: bool = True
    samples: int = Field(512, ge=1)
    selection: Literal["balanced", "bins", "k-centre", "random"] = "balanced"
    observer: Literal["best", "entropy", "minmax", "mse", "percentile"] = "best"
    bias_correction: bool = True
    adaround: bool = False
    smooth: bool = True
    equalise: bool = True
    # Weights in blocks of 4 or 8 bits, activations in float: for decoders, which wait for memory.
    weights_only: bool = False
    # Names, patterns or operators of nodes that stay float.
    keep_float: tuple[str, ...] = ()
    # Matrix products of two activations (attention) in int8 whatever it costs; else where that was timed to be faster.
    activation_products: bool = False
    # Outputs of the model in int8, too: for devices that run integers alone, which say so themselves.
    integer_outputs: bool = False
    bits: Literal[2, 3, 4, 8] = 8
    scaling: Literal["uniform", "linear", "codebook", "ternary", "binary"] = "uniform"
    method: Literal["post-training", "quantised-distillation", "differentiable", "mixed"] = (
        "quantised-distillation"
    )
    steps: int = Field(600, ge=0)
    lr: float = Field(0.03, gt=0)
    # Of the first and the last layer, which mind most.
    ends_bits: Literal[2, 3, 4, 8] = 8
    # What weights are trained with: 'auto' takes lsq, and codebook for the methods that learn points.
    quantiser: Literal["auto", "binary", "codebook", "lsq", "ternary", "uniform"] = "auto"
    # Of the quantiser codebook: more levels where gradients are large, fewer elsewhere.
    redistribute: bool = False
    # Of the quantiser ternary: TTQ, whose two magnitudes are learned.
    learned_levels: bool = False
    # Of the quantisers uniform and codebook (docs/quantisation.md).
    weight_scaling: Literal["auto", "linear", "absmax", "absnorm"] = "auto"
    bucket: Literal["channel"] | Annotated[int, Field(ge=2)] = "channel"
    rounding: Literal["deterministic", "stochastic"] = "deterministic"
    gradient: Literal["straight", "truncated", "exact"] = "straight"


class BudgetPart(Frozen):
    """What the compile itself may cost. time_s: seconds of the whole compile, None for as long as it takes."""

    time_s: float | None = Field(None, gt=0)


class Recipe(Frozen):
    """What we want: one part per step; each step is given only its own part."""

    unkeyed: ClassVar[frozenset[str]] = NAMES

    schema_version: Literal[1] = Field(1, alias="schema")
    name: str
    summary: str = ""
    seed: int = Field(0, ge=0, lt=1 << 63)
    goal: Goal = Goal()
    budget: BudgetPart = BudgetPart()
    search: SearchPart = SearchPart()
    masked: MaskedPart = MaskedPart()
    distill: DistillPart = DistillPart()
    supernet: SupernetPart = SupernetPart()
    stages: tuple[Stage, ...] = ()
    shrink: ShrinkPart = ShrinkPart()
    puzzle: PuzzlePart = PuzzlePart()
    prune: PrunePart = PrunePart()
    adaptive: AdaptivePart = AdaptivePart()
    quant: QuantPart = QuantPart()

    @field_validator("stages")
    @classmethod
    def _one_change_at_a_time(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        """Raises ValueError unless they are some of STAGES, one after the other."""
        order = [*STAGES]
        for i, stage in enumerate(stages):
            said = f"{stage.data} data, {stage.teacher} teacher, {stage.loss} loss"
            if stage.name is None:
                raise ValueError(f"none is of {said}; there are {_stages_in_words(order)}")
            before = stages[i - 1].name if i else None
            if before is None:
                continue
            left = order[order.index(before) + 1 :]
            if stage.name not in left[:1]:
                after = (
                    f"only {_stages_in_words(left[:1])} goes on from it"
                    if left
                    else "it is the last"
                )
                raise ValueError(
                    f"stage {i + 1} is of {said}, behind '{before}': one of the three changes at a time, in order; "
                    + after
                )
        return stages

    @property
    def trains(self) -> bool:
        """Whether anything may be: a student, a pruned or adaptive network, or weights of few bits."""
        quant = self.quant.enabled and self.quant.steps and self.quant.method != "post-training"
        parts = self.search.evaluations or self.prune.ratio or self.adaptive.compute
        return bool(parts or quant)


def _stages_in_words(names: list[str]) -> str:
    known = (f"'{name}' ({', '.join(STAGES[name])})" for name in names)
    return ", ".join(known)


class ArchSpec(Frozen):
    """A student: family and its parameters. JSON round-trips; `students.build` makes the module again."""

    family: str
    params: dict[str, Any] = Field(
        default_factory=dict
    )  # Any: each family has parameters of its own


class OutputScore(Frozen):
    """One metric of one output on the evaluation split: its value and its 95 % interval, in the metric's unit."""

    model_config = ConfigDict(allow_inf_nan=True)  # what a broken network scores is told as it is

    output: str
    metric: str
    value: float
    interval: tuple[float, float] | None = None


class Measurement(Frozen):
    """What one exported file did on one runtime. Never edited. `source` says how the numbers came to be.

    metric: of the output that is judged, on `n` samples of the evaluation split; `interval`: its 95 % interval.
    outputs: the same of every output that has a metric.
    """

    model_config = ConfigDict(allow_inf_nan=True)

    source: Literal["measured", "cycles", "static", "emulated", "estimate"] = "measured"
    metric: float
    metric_name: str
    n: int
    interval: tuple[float, float] | None = None
    outputs: tuple[OutputScore, ...] = ()
    latency_p50_ms: float | None
    latency_p90_ms: float | None
    latency_p99_ms: float | None
    runs: int
    threads: int
    peak_ram_bytes: int | None = None
    file_bytes: int
    weight_bytes: int
    params: int
    macs: int
    host: str
    isa: tuple[str, ...]
    runtime: str
    runtime_version: str


F = TypeVar("F", bound=Frozen)


_MOST_SAID = 80


class _Got(reprlib.Repr):
    """What somebody wrote in some words, however long or deep it is."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = _MOST_SAID

    def repr_int(self, x: int, level: int) -> str:
        # Python writes out no number of more than 4,300 digits.
        return super().repr_int(x, level) if x.bit_length() < 1000 else "a huge integer"


def load_recipe(source: str | Path, overrides: dict[str, Any] | None = None) -> Recipe:
    """Reads a shipped recipe by name, or a TOML file by path; `overrides` maps dotted keys to values.

    Raises ConfigError with file, key, what we got and what is allowed.
    """
    return load(Recipe, "recipes", source, overrides)


def recipe_keys() -> list[str]:
    """The dotted keys of a recipe that hold values: 'distill.steps', 'quant.bits', 'seed'."""
    found = []
    for name, field in Recipe.model_fields.items():
        inner = _table(field.annotation)
        several = inner is Stage  # of which no key names one
        inside = [] if inner is BaseModel or several else list(inner.model_fields)
        found += [f"{name}.{key}" for key in inside] or [name]
    return [key for key in found if key not in NAMES]


def names(folder: str) -> list[str]:
    """The names that are shipped in `folder` ('targets', 'recipes')."""
    return sorted(p.stem for p in paths.shipped(folder).glob("*.toml"))


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises ConfigError with the file and the line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise ConfigError(f"{path}: cannot be read: {e.strerror}") from e
    except RecursionError as e:
        raise ConfigError(f"{path}: arrays or tables within each other, too deep to be read") from e
    except (
        ValueError
    ) as e:  # TOML's own errors, text that is no UTF-8, integers of thousands of digits
        raise ConfigError(f"{path}: not valid TOML: {e}") from e


def parse(kind: type[F], data: dict[str, Any], where: str, overridden: Collection[str] = ()) -> F:
    """`data` as `kind`; a ConfigError names the key, what we got, what is allowed, and the nearest known key.

    where: the file; overridden: the dotted keys that --set gave, of which the file knows nothing."""
    try:
        return kind.model_validate(data)
    except ValidationError as e:
        at = ".".join(_place(e))
        given = any(at == key or at.startswith(f"{key}.") for key in overridden)
        raise ConfigError(_explain(kind, e, "--set" if given else where)) from e


def load(
    kind: type[F], folder: str, source: str | Path, overrides: dict[str, Any] | None = None
) -> F:
    """The file of `kind` shipped in `folder` as `source`, or lying at that path. Raises ConfigError."""
    path = Path(source)
    if path.suffix != ".toml":
        path = paths.shipped(folder) / f"{source}.toml"
        if not path.is_file():
            raise ConfigError(unknown(folder.rstrip("s"), str(source), names(folder)))
    data = read_toml(path)
    for dotted, value in (overrides or {}).items():
        *parents, leaf = dotted.split(".")
        table = data
        for parent in parents:
            table = table.setdefault(parent, {})
            if not isinstance(table, dict):
                raise ConfigError(f"--set {dotted:.80}: '{parent:.80}' is a value, not a table")
        table[leaf] = value
    return parse(kind, data, str(path), set(overrides or ()))


def _explain(kind: type[Frozen], error: ValidationError, where: str) -> str:
    first = error.errors()[0]
    dotted = ".".join(_place(error))[:_MOST_SAID]
    if first["type"] == "extra_forbidden":
        owner: type[BaseModel] = kind
        for part in first["loc"][:-1]:
            named = {f.alias or n: f for n, f in owner.model_fields.items()}
            # An index of a list, or the name of a kind of table, leads to no other.
            owner = _table(named[part].annotation) if part in named else owner
        known = [f.alias or n for n, f in owner.model_fields.items()]
        return unknown(f"{where}: key {dotted}", str(first["loc"][-1])[:_MOST_SAID], known)
    said = first["msg"].removeprefix("Value error, ")
    if first["type"] == "tuple_type":
        said = (
            """takes a list, such as ["one", "two"]; a shell wants it in quotes: '["one", "two"]'"""
        )
    if not dotted:  # of the whole table: what it holds is not repeated
        return f"{where}: {said}"
    got = "" if first["type"] == "missing" else f" (got {_Got().repr(first['input'])})"
    return f"{where}: {dotted}: {said}{got}"


def _place(error: ValidationError) -> list[str]:
    """The keys that lead to the first thing that is wrong."""
    return [str(p) for p in error.errors()[0]["loc"] if p not in (_NAME, _TABLE)]


def _table(annotation: Any) -> type[BaseModel]:  # Any: annotations are only known at run time
    """The kind of table that values of a field are, or hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    within = (_table(inner) for inner in get_args(annotation) if inner is not type(None))
    return next((found for found in within if found is not BaseModel), BaseModel)
