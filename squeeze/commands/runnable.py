"""The ONNX file behind whatever a command is given: a package folder, an .onnx file, a .pt2 archive or a Hugging Face
folder."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from squeeze import artifact
from squeeze.errors import ConfigError, SqueezeError
from squeeze.runtimes.confined import check_within
from squeeze.teacher.hf.folder import is_folder

logger = logging.getLogger(__name__)


def is_package(model: str | Path) -> bool:
    """Whether it is a folder that is no Hugging Face folder."""
    return Path(model).is_dir() and not is_folder(Path(model))


def shapes_of_package(models: Sequence[str | Path]) -> tuple[dict[str, tuple[int, ...]], str]:
    """The shape of each input, one sample, as the data of the first package among `models` had it, and that in words;
    nothing where no package leaves sizes open. Raises ConfigError for a damaged one."""
    for model in filter(is_package, models):
        inputs = artifact.open(model).interface
        shapes = {s.name: inputs.run_shapes[s.name] for s in inputs.inputs if s.free}
        if shapes:
            each = (f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items())
            return shapes, f"inputs have the sizes of the package's data: {', '.join(each)}"
    return {}, ""


def taken_by(model: str | Path, shapes: Mapping[str, Sequence[int]]) -> dict[str, Sequence[int]]:
    """Those of `shapes` that are of inputs of `model`. Raises ConfigError as `runnable`."""
    if not shapes or not Path(model).exists():
        return {}
    if is_package(model):
        names = {spec.name for spec in artifact.open(model).interface.inputs}
    else:
        from squeeze.teacher import input_names

        names = {*(input_names(str(model), None) or ())}
    return {name: shape for name, shape in shapes.items() if name in names}


@contextmanager
def runnable(
    model: str | Path, shapes: Mapping[str, Sequence[int]] | None = None, *, run: bool = True
) -> Iterator[Path]:
    """The file, self-contained, as long as the context lasts. Raises ConfigError for anything else, UnsupportedError
    for one that takes more memory or time than it may.

    An error within the context that names the file names the user's instead: it is a copy, and gone afterwards.

    shapes: by input, or under "" for all with as many axes, for a .pt2 or a folder whose sizes may vary; in
    the file of a .pt2 they are fixed. What nobody says is chosen, and a warning says it. run: whether it will be run,
    not only read.
    """
    path = Path(model)
    if is_package(path):
        file = artifact.open(path).model
        check_within(file, path, file.stat().st_size, run=run, shapes=shapes)
        yield file
        return
    if not path.exists():
        raise ConfigError(
            f"{path}: no such file; a package folder, an .onnx or a .pt2 file, or a Hugging Face folder is wanted"
        )
    from squeeze import teacher
    from squeeze.teacher.sized import samples_of

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if path.suffix == ".onnx":
            copy = teacher.self_contained(path, folder)
            check_within(copy, path, copy.stat().st_size, run=run, shapes=shapes)
        else:
            example, assumed = samples_of(str(path), None, shapes or {})
            for text in assumed:
                logger.warning("%s: %s", path, text)
            copy = teacher.load(
                str(path), weights=None, example=example, folder=folder, made_up=True
            ).model
        try:
            yield copy
        except SqueezeError as e:
            e.args = (str(e).replace(str(copy), str(path)),)
            raise
