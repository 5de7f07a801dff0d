"""Options that several commands share, and how their text becomes a value."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from squeeze.cli.completing import MetricName, NameOrFile, Setting
from squeeze.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Json = dict[str, Any]  # Any: JSON
F = TypeVar("F", bound=Callable[..., Any])  # Any: click
_NUMBERS = ("scale", "mean", "std")
_TEXT_KEYS = {
    "text": "columns",
    "label": "label",
    "tokenizer": "tokenizer",
    "max_length": "max_length",
}
_SHAPE = re.compile(r"[1-9]\d{0,8}([,x][1-9]\d{0,8})*")


class NewPath(click.Path):
    """Where something is to be written. An empty text, as an unset variable of a shell gives it, is no place."""

    def convert(
        self,
        value: Any,  # Any: click
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:  # Any: click
        if value == "":
            self.fail("got '', allowed: a path", param, ctx)
        return super().convert(value, param, ctx)


class FiniteRange(click.FloatRange):
    """A float inside a range; infinite and not-a-number are no floats of ours. unit: what it counts ("points")."""

    def __init__(self, *, unit: str = "", **limits: Any) -> None:  # Any: of click.FloatRange
        super().__init__(**limits)
        self._unit = unit

    def convert(
        self,
        value: Any,  # Any: click
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:  # Any: click
        try:
            number = super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"got '{value}', allowed: {self._allowed()}", param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number; allowed: {self._allowed()}", param, ctx)
        return number

    def _allowed(self) -> str:
        words = [f"a number of {self._unit}" if self._unit else "a number"]
        if self.min is not None:
            words.append(f"{self.min:g} or more")
        if self.max is not None:
            words.append(f"{'below' if self.max_open else 'at most'} {self.max:g}")
        return ", ".join(words)


def settings(_context: click.Context, _option: click.Parameter, pairs: tuple[str, ...]) -> Json:
    """('distill.steps=20000',) -> {'distill.steps': 20000}: JSON, a list or table as a recipe has it, else text.

    Raises ConfigError.
    """
    found: Json = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key:
            raise ConfigError(f"--set {pair:.80}: KEY=VALUE is wanted, such as distill.steps=20000")
        if _endless(text):
            raise ConfigError(f"--set {key:.80}: {text:.80} is not a finite number")
        try:
            found[key] = _value(text)
        except RecursionError as e:
            raise ConfigError(
                f"--set {key:.80}: values within each other, too deep to be read"
            ) from e
    return found


def _value(text: str) -> Any:  # Any: JSON
    for read in (json.loads, _of_recipe):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def _of_recipe(text: str) -> Any:  # Any: JSON
    """'{kd = 1.0}' -> {'kd': 1.0}. Raises ValueError."""
    found = tomllib.loads(f"value = {text}") if text.startswith(("{", "[")) else {}
    if list(found) != ["value"]:
        raise ValueError(text)
    return found["value"]


def whole_bits(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    """'4' -> 4."""
    return None if text is None else int(text)


def shapes(
    _context: click.Context, _option: click.Parameter, texts: tuple[str, ...]
) -> dict[str, list[int]] | None:
    """('x=1x3x320x320', 'ids=1,16') -> {'x': [1, 3, 320, 320], 'ids': [1, 16]}; without a name under ''.

    Raises ConfigError.
    """
    found: dict[str, list[int]] = {}
    for text in texts:
        name, _, sizes = text.rpartition("=")
        if not _SHAPE.fullmatch(sizes):
            raise ConfigError(
                f"--shape: got {text!r}; positive whole numbers, such as 1x3x224x224 or NAME=1x3x224x224"
            )
        if name in found:
            raise ConfigError(f"--shape: '{name}' is there twice; one shape for each input")
        found[name] = [int(size) for size in re.split("[,x]", sizes)]
    return found or None


def weighted(
    _context: click.Context, _option: click.Parameter, texts: tuple[str, ...]
) -> list[tuple[str, float]] | None:
    """('b.onnx', 'c.onnx=0.5') -> [('b.onnx', 1.0), ('c.onnx', 0.5)]; a file may have a '=' in its name. Raises
    ConfigError."""
    found = []
    for text in texts:
        path, weight = text, 1.0
        if not os.path.exists(text):
            before, equals, said = text.rpartition("=")
            try:
                path, weight = before, float(said)
            except ValueError as e:
                if equals:
                    raise ConfigError(
                        f"--guide: got {text!r}; '{said}' is no number, and no file has that whole name; MODEL or "
                        "MODEL=WEIGHT is wanted"
                    ) from e
        if not path or _endless(str(weight)) or weight <= 0:
            raise ConfigError(
                f"--guide: got {text!r}; MODEL or MODEL=WEIGHT is wanted, the weight above 0"
            )
        found.append((path, weight))
    return found or None


def numbers(
    _context: click.Context, _option: click.Parameter, texts: tuple[str, ...]
) -> dict[str, float] | None:
    """('sr=16000',) -> {'sr': 16000.0}. Raises ConfigError."""
    found: dict[str, float] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            found[name] = float(number)
        except ValueError:
            name = ""
        if not name or _endless(number):
            raise ConfigError(f"--input: got {text!r}; NAME=NUMBER is wanted, such as sr=16000")
    return found or None


def channels(
    _context: click.Context, option: click.Parameter, text: str | None
) -> list[float] | None:
    """'0.485,0.456,0.406' -> [0.485, 0.456, 0.406]. Raises ConfigError."""
    if text is None:
        return None
    try:
        found = [float(number) for number in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(map(math.isfinite, found)):
        raise ConfigError(
            f"--{option.name}: got {text!r}; a number, or one for each channel, such as 0.485,0.456,0.406"
        )
    return found


def take_preprocess(given: dict[str, Any]) -> dict[str, Any]:  # Any: click
    """--preprocess, --scale, --mean and --std of `given`, and the options of texts, as the one argument each that the
    functions take."""
    given = take_text(given)
    keys = {key: value for key in _NUMBERS if (value := given.pop(key, None)) is not None}
    name = given.pop("preprocess", None)
    if keys:
        return {**given, "preprocess": keys if name is None else {"name": name, **keys}}
    return {**given, "preprocess": name}


def preprocess(command: F) -> F:
    """The options of how stored samples become the model's input."""
    for option in reversed((*_PREPROCESS, *_TEXT)):
        command = option(command)
    return command


def texts(command: F) -> F:
    """The options of texts alone."""
    for option in reversed(_TEXT):
        command = option(command)
    return command


def columns(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> list[str] | None:
    """'sentence1,sentence2' -> ['sentence1', 'sentence2']. Raises ConfigError."""
    if text is None:
        return None
    found = [name.strip() for name in text.split(",")]
    if not all(found) or len(found) > 2:
        raise ConfigError(f"--text: got {text!r}; a column, or two, such as sentence1,sentence2")
    return found


def take_text(given: dict[str, Any]) -> dict[str, Any]:  # Any: click
    """--text, --label, --tokenizer and --max-length of `given`, as the one argument that the functions take."""
    keys = {
        key: value
        for option, key in _TEXT_KEYS.items()
        if (value := given.pop(option, None)) is not None
    }
    return {**given, "text": keys or None}


def _endless(text: str) -> bool:
    """Whether a recipe would read `text` as a number that is infinite or none: 'inf', 'NaN', '1e999'."""
    try:
        return not math.isfinite(float(text))
    except ValueError:
        return False


def check_model(source: str, weights: str | None) -> None:
    """Raises ConfigError for a model that is not there or of no known kind, before torch is loaded for it (seconds)."""
    from squeeze.teacher.source import classify

    classify(source, weights)


as_json = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object on standard output."
)
metric = click.option(
    "--metric",
    type=MetricName(),
    metavar="NAME[@OUTPUT]",
    help="Such as top1, top1@logits, module:function; read off labels and outputs otherwise.",
)
one_target = click.option(
    "--target",
    type=NameOrFile("targets"),
    default="host",
    show_default=True,
    help="A name of `squeeze targets` or a TOML file.",
)
keep_float = click.option(
    "--keep-float",
    multiple=True,
    metavar="NAME",
    help="A node, a pattern ('head.*') or an operator (Gemm) that stays float; may be repeated.",
)
bits_help = "Bits of the weights of all layers but the first and last."
bits_choice = click.Choice(["2", "3", "4", "8"])
overrides = click.option(
    "--set",
    "overrides",
    type=Setting(),
    multiple=True,
    callback=settings,
    metavar="KEY=VALUE",
    help="A recipe key, such as distill.steps=20000 or quant.observer=entropy.",
)
work_threads = click.option(
    "--threads", type=click.IntRange(1, 1024), help="Threads for the work itself [all cores]."
)
factory_weights = click.option(
    "--weights", metavar="FILE", help="Weights for a 'package.module:factory' model."
)
input_shapes = click.option(
    "--shape",
    "shape",
    multiple=True,
    callback=shapes,
    metavar="[NAME=]1x3x...",
    help="Input shape, batch included, for sizes that the model leaves open; once for each input.",
)
embed_preprocess = click.option(
    "--embed-preprocess",
    is_flag=True,
    help="Put scale, mean, axes, type and resize of --calib into the file, which takes samples as stored.",
)
extra = click.option(
    "--extra",
    multiple=True,
    type=click.Path(),
    metavar="DATA",
    help="Further samples to train with, without labels, such as corpus.txt; may be repeated.",
)
pretrained = click.option(
    "--pretrained",
    type=click.Path(),
    metavar="MODEL",
    help="What a text encoder was fine-tuned from, for a recipe with stages, such as four-stages.",
)
guides = click.option(
    "--guide",
    "guides",
    multiple=True,
    callback=weighted,
    metavar="MODEL[=WEIGHT]",
    help="A further teacher of the same classes; its weight beside the teacher's 1. May be repeated.",
)
input_numbers = click.option(
    "--input",
    "numbers",
    multiple=True,
    callback=numbers,
    metavar="NAME=NUMBER",
    help="Fill an input with a number, such as sr=16000; others are made up.",
)
accept_baseline = click.option(
    "--accept-baseline",
    is_flag=True,
    help="Go on with a model that answers as chance does on the data.",
)
_PREPROCESS = (
    click.option(
        "--preprocess",
        metavar="NAME",
        help="Of DATA's images: unit, signed, bytes, imagenet or caffe, with -bgr for BGR [as in its TOML].",
    ),
    click.option("--scale", metavar="NUMBER", help="x * NUMBER first of all, such as 1/255."),
    click.option("--mean", callback=channels, metavar="NUMBERS", help="Then less the mean, ..."),
    click.option(
        "--std", callback=channels, metavar="NUMBERS", help="... by the deviation, in that order."
    ),
)
_TEXT = (
    click.option(
        "--text",
        callback=columns,
        metavar="COLUMNS",
        help="Of DATA's texts: the column, or two of pairs (sentence1,sentence2), by name or number.",
    ),
    click.option("--label", metavar="COLUMN", help="The column of labels or scores of texts."),
    click.option(
        "--tokenizer", metavar="FILE", help="The tokenizer.json of texts [beside the model]."
    ),
    click.option(
        "--max-length", type=click.IntRange(min=1), help="The most tokens of a text [by the data]."
    ),
)
