"""Options whose text is read by us: what they mean, and what is refused in one line before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from squeeze.cli import options
from squeeze.cli.compile import one_or_several
from squeeze.errors import ConfigError
from squeeze.spec import Term, load_recipe
from tests.cli.run import only_object
from tests.started import run as squeeze


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--drop", "inf", "not a finite number"),
        ("--drop", "abc", "got 'abc', allowed: a number of points, 0 or more"),
        ("--prune", "1", "got '1', allowed: a number, 0 or more, below 1"),
        ("--worst-class-drop", "-1", "got '-1', allowed: a number of points, 0 or more"),
        ("--drop", "nan", "not a finite number"),
        ("--drop", "-1", "got '-1', allowed: a number of points, 0 or more"),
        ("--prune", "nan", "not a finite number"),
        ("--prune", "inf", "got 'inf', allowed: a number, 0 or more, below 1"),
        ("--latency", "infms", "--latency: got 'infms'"),
        ("--latency", "1e999ms", "--latency: got '1e999ms'"),
        ("--latency", "", "--latency: got ''"),
        ("--size", "1e999KB", "--size: got '1e999KB'"),
        ("--size", "0.5B", "at least 1 B"),
        ("--size", "", "--size: got ''"),
        ("--set", "goal.max_drop=inf", "inf is not a finite number"),
        ("--set", "goal.max_drop=NaN", "NaN is not a finite number"),
        ("--set", "goal.max_drop=-Infinity", "-Infinity is not a finite number"),
        ("--set", "distill.lr=1e999", "1e999 is not a finite number"),
        ("--set", "distill.steps", "KEY=VALUE is wanted"),
        ("--set", "goal.max_drop=" + "[" * 9000 + "]" * 9000, "too deep to be read"),
        ("--set", "seed=" + "9" * 5000, "99 is not a finite number"),
        ("--guide", "wide.onnx=", "'' is no number, and no file has that whole name"),
        ("--guide", "wide.onnx=abc", "'abc' is no number, and no file has that whole name"),
        ("--guide", "wide.onnx=-1", "the weight above 0"),
        ("--out", "", "got '', allowed: a path"),
        ("--device", "tpu", "'auto', 'cpu', 'cuda'"),
        ("--threads", "0", "1<=x<=1024"),
        ("--threads", "99999999999", "1<=x<=1024"),
        ("--bits", "5", "'2', '3', '4', '8'"),
    ],
)
def test_value_is_refused_in_one_line(option: str, value: str, words: str) -> None:
    done = squeeze("compile", "model.onnx", "-o", "out", option, value, "--json")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr
    assert len(done.stderr) < 400
    found = only_object(done.stdout)
    assert found.keys() == {"error", "exit_code"}
    assert done.stderr == f"error: {found['error']}\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{kd = 1.0, nd = 1.0}", {"kd": 1.0, "nd": 1.0}),
        ("{rkd = {weight = 0.5, end_weight = 0.0}}", {"rkd": {"weight": 0.5, "end_weight": 0.0}}),
        ('{"kd": 1}', {"kd": 1}),
        ("['vit']", ["vit"]),
        ("{kd = }", "{kd = }"),
        ("{}\nother = 1", "{}\nother = 1"),
        ("kd", "kd"),
        ("250", 250),
    ],
)
def test_setting_is_read_as_a_recipe_would_have_it(text: str, value: object) -> None:
    command = click.Command("any")
    given = options.settings(click.Context(command), click.Option(["--set"]), (f"a.b={text}",))
    assert given == {"a.b": value}


def test_losses_of_a_table_are_taken_from_the_command_line() -> None:
    found = load_recipe("balanced", {"distill.loss": {"kd": 1.0, "nd": {"weight": 0.5}}})
    assert dict(found.distill.loss) == {"kd": Term(weight=1.0), "nd": Term(weight=0.5)}
    with pytest.raises(ConfigError, match="finite"):
        load_recipe("balanced", {"distill.loss": {"kd": float("inf")}})


@pytest.mark.parametrize(
    "shape", ["1,x", "", "1,0,3", "-1,3", "x=", "x=1x", "=,1", "x=1x3x", "1e9"]
)
def test_shape_is_refused_when_it_is_not_sizes(shape: str) -> None:
    done = squeeze("profile", "model.onnx", "--shape", shape)
    assert done.returncode == 2
    assert "--shape: got" in done.stderr


def test_numbers_are_told_by_input() -> None:
    assert read(options.input_numbers, "--input", "sr=16000", "--input", "a=b=0.5") == {
        "sr": 16000.0,
        "a=b": 0.5,
    }
    assert read(options.input_numbers) is None


@pytest.mark.parametrize("text", ["sr", "=1", "sr=", "sr=fast", "sr=inf", "sr=nan"])
def test_what_is_no_number_of_an_input_is_refused(text: str) -> None:
    done = squeeze("profile", "model.onnx", "--input", text)
    assert done.returncode == 2
    assert f"--input: got '{text}'; NAME=NUMBER is wanted" in done.stderr


def test_guides_have_the_weight_of_the_teacher_where_none_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("e=f", "run=3"):  # a file of that whole name is what is meant
        Path(name).touch()
    texts = ("b.onnx", "c=d.pt2=0.5", "e=f", "run=3", "run=3=0.5")
    found = read(options.guides, *(word for text in texts for word in ("--guide", text)))
    assert found == [
        ("b.onnx", 1.0),
        ("c=d.pt2", 0.5),
        ("e=f", 1.0),
        ("run=3", 1.0),
        ("run=3", 0.5),
    ]
    assert read(options.guides) is None


@pytest.mark.parametrize("text", ["", "0.5", "=2", "b.onnx=0", "b.onnx=-1", "b.onnx=inf"])
def test_a_guide_without_a_model_or_with_no_weight_is_refused(text: str) -> None:
    done = squeeze("compile", "model.onnx", "-o", "out", "--guide", text)
    assert done.returncode == 2
    assert f"--guide: got {text!r}; MODEL or MODEL=WEIGHT is wanted" in done.stderr


def test_shapes_are_told_by_input() -> None:
    assert read(
        options.input_shapes, "--shape", "x=1x3x32x48", "--shape", "a=b=1,16", "--shape", "4,40"
    ) == {"x": [1, 3, 32, 48], "a=b": [1, 16], "": [4, 40]}
    assert read(options.input_shapes) is None
    done = squeeze("profile", "model.onnx", "--shape", "x=1", "--shape", "x=2")
    assert "'x' is there twice" in done.stderr


def read(option: Any, *arguments: str) -> Any:  # Any: a click option, and what it gives
    """What a command with this option would be given."""
    given: dict[str, Any] = {}

    @click.command()
    @option
    def command(**found: Any) -> None:  # Any: click
        given.update(found)

    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0, done.output
    return next(iter(given.values()))


def test_settings_are_json_where_they_can_be_and_text_else() -> None:
    found = read(
        options.overrides,
        *("--set", "distill.steps=20000"),
        *("--set", "quant.observer=entropy"),
        *("--set", 'search.families=["resnet"]'),
        *("--set", "quant.enabled=false"),
        *("--set", "name=a=b"),
    )
    assert found == {
        "distill.steps": 20000,
        "quant.observer": "entropy",
        "search.families": ["resnet"],
        "quant.enabled": False,
        "name": "a=b",
    }


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ((), None),
        (("--target", "host"), "host"),
        (("--target", "host", "--target", "b.toml"), ("host", "b.toml")),
    ],
)
def test_one_target_is_a_name_and_several_are_a_tuple(
    arguments: tuple[str, ...], value: object
) -> None:
    option = click.option("--target", multiple=True, callback=one_or_several)
    assert read(option, *arguments) == value
