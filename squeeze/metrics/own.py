"""A metric of the user's own: "package.module:function", called with (outputs, labels), higher is better."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from squeeze.errors import ConfigError
from squeeze.metrics.metric import Metric
from squeeze.workdir import digest_file


def looks_own(name: str) -> bool:
    """Whether `name` has the form "package.module:function"; nothing is imported."""
    module, colon, function = name.partition(":")
    return bool(colon) and function.isidentifier() and module.replace(".", "_").isidentifier()


def own(name: str) -> Metric:
    """The metric behind "package.module:function". Raises ConfigError with what failed to import."""
    module_name, _, function_name = name.partition(":")
    try:
        function = getattr(import_module(module_name), function_name)
    # A user's module may fail in any way while it is imported.
    except (Exception, SystemExit) as e:
        raise ConfigError(
            f"metric {name}: cannot be imported: {e}; its folder must be on PYTHONPATH"
        ) from e
    if not callable(function):
        raise ConfigError(f"metric {name}: got a {type(function).__name__}, allowed: a function")
    return Metric(
        key=name,
        name=function_name,
        title=name,
        unit="",
        fn=function,
        compares="anything",
        needs="labels",
    )


def text_digest(name: str) -> str:
    """SHA-256 of the file that defines the metric, so that results of an older version are not taken for its own."""
    module_name = name.partition(":")[0]
    own(name)
    file = getattr(sys.modules[module_name], "__file__", None)
    return "" if file is None else digest_file(Path(file))
