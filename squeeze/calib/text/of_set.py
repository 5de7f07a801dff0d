"""The texts of a set as arrays, where it has texts, and the names of their classes."""

from __future__ import annotations

from squeeze.calib import class_names as calib_names
from squeeze.calib import text as calib_text
from squeeze.calib.filling import Ends
from squeeze.calib.lookups import Lookups
from squeeze.calib.parts import Groups
from squeeze.calib.text import Asked, TextSet
from squeeze.calib.toml import Source


def texts_of(
    given: Source,
    asked: Asked | None,
    source: str,
    ends: Ends | None,
    without: set[str],
    model: str | None,
    metric: str | None,
    lookups: Lookups,
) -> TextSet | None:
    """The arrays that a set of texts becomes; None of other sets. lookups: of the model."""
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
        lookups=lookups,
    )


def class_names_of(
    given: Source, texts: TextSet | None, classes: int | None, source: str
) -> tuple[str, ...]:
    """As `class_names` says; those of texts where that finds none. Of tags texts alone know them."""
    declared = given.declared.class_names
    if texts is not None and classes is None and texts.class_names:
        return texts.class_names
    found = calib_names.class_names(declared, given.files, classes, source)
    return found or (() if texts is None else texts.class_names)


def of_splits(given: Groups, *, untrained: bool) -> Groups:
    """Numbers of texts by the split that their samples are gathered for, as `keys` parts them."""
    if untrained:
        return {"fit": given["calibrate"], **given}
    return {"evaluate": given["calibrate"], **given} if "calibrate" in given else given
