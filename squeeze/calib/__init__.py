"""Calibration sets: real samples in three disjoint splits, and the way from a stored sample to the model's input.

    raw = calib.load("data.npz")                        .npz, .npy, an image folder, texts, a bundled name, or a TOML
    data = raw.fitted(teacher.interface)                data and model agree, or a ConfigError says where not
    for feed in data.feeds(data.calibrate, 64): ...     preprocessed, one batch at a time in memory

A sample has an array for each input of the model. `fit` trains, `calibrate` finds activation ranges, shows progress and
picks, `evaluate` is only reported.
Each step is a module: read and folder (bytes to arrays), gather (those of each split), keys (which array is what),
labels (checks), split (who goes where), fit (axes, scale and type for a model), set (the nouns), arrays (sets without
files), text (texts to arrays), selection (which samples stand for all).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from squeeze import metrics, paths, spec
from squeeze.calib import class_names as calib_names
from squeeze.calib import groups as calib_groups
from squeeze.calib import keys as calib_keys
from squeeze.calib import labels as calib_labels
from squeeze.calib import modality as calib_modality
from squeeze.calib import presets, sequences
from squeeze.calib import shared as calib_shared
from squeeze.calib import split as calib_split
from squeeze.calib import states as calib_states
from squeeze.calib import text as calib_text
from squeeze.calib import toml as calib_toml
from squeeze.calib.arrays import from_arrays, sealed
from squeeze.calib.description import describe
from squeeze.calib.gather import Gathered, Readers, gather, readers, unrolled
from squeeze.calib.modality import Modality
from squeeze.calib.of_model import OfModel
from squeeze.calib.preprocess import Preprocess, arranged
from squeeze.calib.presets import Asked
from squeeze.calib.rows import Array, Raw, Rows, select
from squeeze.calib.set import Calib, Split
from squeeze.calib.states import Fills
from squeeze.calib.text import Asked as AskedText
from squeeze.calib.text import TextSet
from squeeze.calib.text import rows as text_rows
from squeeze.calib.toml import Declared, Shares, Source
from squeeze.end import End
from squeeze.errors import ConfigError, unknown
from squeeze.workdir import digest_json

logger = logging.getLogger(__name__)

__all__ = [
    "Asked",
    "AskedText",
    "Calib",
    "Modality",
    "OfModel",
    "Preprocess",
    "Rows",
    "Split",
    "describe",
    "from_arrays",
    "load",
    "names",
]

_FORMS = "a .npz, .npy, .csv, .tsv, .jsonl, .txt, .conll or .toml file, a folder of images, or a bundled name"
_TYPES = {".npy", ".npz", *calib_text.SUFFIXES}

Ends = tuple[tuple[End, ...], tuple[End, ...]]
Groups = Mapping[str, tuple[str, Callable[[], Raw]]]  # split -> the array's name, and the array


def load(
    source: str,
    *,
    seed: int = 0,
    metric: str | None = None,
    inputs: Sequence[str] | None = None,
    ends: Ends | None = None,
    trained: bool = True,
    preprocess: Asked | None = None,
    text: AskedText | None = None,
    model: str | None = None,
    of_model: OfModel | None = None,
) -> Calib:
    """Reads a calibration set, checks it, and splits it by `seed`.

    source: .npz, .npy (no labels), an image folder, .csv, .tsv, .jsonl, .txt or .conll, a bundled name, or a TOML
    (docs/calibration.md). A bare name is a bundled set before it is a folder; ./name is the folder. metric: METRIC or
    METRIC@OUTPUT, goes before the TOML's.
    inputs: the names of the model's inputs; without them only a TOML can tell the arrays of several. ends: its inputs
    and outputs, so that states, constants and lengths need no arrays. trained: whether something will be trained;
    without that most of what is not `evaluate` is `calibrate`. preprocess: of the only input with arrays, a name of
    `presets.NAMES` or keys of [preprocess]; goes before the TOML's. text: keys of [text] for texts; goes before the
    TOML's. model: the file or folder beside which their tokenizer is looked for. of_model: what the model's own files
    say, which goes behind all of these.

    Raises ConfigError for anything wrong with files, keys, values or labels, and for too few samples.
    """
    given = _located(source)
    declared = given.declared
    named, output = _metric(metric, declared, source)
    of_model = of_model or OfModel()
    filled = _fills(ends, declared, of_model, source)
    texts = _texts(given, text, source, ends, filled.names, model, named)
    found = readers(given.files) if texts is None else dict(texts.members)
    groups: Groups = calib_groups.taken(found, inputs, declared.arrays.of_groups(), source)
    if texts is not None:
        groups, named = {**groups, **texts.groups}, named or texts.metric
    asked = _with_arrays(found, declared, inputs, filled)
    keys = calib_keys.choose(found, declared.arrays.given(), asked, source)
    preprocesses = _preprocesses(given, list(keys.fit.inputs), inputs, source)
    if keys.untrained and "calibrate" in groups:
        groups = {**groups, "fit": groups["calibrate"]}
    numbered = {} if texts is None else _of_splits(texts.rows, untrained=keys.untrained)
    arrays = gather(found, keys, source)
    origins = {
        name: f"array '{keys.fit.inputs[name]}' {x.dtype} {list(x.shape)}"
        for name, x in arrays["fit"].x.items()
    }
    if len(preprocesses) == 1:
        ((name, plain),) = preprocesses.items()
        x = next(iter(arrays["fit"].x.values()))
        preprocesses = {name: of_model.beneath(plain, x, source)}
    if preprocess is not None:
        preprocesses = _asked_for(preprocess, preprocesses, arrays["fit"].x, source)
    steps = None
    if declared.steps:
        # One for each split that has no arrays of its own, and for `fit`.
        steps = sequences.steps_of(arrays["fit"].x, arrays["fit"].where, 4 - len(arrays))
        arrays = {name: unrolled(part, steps) for name, part in arrays.items()}
    missing = [name for name in inputs or () if name not in (asked or ())]
    said = _fill(arrays, missing, asked, filled)
    if missing and len(preprocesses) == 1 and asked is not None:
        preprocesses = {asked[0]: next(iter(preprocesses.values()))}
    preprocesses |= {name: Preprocess() for name in missing}
    for name, x in arrays["fit"].x.items():
        try:
            arranged(x.shape[1:], preprocesses[name].layout)
        except ConfigError as e:
            raise ConfigError(f"{source}: {e}") from e

    known = calib_labels.read([(a.y, len(a), f"{a.where}: labels") for a in arrays.values()], named)
    labels = dict(zip(arrays, known.labels, strict=True))
    shares = declared.splits
    if not trained and "calibrate" not in shares.model_fields_set:
        shares = shares.model_copy(update={"calibrate": calib_split.UNTRAINED_CALIBRATE})
    arrays = _grouped(arrays, groups, source, steps)
    pairs = texts is not None and bool(texts.groups)
    together, told = calib_groups.kept(arrays["fit"].x, True if pairs else shares.keep_groups)
    for name, part in arrays.items() if texts is not None else ():
        arrays[name] = replace(part, x=text_rows.beside(dict(part.x), numbered[name][1]()))
    if steps is not None and together is None:
        together = sequences.number_of(len(arrays["fit"]), steps)
    parts = _split(arrays, labels, shares, seed, together, untrained=keys.untrained)
    splits = [text_rows.apart(calib_groups.apart(split)) for split in parts]
    assumed = (*known.assumed, *said, *told, *(() if texts is None else texts.said))
    if keys.ignored:
        assumed = (*assumed, f"these arrays are not wanted: {', '.join(keys.ignored)}")
    for words in assumed:
        logger.warning("%s: assumed %s", source, words)
    twice = calib_shared.shared(dict(zip(("fit", "calibrate", "evaluate"), splits, strict=True)))
    for words in twice:
        logger.warning("%s: %s", source, words)
    kinds = [calib_modality.infer(x) for x in splits[keys.untrained].arrays.values()]
    return Calib(
        name=declared.name,
        source=source,
        digest=digest_json([s.digest for s in splits]),
        fit=splits[0],
        calibrate=splits[1],
        evaluate=splits[2],
        preprocesses=preprocesses,
        modality=declared.modality or calib_modality.joined(kinds),
        metric=known.metric,
        classes=known.classes,
        output=output,
        assumed=(*assumed, *twice),
        states={
            name: filled.states[name]
            for name in missing
            if declared.sequence and name in filled.states
        },
        steps=steps,
        origins=origins,
        licence=declared.licence,
        class_names=of_model.names(
            _class_names(given, texts, known.classes, source), known.classes
        ),
        text=None if texts is None else texts.told,
    )


def _class_names(
    given: Source, texts: TextSet | None, classes: int | None, source: str
) -> tuple[str, ...]:
    """As `class_names` says; those of texts where that finds none. Of tags texts alone know them."""
    declared = given.declared.class_names
    if texts is not None and classes is None and texts.class_names:
        return texts.class_names
    found = calib_names.class_names(declared, given.files, classes, source)
    return found or (() if texts is None else texts.class_names)


def _texts(
    given: Source,
    asked: AskedText | None,
    source: str,
    ends: Ends | None,
    without: set[str],
    model: str | None,
    metric: str | None,
) -> TextSet | None:
    """The arrays that a set of texts becomes; None of other sets."""
    said = given.declared.text
    if not calib_text.is_text(given.files, source):
        calib_text.refuse_for(asked, said, source)
        return None
    wish = calib_text.asked_for(asked, said)
    return calib_text.read(
        given.files,
        wish,
        source,
        ends=ends,
        without=without,
        model=model,
        metric=metric,
        class_names=given.declared.class_names,
    )


def _of_splits(given: Groups, *, untrained: bool) -> Groups:
    """Numbers of texts by the split that their samples are gathered for, as `keys` parts them."""
    if untrained:
        return {"fit": given["calibrate"], **given}
    return {"evaluate": given["calibrate"], **given} if "calibrate" in given else given


def _fills(ends: Ends | None, declared: Declared, of_model: OfModel, source: str) -> Fills:
    """What can stand for inputs without arrays; nothing where the model's ends are not known."""
    if ends is None:
        if declared.states or declared.constants:
            logger.warning(
                "%s: [states] and [constants] need a model whose inputs are known", source
            )
        return Fills({}, {}, {}, ())
    return calib_states.fills(
        *ends, declared.states, {**of_model.constants, **declared.constants}, source
    )


def _with_arrays(
    found: Readers, declared: Declared, inputs: Sequence[str] | None, filled: Fills
) -> Sequence[str] | None:
    """The inputs that arrays are looked for: all but those that can do without one, and have none."""
    if not inputs:
        return inputs
    places = [*declared.arrays.given(), *(calib_keys.claim(array, inputs) for array in found)]
    named = {place.input for place in places if place is not None}
    return [name for name in inputs if name not in filled.names or name in named] or inputs


def _fill(
    arrays: dict[str, Gathered],
    missing: list[str],
    asked: Sequence[str] | None,
    filled: Fills,
) -> tuple[str, ...]:
    """Puts samples for the missing inputs into every split, in place; what was assumed."""
    if not missing or asked is None:
        return ()
    said: dict[str, None] = {}
    for split, part in arrays.items():
        here = dict(part.x)
        if len(here) == 1:
            here = {asked[0]: next(iter(here.values()))}
        for name in missing:
            here[name], text = filled.array(name, here)
            said[text] = None
        arrays[split] = replace(part, x=here)
    return tuple(said)


def names() -> list[str]:
    """The bundled sets."""
    return spec.names("calib")


def _located(source: str) -> Source:
    path = Path(source)
    if source in names():
        path = paths.shipped("calib") / f"{source}.toml"
    if path.suffix == ".toml":
        return calib_toml.load(path)
    if path.is_dir() or (path.suffix in _TYPES and path.exists()):
        declared = Declared(schema=1, name=path.resolve().stem, data=(source,))
        return Source(declared, (path,))
    if path.suffix or path.parent != Path():
        got = f"cannot read '{path.suffix}' files" if path.exists() else "no such file or folder"
        raise ConfigError(f"calibration set {source}: {got}; allowed: {_FORMS}")
    raise ConfigError(f"{unknown('calibration set', source, names())}; or {_FORMS}")


def _metric(wish: str | None, declared: Declared, source: str) -> tuple[str | None, str | None]:
    """The metric and the output that are named, by the wish before the TOML."""
    found, output = None, declared.output
    for text in (declared.metric, wish):
        if text is not None:
            found, of = metrics.split_name(text)
            metrics.check_name(found, f"{source}: metric")
            output = of or output
    return found, output


def _preprocesses(
    given: Source, names: list[str], inputs: Sequence[str] | None, source: str
) -> dict[str, Preprocess]:
    """By input; what a TOML says without a name is for the only one. names: those that have arrays."""
    plain, tables = given.declared.preprocess, given.preprocess_of
    unnamed = names == [calib_keys.ONLY] and not inputs and len(tables) == 1
    allowed = list(tables) if unnamed else list(inputs or names)
    if strange := [name for name in tables if name not in allowed]:
        raise ConfigError(unknown(f"{source}: preprocess: input", strange[0], allowed))
    if len(names) == 1:
        return {names[0]: next(iter(tables.values()), plain)}
    if plain != Preprocess():
        raise ConfigError(
            f"{source}: preprocess: there are inputs {', '.join(names)}; say for each under [preprocess.INPUT]"
        )
    return {name: tables.get(name, plain) for name in names}


def _asked_for(
    asked: Asked, said: dict[str, Preprocess], arrays: Mapping[str, Raw], source: str
) -> dict[str, Preprocess]:
    """What a TOML said, with what was asked for on the command line."""
    if len(said) > 1:
        raise ConfigError(
            f"{source}: --preprocess: there are inputs {', '.join(said)}; say for each under [preprocess.INPUT] of a "
            "TOML"
        )
    ((name, plain),) = said.items()
    return {name: presets.asked_for(asked, plain, next(iter(arrays.values())), source)}


def _grouped(
    arrays: dict[str, Gathered],
    groups: Groups,
    source: str,
    steps: int | None,
) -> dict[str, Gathered]:
    """With the groups of their samples, where there are any; of sequences each has one."""
    if not groups:
        return arrays
    # Validation arrays alone judge, and so do their groups.
    given = {"evaluate": groups["calibrate"], **groups} if "calibrate" in groups else groups
    if missing := [split for split in arrays if split not in given]:
        raise ConfigError(
            f"{source}: there are groups ({', '.join(name for name, _ in groups.values())}), but none of the samples "
            f"to {missing[0]}; each split with arrays of its own needs them"
        )
    found: dict[str, Gathered] = {}
    for split, part in arrays.items():
        name, read = given[split]
        values = read() if steps is None else sequences.each(read(), steps)
        found[split] = replace(part, x=calib_groups.beside(dict(part.x), name, values, source))
    return found


def _split(
    arrays: dict[str, Gathered],
    labels: dict[str, Array | None],
    shares: Shares,
    seed: int,
    together: Array | None,
    *,
    untrained: bool,
) -> tuple[Split, Split, Split]:
    """fit, calibrate, evaluate: from their own arrays, and the rest from shares of `fit`; untrained: all of that
    calibrates."""
    whole, known = arrays["fit"], labels["fit"]
    if untrained:
        nobody, everybody = np.empty(0, np.intp), np.arange(len(whole))
        parts = calib_split.Parts(fit=nobody, calibrate=everybody, evaluate=nobody)
    else:
        parts = calib_split.split(
            len(whole),
            known,
            evaluate=0.0 if "evaluate" in arrays else shares.evaluate,
            calibrate=0.0 if "calibrate" in arrays else shares.calibrate,
            seed=seed,
            where=whole.where,
            groups=together,
        )
    drawn = {"fit": parts.fit, "calibrate": parts.calibrate, "evaluate": parts.evaluate}
    fit, calibrate, evaluate = (
        sealed(arrays[name].x, labels[name])
        if name != "fit" and name in arrays
        else sealed(
            {n: select(x, index) for n, x in whole.x.items()},
            None if known is None else known[index],
        )
        for name, index in drawn.items()
    )
    return fit, calibrate, evaluate
