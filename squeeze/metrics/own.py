"""A metric of the user's own: "package.module:function", called with (outputs, labels).

    def score(outputs, labels): ...                   one output [n, ...] and the labels of the samples
    def score(outputs, labels, inputs, groups): ...   what it names it gets: inputs by name, the group of each sample
    def score(all_outputs, labels): ...               all outputs of the model, name -> [n, ...]

    score.unit = "dB"                  beside the value; none without it
    score.higher_is_better = False     true without it

A point of it is 1 of its value; `--drop` is the limit in that.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from squeeze.errors import ConfigError
from squeeze.metrics.metric import Metric
from squeeze.own_code import current_folder_importable
from squeeze.workdir import digest_file

_ALL = "all_outputs"
_ASKED = frozenset(("inputs", "groups"))


def looks_own(name: str) -> bool:
    """Whether `name` has the form "package.module:function"; nothing is imported."""
    module, colon, function = name.partition(":")
    return bool(colon) and function.isidentifier() and module.replace(".", "_").isidentifier()


def own(name: str) -> Metric:
    """The metric behind "package.module:function". Raises ConfigError with what failed to import, or what the function
    says of itself that is not understood."""
    module_name, _, function_name = name.partition(":")
    try:
        with current_folder_importable():
            function = getattr(import_module(module_name), function_name)
    # A user's module may fail in any way while it is imported.
    except (Exception, SystemExit) as e:
        raise ConfigError(
            f"metric {name}: cannot be imported: {e}; it is looked for in the current folder and on PYTHONPATH"
        ) from e
    if not callable(function):
        raise ConfigError(f"metric {name}: got a {type(function).__name__}, allowed: a function")
    unit, higher = getattr(function, "unit", ""), getattr(function, "higher_is_better", True)
    if not isinstance(unit, str) or not isinstance(higher, bool):
        raise ConfigError(
            f"metric {name}: got unit {unit!r} and higher_is_better {higher!r}, allowed: text, and True or False"
        )
    first, *others = _arguments(name, function)
    return Metric(
        key=name,
        name=function_name,
        title=name,
        unit=unit,
        fn=function,
        compares="anything",
        needs="labels",
        higher_is_better=higher,
        takes_all=first == _ALL,
        asks=_ASKED & set(others),
    )


def text_digest(name: str) -> str:
    """SHA-256 of the file that defines the metric, so that results of an older version are not taken for its own."""
    module_name = name.partition(":")[0]
    own(name)
    file = getattr(sys.modules[module_name], "__file__", None)
    return "" if file is None else digest_file(Path(file))


def _arguments(name: str, function: Callable[..., object]) -> list[str]:
    """The names of its arguments, two at least; of what has no signature to read, those of a plain function."""
    try:
        known = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ["outputs", "labels"]
    starring = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    starred = any(p.kind is p.VAR_POSITIONAL for p in known)
    places = [p for p in known if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    wanted = [p.name for p in known if p.default is p.empty and p.kind not in starring]
    strange = [n for n in wanted if n not in _ASKED and n not in [p.name for p in places[:2]]]
    if (len(places) < 2 and not starred) or strange:
        raise ConfigError(
            f"metric {name}: takes ({', '.join(p.name for p in known)}), allowed: (outputs, labels), then inputs and "
            "groups as far as they are wanted"
        )
    names = [p.name for p in known]
    return names if len(places) >= 2 else ["outputs", "labels", *names]
