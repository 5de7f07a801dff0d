"""Recipes and targets: strict, with the nearest name for a typo; the shipped ones are sane."""

from __future__ import annotations

from pathlib import Path

import pytest

from squeeze.errors import ConfigError, unknown
from squeeze.spec import ArchSpec, Recipe, load_recipe, names
from squeeze.target import load_target


@pytest.mark.parametrize("name", names("recipes"))
def test_shipped_recipe_loads_under_its_name(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.summary


@pytest.mark.parametrize("name", names("targets"))
def test_shipped_target_loads_under_its_name(name: str) -> None:
    target = load_target(name)
    assert target.name == name
    assert target.runtime.threads >= 1


def test_shipped_recipes_are_the_promised_ones() -> None:
    assert {"balanced", "fastest", "smallest", "ptq"} <= set(names("recipes"))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            'schema = 1\nname = "r"\n[distill]\nstpes = 3\n',
            "unknown 'stpes'. Did you mean 'steps'?",
        ),
        ('schema = 1\nname = "r"\ngaol = 1\n', "Did you mean 'goal'?"),
        ('schema = 1\nname = "r"\n[distill]\nsteps = 0\n', "distill.steps"),
        ('schema = 2\nname = "r"\n', "schema"),
        ("schema = 1\n", "name: Field required"),
        ("schema = = 1\n", "not valid TOML"),
        ('schema = 1\nname = "r"\n[goal]\nmax_drop = "much"\n', "goal.max_drop"),
        ("a = " + "[" * 5000 + "]" * 5000, "too deep"),
        ("a = " + "{a=" * 5000 + "1" + "}" * 5000, "too deep"),
        ('schema = 1\nname = "r"\nseed = ' + "9" * 5000, "not valid TOML"),
        ('schema = 1\nname = "r"\nseed = 0x' + "f" * 5000, "a huge integer"),
        ('schema = 1\nname = "r"\n[quant]\nbits = "' + "8" * 5000 + '"', "8...8"),
        ('schema = 1\nname = "r"\n[quant]\nbits = ' + "[" * 90 + "]" * 90, "quant.bits"),
    ],
    ids=lambda value: value[:60],
)
def test_recipe_is_refused_with_file_and_key_when_wrong(
    tmp_path: Path, text: str, wanted: str
) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as e:
        load_recipe(path)
    assert str(path) in str(e.value)
    assert wanted in str(e.value)
    assert len(str(e.value).splitlines()) <= 2
    assert len(str(e.value)) < 400 + len(str(path))


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"recipe: unknown 'balancd'. Did you mean 'balanced'\?"):
        load_recipe("balancd")
    with pytest.raises(ConfigError, match=r"target: unknown 'hots'. Did you mean 'host'\?"):
        load_target("hots")


@pytest.mark.parametrize(
    ("got", "wanted"),
    [
        # ethos-u85-256 and rpi4 are spelled as much like them.
        ("ethos-u55", "Did you mean 'ethos-u55-128'?"),
        ("hexagon", "Did you mean 'hexagon-v68' or 'hexagon-v73' or 'hexagon-v79'?"),
        ("Ethos-U85", "Did you mean 'ethos-u85-256'?"),
        ("ethos-u56-128", "Did you mean 'ethos-u55-128'?"),
        ("", "unknown ''. Known:"),
    ],
    ids=["begins-one", "begins-several", "capitals", "misspelled", "nothing"],
)
def test_unknown_name_suggests_those_that_begin_with_it(got: str, wanted: str) -> None:
    assert wanted in unknown("target", got, names("targets"))


def test_missing_file_is_said_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read"):
        load_recipe(tmp_path / "none.toml")


def test_overrides_go_before_the_file() -> None:
    recipe = load_recipe("balanced", {"distill.steps": 7, "goal.max_drop": 0.5, "seed": 3})
    assert (recipe.distill.steps, recipe.goal.max_drop, recipe.seed) == (7, 0.5, 3)
    with pytest.raises(ConfigError, match="Did you mean 'steps'"):
        load_recipe("balanced", {"distill.step": 7})
    with pytest.raises(ConfigError, match="is a value, not a table"):
        load_recipe("balanced", {"name.x": 7})


def test_an_error_names_who_gave_the_value(tmp_path: Path) -> None:
    for key, value in (("distill.stepz", 7), ("distill.steps", "many"), ("distill", {"steps": 0})):
        with pytest.raises(ConfigError, match=r"^--set: "):
            load_recipe("balanced", {key: value})
    own = tmp_path / "own.toml"
    own.write_text('schema_version = 1\nname = "own"\nsummary = "s"\n[distill]\nsteps = 0\n')
    with pytest.raises(ConfigError, match=r"own\.toml: distill\.steps"):
        load_recipe(own, {"distill.lr": 0.1})


def test_recipe_and_arch_survive_json() -> None:
    recipe = load_recipe("fastest")
    assert Recipe.model_validate_json(recipe.model_dump_json(by_alias=True)) == recipe
    arch = ArchSpec(family="mlp", params={"widths": [8, 8]})
    assert ArchSpec.model_validate_json(arch.model_dump_json()) == arch


def test_keys_of_pruning_and_few_bits_are_read() -> None:
    recipe = load_recipe(
        "balanced",
        {
            "prune.ratio": 0.3,
            "prune.sparsity": "2:4",
            "quant.bits": 3,
            "quant.method": "mixed",
            "quant.quantiser": "codebook",
            "quant.bucket": 256,
            "quant.ends_bits": 4,
            "quant.selection": "k-centre",
        },
    )
    assert (recipe.prune.ratio, recipe.prune.sparsity) == (0.3, "2:4")
    quant = recipe.quant
    assert (quant.bits, quant.ends_bits, quant.bucket, quant.method) == (3, 4, 256, "mixed")
    assert load_recipe("balanced").quant.bucket == "channel"


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("quant.bits", 5, "2, 3, 4 or 8"),
        ("quant.ends_bits", 1, "2, 3, 4 or 8"),
        ("quant.method", "ptq", "'quantised-distillation', 'differentiable' or 'mixed'"),
        ("quant.selection", "all", "'balanced', 'bins', 'k-centre' or 'random'"),
        ("quant.bucket", "row", "'channel'"),
        ("distill.label_weight", 2, "'auto', or a number from 0 to 1"),
        ("distill.label_weight", "some", "'auto', or a number from 0 to 1"),
        ("distill.assistants", 9, "'auto', or a whole number from 0 to 8"),
        ("distill.assistants", True, "'auto', or a whole number from 0 to 8"),
        ("distill.assistants", 1.5, "'auto', or a whole number from 0 to 8"),
        ("distill.keep", 0, "greater than 0"),
        ("distill.keep_chosen", "never", "'anew' or 'once'"),
        ("distill.views", 401, "less than or equal to 400"),
        ("prune.ratio", 1.5, "less than 1"),
        ("prune.sparsity", "3:4", "'none', '1:4' or '2:4'"),
        ("goal.max_bytes", 0, "greater than 0"),
    ],
)
def test_value_is_refused_with_what_is_allowed(key: str, value: object, allowed: str) -> None:
    with pytest.raises(ConfigError) as e:
        load_recipe("balanced", {key: value})
    assert f"{key}" in str(e.value)
    assert f"(got {value!r})" in str(e.value)
    assert allowed in str(e.value)
    assert len(str(e.value).splitlines()) == 1


@pytest.mark.parametrize("number", ["inf", "nan", "-inf"])
@pytest.mark.parametrize("key", ["goal.max_drop", "goal.max_latency_ms", "distill.lr"])
def test_a_number_that_is_not_finite_is_refused_with_its_key(
    tmp_path: Path, key: str, number: str
) -> None:
    table, name = key.split(".")
    path = tmp_path / "r.toml"
    path.write_text(f'schema = 1\nname = "r"\n[{table}]\n{name} = {number}\n')
    with pytest.raises(ConfigError, match=rf"{key}: Input should be .*\(got {number}\)"):
        load_recipe(path)


def test_a_name_where_a_list_is_wanted_says_how_a_list_is_typed() -> None:
    with pytest.raises(
        ConfigError, match=r"search\.families: takes a list, such as .*\(got '\[vit\]'\)"
    ):
        load_recipe("balanced", {"search.families": "[vit]"})
