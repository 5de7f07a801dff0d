"""`squeeze recipes`: what is shipped, and the losses by situation."""

from __future__ import annotations

import json
import sys

import pytest

from squeeze.commands.recipes import explain_losses, list_recipes
from squeeze.errors import ConfigError
from squeeze.losses import LOSSES, USUAL, make
from squeeze.losses.situations import SITUATIONS
from squeeze.spec import Recipe, names, parse
from tests.cli.run import only_object
from tests.started import run

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def test_recipes_are_listed_with_what_they_set() -> None:
    found = {r["name"]: r for r in list_recipes()["recipes"]}
    assert list(found) == names("recipes")
    assert found["ptq"]["sets"] == {"search.evaluations": 0, "quant.method": "post-training"}
    assert found["balanced"]["sets"] == {}
    done = run("recipes")
    assert done.returncode == 0, done.stderr
    assert "post-training" in done.stdout


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda s: s.when)
def test_what_is_advised_is_a_recipe_and_a_loss(situation: object) -> None:
    assert situation in SITUATIONS
    found = next(s for s in SITUATIONS if s is situation)
    data = tomllib.loads(f'name = "r"\n[distill]\nloss = {found.loss}\n')
    wanted = parse(Recipe, data, "r.toml").distill.loss
    loss = make(
        wanted,
        temperature=4.0,
        label_weight=0.1,
        outputs=10,
        activation="none",
        metric="top1",
        classes=10,
    )
    assert loss.space == "classes"
    assert {*found.others, *found.avoid} <= set(LOSSES)
    assert not set(found.others) & set(found.avoid)


def test_the_screen_has_every_situation_and_every_loss() -> None:
    answer = explain_losses()
    assert [x["name"] for x in answer["losses"]] == list(LOSSES)
    assert {x["name"] for x in answer["losses"] if x["usual"]} == set(USUAL.values())
    assert all(x["towards"] for x in answer["losses"])
    done = run("recipes", "explain")
    assert done.returncode == 0, done.stderr
    printed = " ".join(done.stdout.split())
    assert all(name in printed for name in LOSSES)
    assert "nothing is to be tuned" in printed
    told = only_object(run("recipes", "explain", "--json").stdout)
    assert told == json.loads(json.dumps(answer))


def test_a_sum_is_given_on_the_command_line_and_refused_there() -> None:
    from squeeze.spec import load_recipe

    found = load_recipe("balanced", {"distill.loss.kd": 1, "distill.loss.crd.weight": 0.5})
    assert found.key()["distill"]["loss"]["crd"]["weight"] == 0.5
    with pytest.raises(ConfigError, match=r"--set: distill.loss.kd.weight: "):
        load_recipe("balanced", {"distill.loss.kd": -1})
