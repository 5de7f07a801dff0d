"""What `import squeeze` offers: the functions themselves, loaded when they are asked for."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import squeeze

FUNCTIONS = [name for name in squeeze.__all__ if name != "__version__"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_says_its_arguments_and_what_it_does(name: str) -> None:
    function = getattr(squeeze, name)
    kinds = {p.kind for p in inspect.signature(function).parameters.values()}
    assert not kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    assert "Raises" in function.__doc__ or "ConfigError" in function.__doc__ or name == "inspect"
    assert name in dir(squeeze)


def test_importing_the_package_loads_none_of_them() -> None:
    code = (
        "import squeeze, sys; print([m for m in sys.modules if m.startswith('squeeze.')]);"
        "import squeeze.compile, squeeze.save; print(squeeze.compile.__name__, squeeze.save.__name__)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines() == ["['squeeze.offline']", "compile_model save_model"]


def test_what_is_not_there_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'squeeze' has no attribute 'squash'"):
        _ = squeeze.squash  # type: ignore[attr-defined]
