"""Everything knowable fails here: the teacher, the data, whether they agree, and what there is to beat."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze import calib as calibration
from squeeze import measure, metrics
from squeeze import teacher as teachers
from squeeze.calib.extra import with_extra
from squeeze.calib.shared import judges_what_trains
from squeeze.case import Case
from squeeze.errors import ConfigError
from squeeze.metrics import Reading, per_class
from squeeze.net import FloatNet
from squeeze.steps.heart import known_by_heart
from squeeze.steps.keeping import check_kept
from squeeze.steps.states import fed_back
from squeeze.teacher.ends import said_of
from squeeze.teacher.example import MisfitError
from squeeze.teacher.sized import samples_of
from squeeze.workdir import digest_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from squeeze.calib import Asked, AskedText, Calib
    from squeeze.feed import Array, Feed
    from squeeze.run import At, Run
    from squeeze.teacher import Teacher

Json = dict[str, Any]  # Any: JSON
Shapes = Mapping[str, Sequence[int]]
EXAMPLES = 4


@dataclass(frozen=True)
class Source:
    """What the teacher is made from, and the digest of all of it."""

    path: str
    weights: str | None
    digest: str

    def key(self) -> str:
        """The bytes decide, not where they lie."""
        return self.digest


@dataclass(frozen=True)
class Example:
    """A few samples that a teacher is tried on: preprocessed as can be guessed without a model, and as they are stored.
    None where there are no data. origins: input -> the whole array in words, for messages."""

    guessed: Feed | None
    stored: Feed | None
    origins: Mapping[str, str] = field(default_factory=dict)

    def key(self) -> list[Json | None]:
        """Names, types, sizes and values."""
        return [
            None
            if feed is None
            else {n: [str(x.dtype), list(x.shape), _digest(x)] for n, x in feed.items()}
            for feed in (self.guessed, self.stored)
        ]


# Files of texts without columns.
_LINES = (".conll", ".txt")


def load(
    run: Run,
    source: str,
    weights: str | None,
    data: str | None,
    metric: str | None,
    shapes: Shapes | None = None,
    *,
    trained: bool = True,
    keep_float: Sequence[str] = (),
    preprocess: Asked | None = None,
    text: AskedText | None = None,
    extra: Sequence[str] = (),
) -> Case:
    """The teacher as one ONNX file, the data fitted to its inputs (or made without data), and what is judged.

    shapes: of inputs (batch included, by name, or under "") that leave sizes open, where no data tell them. trained:
    whether something will be; without that the samples to train with calibrate too. keep_float: patterns of nodes, each
    of which fits one. preprocess, text: as `calib.load` takes them. extra: data whose samples train, without labels.
    Raises ConfigError or UnsupportedError for anything wrong with either, or with the pair.
    """
    raw: Calib | None = None
    if data is not None:
        said = said_of(source, weights)
        of_model: Json = {
            "seed": run.seed,
            "inputs": teachers.input_names(source, weights),
            "ends": None if said is None else (said.inputs, said.outputs),
            "model": source,
            "of_model": None if said is None else said.data,
        }
        raw = calibration.load(
            data, metric=metric, trained=trained, preprocess=preprocess, text=text, **of_model
        )
        raw = with_extra(raw, [_extra(path, raw, text, of_model) for path in extra])
        if trained:
            _refuse_untrainable(raw)
    elif extra:
        raise ConfigError("--extra: there are no data that it could be beside; give --calib")
    elif preprocess is not None:
        raise ConfigError("--preprocess, --scale, --mean, --std: there are no data; give --calib")
    elif text is not None:
        raise ConfigError(
            "--text, --label, --tokenizer, --max-length: there are no data; give --calib"
        )
    given = Source(source, weights, teachers.source_digest(source, weights))
    if raw is not None and shapes:
        raise ConfigError(f"--shape: the data {data} say the sizes; leave one of the two away")
    assumed: tuple[str, ...] = ()
    if raw is None:
        made, assumed = samples_of(source, weights, shapes or {})
        example = Example(made, None)
    else:
        example = _example(raw)
    step = run.step("teacher", adopt, source=given, example=example)
    # The same bytes may have been read elsewhere before, where they need not be any more.
    teacher = replace(teachers.Teacher.from_json(step.path, step.result["teacher"]), source=source)
    check_kept(teacher, keep_float)
    if run.supernet is not None:
        run.supernet.check(teacher.digest)
    fitted = _synthesised(run, teacher, metric) if raw is None else raw.fitted(teacher.interface)
    if raw is not None:
        _refuse_one_run(teacher, fitted)
    fitted = replace(fitted, assumed=(*assumed, *fitted.assumed))
    fitted = fed_back(run, teacher, fitted)
    net = FloatNet("kept", teacher.model, digest_file(teacher.model), teacher.interface)
    # Repeated: every candidate is asked at the end.
    base = run.step(
        "baseline", ask, repeated=True, teacher=teacher, data=fitted, threads=run.threads
    )
    readings = tuple(Reading.from_json(reading) for reading in base.result["readings"])
    learnt = tuple(base.result["by_heart"])
    by_heart = learnt if any(value is not None for value in learnt) else ()
    recalls = tuple((int(n), float(recall)) for n, recall in base.result["by_heart_recalls"])
    return Case(teacher, net, fitted, readings, base.path, by_heart, recalls)


def _extra(path: str, data: Calib, text: AskedText | None, of_model: Json) -> Calib:
    """Samples for `with_extra`: texts are cut where those of `data` are, and are lines or have the same columns.
    of_model: what `calib.load` is given of the model."""
    asked: dict[str, Any] | None = None  # Any: values of keys
    if data.text is not None:
        given = dict(text or {})
        kept = ("tokenizer",) if Path(path).suffix.lower() in _LINES else ("columns", "tokenizer")
        asked = {"max_length": data.text.length, **{k: given[k] for k in kept if k in given}}
    return calibration.load(path, text=asked, **of_model)


def adopt(at: At, *, source: Source, example: Example) -> Json:
    """Writes the teacher in squeeze's form."""
    found = _loaded(source, example, at.folder)
    summary = (
        f"{found.params / 1e6:.2f} M params · {found.macs / 1e6:.0f} M MACs · "
        f"{found.model.stat().st_size / 1e6:.2f} MB fp32"
    )
    return {"summary": summary, "teacher": found.to_json()}


def _loaded(source: Source, example: Example, folder: Path) -> Teacher:
    def load_on(feed: Feed | None) -> Teacher:
        made_up = example.stored is None
        return teachers.load(
            source.path, weights=source.weights, example=feed, folder=folder, made_up=made_up
        )

    try:
        return load_on(example.guessed)
    except ConfigError as refused:
        if example.stored is None:
            raise
        # A model of integers, or of pixels as they are stored, takes no guess that was made before it was known.
        try:
            return load_on(example.stored)
        except MisfitError as unfit:
            if not isinstance(refused, MisfitError):
                raise refused from None
            # Of both, what is said of the data as people have them; a guess has other axes.
            raise ConfigError(f"{unfit}. Given: {', '.join(example.origins.values())}") from None
        except ConfigError:
            raise refused from None


def _refuse_untrainable(data: Calib) -> None:
    """Raises ConfigError where there is nothing to train with, or where what is trained on would be what judges."""
    if len(data.fit) == 0:
        raise ConfigError(
            f"{data.source}: has samples to calibrate and to evaluate, none to train with; add them (x_train), or keep "
            "the architecture and the weights: --recipe ptq, or squeeze quantize"
        )
    if judges_what_trains(data.fit, data.calibrate, data.evaluate):
        raise ConfigError(
            f"{data.source}: the samples to evaluate are those to fit, so that what is learned by heart would look "
            "right; give others to one of the two (x_test), or x alone, which is split"
        )


def _refuse_one_run(teacher: Teacher, data: Calib) -> None:
    """Raises ConfigError for an array that has exactly the shape that the model fixes, which is one sample; taken for
    samples, its rows would depend on which others are in the same run."""
    size = teacher.interface.batch_size
    if size in (None, 1) or sum(map(len, (data.fit, data.calibrate, data.evaluate))) != size:
        return
    one = next(spec for spec in teacher.interface.inputs if spec.batch_size == size)
    takes = ", ".join(map(str, teacher.interface.run_shapes[one.name]))
    raise ConfigError(
        f"{data.source}: the data is one run of input '{one.name}' [{takes}], of which axis {one.batch_axis} is fixed "
        f"to {size} and mixes what is along it; store samples as the model takes them, [n, {takes}], or give more than "
        f"{size} if they lie along that axis"
    )


def ask(at: At, *, teacher: Teacher, data: Calib, threads: int) -> Json:
    """Writes the teacher's outputs on both splits, and says what is read off which of them."""
    interface = teacher.interface
    outputs: dict[str, Mapping[str, Array]] = {}
    for name, split in (("calibrate", data.calibrate), ("evaluate", data.evaluate)):
        files = {s.name: at.folder / f"{name}-{i}.npy" for i, s in enumerate(interface.outputs)}
        written = measure.OutputFiles(files, len(split))
        batches = measure.outputs_in_batches(
            teacher.model, data, split, interface=interface, threads=threads, progress=at.progress
        )
        for found in batches:
            written.take(found)
        outputs[name] = written.opened()
    labels, beside = data.evaluate.y, measure.beside(data, data.evaluate)
    answers = outputs["evaluate"]
    readings = metrics.readings(interface, labels, answers, data.metric, data.output)
    scores = metrics.scores(readings, answers, labels, answers, beside)
    several = len(scores) > 1
    said = ", ".join(
        f"{f'{s.output}: ' if several else ''}{metrics.describe(s.metric, s.value)}" for s in scores
    )
    learnt = known_by_heart(teacher, data, readings, outputs, threads)
    also = next((v for v in learnt if v is not None), None)
    heart = (
        "" if also is None else ", and more on calibration samples, as if it was trained on them"
    )
    return {
        "summary": f"{said} on {len(data.evaluate)} samples{heart}",
        "readings": [reading.to_json() for reading in readings],
        "by_heart": learnt,
        "by_heart_recalls": [] if also is None else _recalls(readings, labels, answers),
    }


def _recalls(
    readings: Sequence[Reading], labels: Array | None, outputs: Mapping[str, Array]
) -> list[tuple[int, float]]:
    """The recall of each class, in percent; empty where answers are no classes."""
    given = outputs[readings[0].output]
    if labels is None or not per_class.one_class_each(readings[0], labels, given):
        return []
    found = per_class.found_of(per_class.answered(given, given), per_class.labelled(labels))
    return [(number, 100 * right / samples) for number, (right, samples) in found.items()]


def _synthesised(run: Run, teacher: Teacher, metric: str | None) -> Calib:
    """Inputs made from the teacher alone, kept as a step: they take minutes."""
    step = run.step("synthesise", dream, teacher=teacher, seed=run.seed, threads=run.threads)
    parts = {n: np.load(step.path / f"{n}.npy") for n in ("fit", "calibrate", "evaluate")}
    result = step.result
    made = calibration.from_arrays(
        "synthetic",
        modality=result["modality"],
        metric=metric,
        assumed=tuple(result["assumed"]),
        **parts,
    )
    return made.fitted(teacher.interface)


def dream(at: At, *, teacher: Teacher, seed: int, threads: int) -> Json:
    """Writes a calibration set that was made from the teacher."""
    from squeeze.synthesis import synthesise

    made = synthesise(teacher, seed=seed, threads=threads, progress=at.progress)
    splits = {"fit": made.fit, "calibrate": made.calibrate, "evaluate": made.evaluate}
    for name, split in splits.items():
        np.save(at.folder / f"{name}.npy", np.asarray(split.x[:]))
    count = sum(map(len, splits.values()))
    return {
        "summary": f"{count} inputs from the teacher alone; accuracy on real data is unknown",
        "modality": made.modality,
        "assumed": list(made.assumed),
    }


def _example(raw: Calib) -> Example:
    some = raw.fit if len(raw.fit) else raw.calibrate
    stored = {n: np.asarray(x[:EXAMPLES]) for n, x in some.arrays.items()}
    return Example(raw.feed(some, 0, EXAMPLES), stored, raw.origins)


def _digest(x: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(x).data).hexdigest()
