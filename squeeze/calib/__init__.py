"""Calibration sets: real samples in three disjoint splits, and the way from a stored sample to the model's input.

    raw = calib.load("data.npz")                        .npz, .npy, an image folder, texts, a bundled name, or a TOML
    data = raw.fitted(teacher.interface)                data and model agree, or a ConfigError says where not
    for feed in data.feeds(data.calibrate, 64): ...     preprocessed, one batch at a time in memory

A sample has an array for each input of the model. `fit` trains, `calibrate` finds activation ranges, shows progress and
picks, `evaluate` is only reported.
Each step is a module: locate (where a set lies), read and folder (bytes to arrays), gather (those of each split), keys
(which array is what), text (texts to arrays), filling (inputs without arrays), by_input (preprocessing), labels
(checks), alongside (what goes with samples), parts and split (who goes where), fit (axes, scale and type for a model),
set (the nouns), arrays (sets without files), selection (which samples stand for all).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from squeeze.calib import alongside, sequences
from squeeze.calib import groups as calib_groups
from squeeze.calib import keys as calib_keys
from squeeze.calib import labels as calib_labels
from squeeze.calib import modality as calib_modality
from squeeze.calib import shared as calib_shared
from squeeze.calib import split as calib_split
from squeeze.calib.arrays import from_arrays
from squeeze.calib.by_input import asked_for, declared_for
from squeeze.calib.description import describe
from squeeze.calib.filling import Ends, fill, fills, with_arrays
from squeeze.calib.gather import gather, readers, unrolled
from squeeze.calib.locate import located, named_metric, names
from squeeze.calib.modality import Modality
from squeeze.calib.of_model import OfModel
from squeeze.calib.parts import Groups, grouped, parted
from squeeze.calib.preprocess import Preprocess, arranged
from squeeze.calib.presets import Asked
from squeeze.calib.rows import Rows
from squeeze.calib.set import Calib, Split
from squeeze.calib.text import Asked as AskedText
from squeeze.calib.text.of_set import class_names_of, of_splits, texts_of
from squeeze.errors import ConfigError
from squeeze.workdir import digest_json

logger = logging.getLogger(__name__)

__all__ = [
    "Asked",
    "AskedText",
    "Calib",
    "Ends",
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
    given = located(source)
    declared = given.declared
    named, output = named_metric(metric, declared, source)
    of_model = of_model or OfModel()
    filled = fills(ends, declared, of_model, source)
    texts = texts_of(given, text, source, ends, filled.names, model, named, of_model.lookups)
    found = readers(given.files) if texts is None else dict(texts.members)
    groups: Groups = calib_groups.taken(found, inputs, declared.arrays.of_groups(), source)
    if texts is not None:
        groups, named = {**groups, **texts.groups}, named or texts.metric
    asked = with_arrays(found, declared, inputs, filled)
    keys = calib_keys.choose(found, declared.arrays.given(), asked, source)
    preprocesses = declared_for(given, list(keys.fit.inputs), inputs, source)
    if keys.untrained and "calibrate" in groups:
        groups = {**groups, "fit": groups["calibrate"]}
    numbered = {} if texts is None else of_splits(texts.rows, untrained=keys.untrained)
    growing = [name for name in filled.inputs if filled.grows(name)]
    arrays = gather(found, keys, source, growing)
    for part in arrays.values() if texts is None else ():
        of_model.lookups.check([part.x], source)
    origins = {
        name: f"array '{keys.fit.inputs[name]}' {x.dtype} {list(x.shape)}"
        for name, x in arrays["fit"].x.items()
    }
    if len(preprocesses) == 1:
        ((name, plain),) = preprocesses.items()
        x = next(iter(arrays["fit"].x.values()))
        preprocesses = {name: of_model.beneath(plain, x, source)}
    if preprocess is not None:
        preprocesses = asked_for(preprocess, preprocesses, arrays["fit"].x, source)
    steps = None
    if declared.steps:
        # One for each split that has no arrays of its own, and for `fit`.
        steps = sequences.steps_of(arrays["fit"].x, arrays["fit"].where, 4 - len(arrays))
        arrays = {name: unrolled(part, steps) for name, part in arrays.items()}
    missing = [name for name in inputs or () if name not in (asked or ())]
    said = fill(arrays, missing, asked, filled)
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
    class_names = class_names_of(given, texts, known.classes, source)
    classes = known.classes
    # Names that a TOML gives are of the labels as they are; those of texts are in the model's order already.
    declares = bool(declared.class_names) or texts is not None
    if (numbers := None if declares else of_model.numbers_of(class_names)) is not None:
        labels = {name: None if y is None else numbers[y] for name, y in labels.items()}
        class_names, classes = tuple(of_model.class_names), len(of_model.class_names)
        said = (*said, "classes are numbered as the model has them, by their names")
    shares = declared.splits
    if not trained and "calibrate" not in shares.model_fields_set:
        shares = shares.model_copy(update={"calibrate": calib_split.UNTRAINED_CALIBRATE})
    arrays = grouped(arrays, groups, source, steps)
    pairs = texts is not None and bool(texts.groups)
    together, told = calib_groups.kept(arrays["fit"].x, True if pairs else shares.keep_groups)
    for name, part in arrays.items() if texts is not None else ():
        arrays[name] = replace(part, x=alongside.beside(part.x, "rows", numbered[name][1]()))
    if steps is not None and together is None:
        together = sequences.number_of(len(arrays["fit"]), steps)
    parts = parted(
        arrays,
        labels,
        shares,
        seed,
        together,
        untrained=keys.untrained,
        as_read=texts is None and steps is None,
    )
    splits = [alongside.apart(split) for split in parts]
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
        classes=classes,
        output=output,
        assumed=(*assumed, *twice),
        states={
            name: filled.states[name]
            for name in missing
            if declared.sequence and name in filled.states and name not in growing
        },
        steps=steps,
        origins=origins,
        licence=declared.licence,
        class_names=of_model.names(class_names, classes),
        text=None if texts is None else texts.told,
    )
