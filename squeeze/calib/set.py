"""The nouns of a calibration set: three disjoint splits, and the way from a stored sample to the model's inputs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from squeeze import metrics
from squeeze.calib import class_names as calib_names
from squeeze.calib import embedded as calib_embedded
from squeeze.calib import fit as calib_fit
from squeeze.calib import labels as calib_labels
from squeeze.calib import modality as calib_modality
from squeeze.calib import split as calib_split
from squeeze.calib.modality import Modality
from squeeze.calib.preprocess import Preprocess
from squeeze.calib.rows import Array, Origin, Raw, select, value_range
from squeeze.calib.stored import Data
from squeeze.calib.text.sentences import Text
from squeeze.calib.text.tokenised import Tokenised
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.feed import Feed, Padding, Passes
from squeeze.workdir import digest_json

if TYPE_CHECKING:
    from squeeze.interface import Interface, TensorSpec

logger = logging.getLogger(__name__)

Json = dict[str, Any]  # Any: JSON
_NONE = np.empty(0, np.intp)


@dataclass(frozen=True)
class Split:
    """Stored samples by input, [n, ...] each (in memory, or Rows of a file), and labels y: [n] int64, [n] or [n, k]
    float32, or None. groups: a number for each sample, [n], that metrics of the user's may ask for. rows: which of the
    set's texts each sample is made of, [n]; None of sets that are no texts. extra: so many, the last ones, were added
    to the set's own, which had the labels own_y. origin: where they were read from, as they were split.

    `digest` is the SHA-256 of type, shape and bytes of all; of several inputs the names too.
    """

    arrays: Mapping[str, Raw]
    y: Array | None
    digest: str
    groups: Array | None = None
    rows: Array | None = None
    extra: int = 0
    own_y: Array | None = None
    origin: Origin | None = None

    @property
    def x(self) -> Raw:
        """The samples of the only input. Raises UnsupportedError for several."""
        return self.arrays[only(self.arrays)]

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def some(self, rows: NDArray[np.intp], said: str) -> Split:
        """The samples at `rows`, ascending, with all that is theirs. said: what decides which they are."""
        labels, groups, texts = (
            None if of is None else of[rows] for of in (self.y, self.groups, self.rows)
        )
        extra = int((rows >= len(self) - self.extra).sum())
        own = None if self.own_y is None else self.own_y[rows[: len(rows) - extra]]
        arrays = {name: select(array, rows) for name, array in self.arrays.items()}
        digest = digest_json([self.digest, said])
        return Split(arrays, labels, digest, groups, texts, extra, own)


@dataclass(frozen=True)
class Calib:
    """Three disjoint splits. `preprocesses` are by input; `classes` is None without class labels.

    metric: the one that was named, or that labels imply; None without either. output: the one that was named to be
    judged. `assumed` is what nobody said, in words. states: input -> output, for inputs without data that take what the
    model gave for the sample before; until that was computed they are zeros. steps: how many samples in a row are one
    sequence, at which states begin anew; None where nobody said. origins: input -> its array as
    the file has it, in words. licence: of the data, an SPDX expression, where somebody said it. class_names: of the
    classes 0, 1, ...; empty where nobody said. embedded: what the file that these samples are for does to its inputs
    itself, behind `preprocesses`. text: how texts became these samples, where they were texts.
    """

    name: str
    source: str
    digest: str
    fit: Split
    calibrate: Split
    evaluate: Split
    preprocesses: Mapping[str, Preprocess]
    modality: Modality
    metric: str | None
    classes: int | None
    output: str | None = None
    assumed: tuple[str, ...] = ()
    states: Mapping[str, str] = field(default_factory=dict)
    steps: int | None = None
    origins: Mapping[str, str] = field(default_factory=dict)
    licence: str | None = None
    class_names: tuple[str, ...] = ()
    embedded: Mapping[str, Preprocess] = field(default_factory=dict)
    text: Tokenised | None = None

    @property
    def splits(self) -> dict[str, Split]:
        """By name, in the order of their use."""
        return {"fit": self.fit, "calibrate": self.calibrate, "evaluate": self.evaluate}

    def with_fit(self, fit: Split) -> Calib:
        """The same with other samples to fit with."""
        digests = [fit.digest, self.calibrate.digest, self.evaluate.digest]
        return replace(self, fit=fit, digest=digest_json(digests))

    @property
    def preprocess(self) -> Preprocess:
        """That of the only input. Raises UnsupportedError for several."""
        return self.preprocesses[only(self.preprocesses)]

    def key(self) -> Json:
        """All that can change a result; names and words are not in it."""
        return {
            "samples": self.digest,
            "preprocess": {n: p.model_dump(mode="json") for n, p in self.preprocesses.items()},
            "modality": self.modality,
            "metric": self.metric,
            "output": self.output,
            "classes": self.classes,
            "states": dict(self.states),
            "steps": self.steps,
            "embedded": {n: p.model_dump(mode="json") for n, p in self.embedded.items()},
            "text": None if self.text is None else self.text.key(),
            "class_names": self._asked_names(),
        }

    def _asked_names(self) -> list[str]:
        """The names of classes where the metric reads them; else they change no result."""
        known = metrics.METRICS.get(self.metric or "")
        return list(self.class_names) if known and "class_names" in known.asks else []

    def blind(self) -> Calib:
        """The set without its evaluate split: for whatever makes or chooses something."""
        nothing = {name: select(x, _NONE) for name, x in self.evaluate.arrays.items()}
        digests = [self.fit.digest, self.calibrate.digest]
        return replace(self, evaluate=Split(nothing, None, ""), digest=digest_json(digests))

    def as_stored(self, interface: Interface) -> tuple[Calib, Interface]:
        """This set, fitted to `interface`, for a file that does the preprocessing itself, and what such a file takes;
        inputs that are stored as the model takes them stay."""
        specs: list[TensorSpec] = []
        left, done = dict(self.preprocesses), dict(self.embedded)
        for spec in interface.inputs:
            stored, known = self.fit.arrays[spec.name], self.preprocesses[spec.name]
            if calib_embedded.is_nothing(known, stored, spec):
                specs.append(spec)
                continue
            specs.append(calib_embedded.stored_spec(known, stored, spec))
            left[spec.name], done[spec.name] = calib_embedded.as_stored(stored), known
        return (
            replace(self, preprocesses=left, embedded=done),
            replace(interface, inputs=tuple(specs)),
        )

    def raw(self, interface: Interface, split: Split, count: int) -> dict[str, Array]:
        """The first samples as they are stored, of the inputs that need preprocessing for `interface`."""
        return {
            spec.name: np.asarray(split.arrays[spec.name][:count])
            for spec in interface.inputs
            if not calib_embedded.is_nothing(
                self.preprocesses[spec.name], split.arrays[spec.name], spec
            )
        }

    def texts(self, split: Split, count: int) -> list[Text]:
        """What the first samples were made of; nothing of sets that are no texts."""
        if self.text is None or split.rows is None:
            return []
        return [self.text.texts[row] for row in split.rows[:count]]

    def as_model(self, split: Split) -> dict[str, Array]:
        """All samples as the network behind everything takes them."""
        found = self.feed(split)
        return found | {n: p.apply(found[n]) for n, p in self.embedded.items()}

    def feed(self, split: Split, start: int = 0, stop: int | None = None) -> dict[str, Array]:
        """Preprocessed samples start..stop by input. Before `fitted`, as far as can be guessed without a model."""
        return {n: p.apply(np.asarray(split.arrays[n][start:stop])) for n, p in self._known()}

    def take(self, split: Split, indices: NDArray[np.intp] | Sequence[int]) -> dict[str, Array]:
        """As `feed`, the samples at `indices`, in their order."""
        rows = np.asarray(indices, np.intp)
        return {n: p.apply(np.asarray(split.arrays[n][rows])) for n, p in self._known()}

    def feeds(self, split: Split, batch_size: int) -> Iterator[Feed]:
        """All samples in order, `batch_size` at a time; only that many are in memory."""
        known = self._known()
        for start in range(0, len(split), batch_size):
            yield {
                n: p.apply(np.asarray(split.arrays[n][start : start + batch_size]))
                for n, p in known
            }

    def passes(
        self,
        interface: Interface,
        split: Split,
        indices: NDArray[np.intp] | Sequence[int],
        batch_size: int,
        workers: int = 1,
        padding: Padding | None = None,
    ) -> Passes:
        """The samples at `indices`, again and again, as quantisation wants them; on so many cores. padding: what it may
        leave away of them."""
        chosen = np.asarray(indices, np.intp)

        def begin() -> Iterator[Feed]:
            for start in range(0, len(chosen), batch_size):
                yield self.take(split, chosen[start : start + batch_size])

        return Passes(interface, begin, workers, padding)

    def inputs(self, split: Split, start: int = 0, stop: int | None = None) -> Array:
        """`feed` of the only input. Raises UnsupportedError for several."""
        return self.feed(split, start, stop)[only(self.preprocesses)]

    def batches(self, split: Split, batch_size: int) -> Iterator[Array]:
        """`feeds` of the only input. Raises UnsupportedError for several."""
        name = only(self.preprocesses)
        return (feed[name] for feed in self.feeds(split, batch_size))

    def sample(self, split: Split, n: int, seed: int = 0) -> NDArray[np.intp]:
        """`n` indices into `split` (all, if it has fewer) in random order, balanced over the classes of labels; samples
        that are judged together stay together, one after the other."""
        count = min(n, len(split))
        known = metrics.METRICS.get(self.metric or "")
        if known is not None and known.together is not None and split.groups is not None:
            return calib_split.whole_groups(split.groups, count, np.random.default_rng(seed))
        return calib_split.balanced(split.y, len(split), count, np.random.default_rng(seed))

    def fitted(self, interface: Interface) -> Calib:
        """This set as the model takes it: inputs by their names, axes, scale and type decided.

        Raises ConfigError when inputs, shape, type or labels can't agree with the model. What was assumed is said as a
        warning.
        """
        given = self._named_as(interface)
        found = {
            spec.name: calib_fit.fit(
                given._data(spec.name, spec), given.preprocesses[spec.name], spec
            )
            for spec in interface.inputs
        }
        classes, output, said = self._judged(interface)
        assumed = (*(text for fit in found.values() for text in fit.assumed), *said)
        for text in assumed:
            logger.warning("%s: assumed %s", self.source, text)
        return replace(
            given,
            preprocesses={name: fit.preprocess for name, fit in found.items()},
            modality=calib_modality.joined([fit.modality for fit in found.values()]),
            classes=classes,
            output=output,
            assumed=(*self.assumed, *assumed),
        )

    def _named_as(self, interface: Interface) -> Calib:
        """The arrays in the order of the model's inputs; an only one takes the model's name for it."""
        names = [spec.name for spec in interface.inputs]
        here = list(self.preprocesses)
        if len(here) == len(names) == 1:
            source = {names[0]: here[0]}
        elif sorted(here) == sorted(names):
            source = {name: name for name in names}
        else:
            got = f"inputs {', '.join(here)}" if len(here) > 1 else "one input"
            raise ConfigError(
                f"{self.source}: has samples for {got}, the model takes {', '.join(map(str, interface.inputs))}; give "
                "one array for each, called after it (an .npz, or [arrays.inputs] in a TOML)"
            )

        def renamed(split: Split) -> Split:
            return replace(split, arrays={name: split.arrays[old] for name, old in source.items()})

        return replace(
            self,
            fit=renamed(self.fit),
            calibrate=renamed(self.calibrate),
            evaluate=renamed(self.evaluate),
            preprocesses={name: self.preprocesses[old] for name, old in source.items()},
        )

    def _judged(self, interface: Interface) -> tuple[int | None, str | None, tuple[str, ...]]:
        """How many classes the model tells apart, the output that the labels belong to, and what was assumed."""
        known_labels = [(s.y, s.origin) for s in self.splits.values() if s.y is not None]
        labels = [y for y, _ in known_labels]
        if self.output is None and not labels:
            return self.classes, None, ()
        known = metrics.METRICS.get(self.metric or "")
        if known is None and self.metric and metrics.resolve(self.metric).takes_all:
            return self.classes, None, ()
        by_outputs = known is not None and (known.needs == "teacher" or known.labels != "plain")
        if by_outputs and self.output is None:
            return self.classes, None, ()
        spec = metrics.output_for(interface, labels, self.output, f"{self.source}: ")
        outputs = _numbers(spec)
        if labels and outputs and known is not None:
            calib_labels.check_range(known_labels, self.source, known.key, outputs)
        classes = self.classes
        if classes is not None:
            classes = max(classes, outputs)
        if self.class_names and outputs:
            calib_names.check_outputs(self.class_names, self.source, outputs)
        if self.output is None and len(interface.outputs) > 1:
            said = f"metric {self.metric} of output '{spec.name}', the first that the labels fit"
            return classes, spec.name, (said,)
        return classes, self.output, ()

    def _known(self) -> list[tuple[str, Preprocess]]:
        """Name and preprocessing of each input; guessed where no model has decided it."""
        return [
            (n, calib_fit.guess(self._data(n), p) if p.layout == "auto" or p.scale is None else p)
            for n, p in self.preprocesses.items()
        ]

    def _data(self, name: str, model: TensorSpec | None = None) -> Data:
        arrays = [split.arrays[name] for split in self.splits.values()]
        dtype, several = arrays[0].dtype, len(self.preprocesses) > 1
        # Of floats only half precision asks: to find the range reads the whole set.
        asked = dtype.kind in "biu" or (model is not None and model.dtype == "float16")
        low, high = value_range(arrays) if asked and 0 not in arrays[0].shape else (0.0, 0.0)
        known = self.modality
        modality = calib_modality.infer(arrays[0]) if several or known == "mixed" else known
        where = f"{self.source}: input '{name}'" if several else self.source
        return Data(where, arrays[0].shape[1:], str(dtype), low, high, modality)


def only(named: Mapping[str, object]) -> str:
    """The name of the only input. Raises UnsupportedError when there are several."""
    if len(named) != 1:
        raise UnsupportedError(
            f"the data has inputs {', '.join(named)}; this needs data for a model with one input"
        )
    return next(iter(named))


def _numbers(spec: TensorSpec) -> int:
    """How many numbers an output has for a sample that labels can be held against; 0 for maps and integers."""
    if np.dtype(spec.dtype).kind in "biu" or len(spec.shape) > 1:
        return 0
    return spec.shape[0] if spec.shape else 1
