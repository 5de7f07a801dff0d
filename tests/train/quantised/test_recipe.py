"""From the keys of a recipe to what a training is told, and which keys contradict each other."""

from __future__ import annotations

from typing import Any

import pytest

from squeeze.errors import ConfigError
from squeeze.spec import DistillPart, QuantPart, Recipe
from squeeze.steps.refusals import refuse
from squeeze.steps.training import settings
from squeeze.target import load_target


def recipe(**quant: Any) -> Recipe:
    return Recipe.model_validate({"schema": 1, "name": "r", "quant": {"bits": 3, **quant}})


def test_redistribution_and_learned_levels_are_one_key_each() -> None:
    part = QuantPart(quantiser="codebook", redistribute=True)
    assert settings(part, DistillPart(), "uint8").redistribute
    assert not settings(QuantPart(), DistillPart(), "uint8").redistribute
    found = settings(QuantPart(quantiser="ternary", learned_levels=True), DistillPart(), "uint8")
    assert (found.quantiser, found.options) == ("ternary", {"learned": True})


@pytest.mark.parametrize(
    "quant",
    [
        {"quantiser": "codebook", "redistribute": True},
        {"method": "mixed", "redistribute": True},
        {"quantiser": "ternary", "learned_levels": True},
    ],
    ids=str,
)
def test_keys_that_go_together_are_taken(quant: dict[str, Any]) -> None:
    refuse(recipe(**quant), load_target("host"), data=True)


@pytest.mark.parametrize(
    ("quant", "said"),
    [
        ({"redistribute": True}, r"quant\.redistribute: .* use quantiser 'codebook' or method"),
        (
            {"quantiser": "codebook", "method": "post-training", "redistribute": True},
            r"quant\.redistribute: .* quant\.method 'post-training'",
        ),
        ({"learned_levels": True}, r"quant\.learned_levels: is for quant\.quantiser 'ternary'"),
    ],
    ids=["no-codebook", "no-training", "not-ternary"],
)
def test_keys_that_contradict_each_other_are_refused(quant: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        refuse(recipe(**quant), load_target("host"), data=True)
