"""Commands that the screens and errors suggest are pasted into a shell as they stand, whatever the paths are."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from squeeze.artifact import Artifact
from squeeze.commands.targets import describe_target, write_target
from squeeze.console.lowered import show_lowered
from squeeze.console.package import show_packages
from squeeze.console.quantised import show_quantised
from squeeze.console.targets import show_written
from squeeze.errors import ConfigError
from squeeze.runtimes.shapes import shapes_of, unsaid
from squeeze.runtimes.signature import Input
from squeeze.workdir import check_target_file
from tests.console.shown import shown
from tests.console.test_quantised import found
from tests.report.story_of_a_compile import manifest

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

MODEL, OUT = "my models/it's one.onnx", "my models/small; int8.onnx"


def next_of(draw: Callable[[Console], None]) -> str:
    """What stands behind `next: ` on the last line."""
    return shown(draw, width=300)[-1].partition("next: ")[2]


def test_quantize() -> None:
    result = found(model=MODEL, out=OUT)
    said = next_of(lambda console: show_quantised(console, result))
    assert shlex.split(said) == ["squeeze", "profile", OUT, "--against", MODEL]


def test_lower() -> None:
    result = {
        "model": MODEL,
        "out": OUT,
        "notes": [],
        "speed": None,
        "stock_speed": None,
        "bytes": {"before": 200, "after": 100},
        "interface_changes": [],
        "difference": None,
        "not_measured": "",
    }
    said = next_of(lambda console: show_lowered(console, result))
    assert shlex.split(said) == ["squeeze", "profile", OUT, "--against", MODEL]


def test_compile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    package = Artifact(tmp_path / "my out", manifest())
    said = next_of(lambda console: show_packages(console, [package], index=None))
    verify, profile = said.split(" · ")
    assert shlex.split(verify) == ["squeeze", "verify", "my out"]
    assert shlex.split(profile) == ["squeeze", "profile", "my out"]


def test_a_new_target() -> None:
    written = {"path": "my targets/board.toml", **describe_target("host")}
    said = next_of(lambda console: show_written(console, written))
    assert shlex.split(said)[-2:] == ["--target", "my targets/board.toml"]


def behind(option: str, said: str) -> str:
    """The first word of a shell behind `option`."""
    return shlex.split(said.rpartition(f"{option} ")[2])[0]


def test_errors_that_suggest_a_name(tmp_path: Path) -> None:
    wrong = tmp_path / "my file.txt"
    with pytest.raises(ConfigError) as model:
        check_target_file(wrong, tmp_path / "m.onnx")
    with pytest.raises(ConfigError) as target:
        write_target("board", wrong)
    assert behind("say -o", str(model.value)) == str(wrong.with_suffix(".onnx"))
    assert behind("say -o", str(target.value)) == str(wrong.with_suffix(".toml"))


def test_options_that_name_an_input() -> None:
    image = Input("my image", np.dtype("float32"), ("n", 3, "h", "w"))
    said = unsaid([image], {}, {})
    assert said is not None
    assert behind("--shape", said) == "my image=1x3x224x224"
    _, (assumed,) = shapes_of([image], {}, {})
    assert behind("--shape", assumed) == "my image=1x3x224x224"
