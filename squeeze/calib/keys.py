"""Which array is what: the names that are understood without a TOML.

    samples   x, data, feature(s), image(s), input(s)
    labels    y, label(s), target(s)
    fit       train, fit            calibrate   val, valid, validation, calibrate
    evaluate  test, eval, evaluate

A name is a word for samples or labels, alone or joined by _ with a word for a split, in either order and in any case:
x, images, x_train, test_labels, val_images. Also arr_0, arr_1 (samples, labels), and any name when there is one array.
Other arrays are left alone, and said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from squeeze.errors import ConfigError

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


@dataclass(frozen=True)
class Pair:
    """The names of a split's samples and labels; no labels is None."""

    x: str
    y: str | None


@dataclass(frozen=True)
class Keys:
    """What each split is read from. A split that is None is drawn from `fit`."""

    fit: Pair
    calibrate: Pair | None = None
    evaluate: Pair | None = None
    ignored: tuple[str, ...] = ()


def split_word(name: str) -> str | None:
    """The split that a word such as 'train' or 'Test' names, or None."""
    return _SPLITS.get(name.lower())


def choose(names: Iterable[str], given: Mapping[str, str], where: str) -> Keys:
    """Keys for the arrays called `names`.

    given: what a TOML's [arrays] says: x, y, x_calibrate, y_calibrate, x_evaluate, y_evaluate; others go by the table.
    Raises ConfigError when two arrays claim one place, or none can be told to be the samples.
    """
    names = list(names)
    for place, name in given.items():
        if name not in names:
            raise ConfigError(
                f"{where}: arrays.{place}: no array '{name}'; there are: {', '.join(names)}"
            )
    return _paired(_given(given) if given else _by_table(names, where), names, where)


def _given(given: Mapping[str, str]) -> dict[tuple[str, str], str]:
    found = {}
    for place, name in given.items():
        role, _, split = place.partition("_")
        found[split or "fit", role] = name
    return found


def _by_table(names: list[str], where: str) -> dict[tuple[str, str], str]:
    if len(names) == 1:
        return {("fit", "x"): names[0]}
    if names[0] == "arr_0" and sorted(names) == ["arr_0", "arr_1"]:
        return {("fit", "x"): "arr_0", ("fit", "y"): "arr_1"}
    found: dict[tuple[str, str], str] = {}
    for name in names:
        split, role = _parsed(name)
        if not role:
            continue
        if (split, role) in found:
            raise ConfigError(
                f"{where}: '{found[split, role]}' and '{name}' both look like the "
                f"{'samples' if role == 'x' else 'labels'} of one split; say which under [arrays] in a TOML"
            )
        found[split, role] = name
    return found


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


def _paired(found: dict[tuple[str, str], str], names: list[str], where: str) -> Keys:
    pairs = {s: Pair(n, found.get((s, "y"))) for (s, role), n in found.items() if role == "x"}
    for (split, role), name in found.items():
        if role == "y" and split not in pairs:
            raise ConfigError(f"{where}: '{name}' has no samples; there are: {', '.join(names)}")
    # Validation arrays alone judge: a verdict on samples that were not trained on matters more than calibration.
    if "evaluate" not in pairs and "calibrate" in pairs:
        pairs["evaluate"] = pairs.pop("calibrate")
    if "fit" not in pairs:
        raise ConfigError(
            f"{where}: cannot tell the samples among: {', '.join(names)}; call them x (or x_train, x_test, and y for "
            "labels), or name them under [arrays] in a TOML"
        )
    labelled, judged = pairs["fit"], pairs.get("evaluate")
    if judged and labelled.y and not judged.y:
        raise ConfigError(
            f"{where}: '{labelled.x}' has labels ('{labelled.y}') but '{judged.x}' has none; there are: "
            f"{', '.join(names)}"
        )
    used = {n for p in pairs.values() for n in (p.x, p.y)}
    ignored = tuple(n for n in names if n not in used)
    return Keys(pairs["fit"], pairs.get("calibrate"), judged, ignored)
