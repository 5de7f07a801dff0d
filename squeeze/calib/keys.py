"""Which array is what: the names that are understood without a TOML.

A model with one input:

    samples   x, data, feature(s), image(s), input(s)
    labels    y, label(s), target(s)
    fit       train, fit            calibrate   val, valid, validation, calibrate
    evaluate  test, eval, evaluate

A name is a word for samples or labels, alone or joined by _ with a word for a split, in either order and in any case:
x, images, x_train, test_labels, val_images. Also arr_0, arr_1 (samples, labels), and any name when there is one array.
A model with several inputs: an array called after each, alone or joined with a word for a split (input_ids,
attention_mask_train, test_input_ids); labels as above. That goes for one input too where an array is called after it.

Other arrays are left alone, and said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from squeeze.errors import ConfigError, unknown

_SAMPLES = ("x", "data", "feature", "features", "image", "images", "input", "inputs")
_LABELS = ("y", "label", "labels", "target", "targets")
_SPLITS = {
    "train": "fit",
    "fit": "fit",
    "val": "calibrate",
    "valid": "calibrate",
    "validation": "calibrate",
    "calibrate": "calibrate",
    "test": "evaluate",
    "eval": "evaluate",
    "evaluate": "evaluate",
}


# The only input of a set, as long as no model has given it a name.
ONLY = "x"


@dataclass(frozen=True)
class Place:
    """What an array is for: a split, and the input; None for labels."""

    split: str
    input: str | None

    def __str__(self) -> str:
        return f"{'the samples' if self.input else 'the labels'} of one split"


@dataclass(frozen=True)
class Part:
    """The names of a split's arrays: by input, and of its labels; no labels is None."""

    inputs: Mapping[str, str]
    y: str | None

    @property
    def x(self) -> str:
        """The array of the first input, for messages."""
        return next(iter(self.inputs.values()))


@dataclass(frozen=True)
class Keys:
    """What each split is read from. A split that is None is drawn from `fit`; with `untrained` all samples of `fit`
    calibrate, for there are none to train with."""

    fit: Part
    calibrate: Part | None = None
    evaluate: Part | None = None
    ignored: tuple[str, ...] = ()
    untrained: bool = False


def split_word(name: str) -> str | None:
    """The split that a word such as 'train' or 'Test' names, or None."""
    return _SPLITS.get(name.lower())


def choose(
    names: Iterable[str], given: Mapping[Place, str], inputs: Sequence[str] | None, where: str
) -> Keys:
    """Keys for the arrays called `names`.

    given: what a TOML's [arrays] says; then nothing goes by the table. inputs: the model's, None where it is not known.
    Raises ConfigError when two arrays claim one place, or none can be told to be the samples of an input.
    """
    names = list(names)
    if given:
        found = _declared(given, inputs, where)
    elif inputs and _called_after(names, inputs):
        found = _by_input(names, inputs, where)
    else:
        found = _by_table(names, where)
    return _parted(found, _wanted(found, inputs), names, where)


def _declared(
    given: Mapping[Place, str], inputs: Sequence[str] | None, where: str
) -> dict[Place, str]:
    """The TOML's places, where the only input may go by no name."""
    named = {place.input for place in given if place.input not in (None, ONLY)}
    for name in sorted(str(n) for n in named):
        if inputs is not None and name not in inputs:
            raise ConfigError(unknown(f"{where}: arrays.inputs: input of the model", name, inputs))
    return dict(given)


def _wanted(found: Mapping[Place, str], inputs: Sequence[str] | None) -> tuple[str, ...]:
    """The inputs that need arrays, in the model's order where it is known."""
    named = [p.input for p in found if p.input is not None]
    if not inputs or (len(inputs) == 1 and ONLY in named):
        return tuple(dict.fromkeys(named)) or (ONLY,)
    return tuple(inputs)


def _called_after(names: list[str], inputs: Sequence[str]) -> bool:
    """Whether arrays are to be told by the inputs' names: always for several, for one when an array to fit has it."""
    if len(inputs) != 1:
        return True
    claimed = {claim(name, inputs) for name in names if len(names) > 1}
    return Place("fit", inputs[0]) in claimed and _parsed(inputs[0])[1] != "y"


def _by_input(names: list[str], inputs: Sequence[str], where: str) -> dict[Place, str]:
    found: dict[Place, str] = {}
    for name in names:
        place = claim(name, inputs)
        if place is None and _parsed(name)[1] == "y":
            place = Place(_parsed(name)[0], None)
        if place is not None:
            _claimed(found, place, name, where)
    return found


def claim(name: str, inputs: Sequence[str]) -> Place | None:
    """The place of an array that is called after an input; None for any other."""
    if name in inputs:
        return Place("fit", name)
    first, _, behind = name.partition("_")
    before, _, last = name.rpartition("_")
    for word, stem in ((first, behind), (last, before)):
        if stem in inputs and (split := split_word(word)):
            return Place(split, stem)
    return None


def _by_table(names: list[str], where: str) -> dict[Place, str]:
    if len(names) == 1:
        return {Place("fit", ONLY): names[0]}
    if names[0] == "arr_0" and sorted(names) == ["arr_0", "arr_1"]:
        return {Place("fit", ONLY): "arr_0", Place("fit", None): "arr_1"}
    found: dict[Place, str] = {}
    for name in names:
        split, role = _parsed(name)
        if role:
            _claimed(found, Place(split, ONLY if role == "x" else None), name, where)
    return found


def _claimed(found: dict[Place, str], place: Place, name: str, where: str) -> None:
    if place in found:
        raise ConfigError(
            f"{where}: '{found[place]}' and '{name}' both look like {place}; say which under [arrays] in a TOML"
        )
    found[place] = name


def _parsed(name: str) -> tuple[str, str]:
    """(split, 'x' or 'y'), with empty strings for a name that is not in the table."""
    words = name.lower().split("_")
    roles = ["x" if w in _SAMPLES else "y" if w in _LABELS else "" for w in words]
    if len(words) == 1:
        return "fit", roles[0]
    if len(words) == 2:
        for word, role in ((words[0], roles[1]), (words[1], roles[0])):
            if role and word in _SPLITS:
                return _SPLITS[word], role
    return "", ""


def _parted(found: dict[Place, str], inputs: tuple[str, ...], names: list[str], where: str) -> Keys:
    there = f"there are: {', '.join(names)}"
    for place, name in found.items():
        if name not in names:
            raise ConfigError(f"{where}: arrays.{dotted(place)}: no array '{name}'; {there}")
    parts = {}
    for split in dict.fromkeys(place.split for place in found):
        samples = {n: found[Place(split, n)] for n in inputs if Place(split, n) in found}
        labels = found.get(Place(split, None))
        if not samples:
            named = any(place.input in inputs for place in found)
            why = f"'{labels}' has no samples; {there}" if named else _nothing(inputs, names)
            raise ConfigError(f"{where}: {why}")
        parts[split] = Part(samples, labels)
    # Validation arrays alone judge: a verdict on samples that were not trained on matters more than calibration.
    if "evaluate" not in parts and "calibrate" in parts:
        parts["evaluate"] = parts.pop("calibrate")
    untrained = "fit" not in parts and "calibrate" in parts
    if untrained:
        parts["fit"] = parts.pop("calibrate")
    if "fit" not in parts:
        raise ConfigError(f"{where}: {_nothing(inputs, names)}")
    for split, part in parts.items():
        if missing := [name for name in inputs if name not in part.inputs]:
            beside = "" if split == "fit" else f" beside '{part.x}'"
            raise ConfigError(
                f"{where}: no array for input '{missing[0]}'{beside}; {there}; call it after the input, or name it "
                "under [arrays.inputs] in a TOML (a constant under [constants], what is fed back under [states])"
            )
    labelled, judged = parts["fit"], parts.get("evaluate")
    if judged and labelled.y and not judged.y:
        raise ConfigError(
            f"{where}: '{labelled.x}' has labels ('{labelled.y}') but '{judged.x}' has none; {there}"
        )
    used = set(found.values())
    ignored = tuple(n for n in names if n not in used)
    return Keys(labelled, parts.get("calibrate"), judged, ignored, untrained)


def _nothing(inputs: tuple[str, ...], names: list[str]) -> str:
    if len(inputs) > 1:
        return (
            f"the model has inputs {', '.join(inputs)}, and no array is called after one; there are: "
            f"{', '.join(names)}; name them under [arrays.inputs] in a TOML"
        )
    return (
        f"cannot tell the samples among: {', '.join(names)}; call them x (or x_train, x_test, and y for "
        "labels), or name them under [arrays] in a TOML"
    )


def dotted(place: Place) -> str:
    """A place as [arrays] names it: x_evaluate, y, inputs_calibrate.mask."""
    after = "" if place.split == "fit" else f"_{place.split}"
    if place.input in (None, ONLY):
        return f"{'y' if place.input is None else 'x'}{after}"
    return f"inputs{after}.{place.input}"
