"""Which spaces get a network when fewer are trained than were asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from squeeze import steps
from squeeze.case import Case
from squeeze.commands.search import search_supernet
from squeeze.front import Front
from squeeze.run import Run
from squeeze.spec import Recipe, SupernetPart
from squeeze.steps.inheriting import inheriting_student
from squeeze.steps.inheriting_work import Kept
from squeeze.steps.sharing import inherited_from
from squeeze.steps.sub_spaces import pick_spaces
from squeeze.steps.supernet import open_supernet
from squeeze.train.supernet.space import NAMES
from tests.steps.conftest import a_device, a_run
from tests.steps.test_inheriting import LENGTH, made
from tests.students.test_encoder import PARAMS

PART = SupernetPart(steps=1, batch_size=8, further=1)
WHOLE = PARAMS.costs(LENGTH).macs * 1.5  # with the layer behind it that widens what is narrower


@pytest.fixture
def begun(tmp_path: Path) -> tuple[Run, Case, Kept]:
    model, texts = made(tmp_path)
    run = a_run(tmp_path / "work")
    case = steps.load(run, model, None, texts, None)
    return run, case, inherited_from(run, case)


def test_space_with_the_teacher_itself_goes_first_where_the_budget_has_room_for_it(
    begun: tuple[Run, Case, Kept],
) -> None:
    run, case, inherited = begun
    picked = pick_spaces(run, case, inherited, PART, ("tiny", "small", "base"), WHOLE, 1)
    assert picked.spaces == ("base",)
    # In half precision the teacher itself loses what rounding does.
    assert picked.best["base"]["loss"] < 0.5 * picked.best["small"]["loss"]
    assert set(picked.left) == {"tiny", "small"}
    said = [entry for entry in run.log if entry["name"] == "supernet"]
    assert [entry["status"] for entry in said] == ["skipped"] * 2
    assert all("that of 'base' 0.000 untrained (W-PCA " in entry["summary"] for entry in said)


def test_space_without_a_part_inside_the_budget_is_left(begun: tuple[Run, Case, Kept]) -> None:
    run, case, inherited = begun
    picked = pick_spaces(run, case, inherited, PART, ("base", "tiny"), WHOLE / 5, 1)
    assert picked.spaces == ("tiny",)
    assert "'base': no part of it is inside the budget" in picked.left["base"]


def test_nothing_is_asked_where_all_spaces_get_a_network(begun: tuple[Run, Case, Kept]) -> None:
    run, case, inherited = begun
    before = len(run.log)
    picked = pick_spaces(run, case, inherited, PART, ("base", "tiny", "tiny"), WHOLE, 2)
    assert (picked.spaces, picked.left, len(run.log)) == (("base", "tiny"), {}, before)


def test_search_trains_as_many_networks_as_it_may_and_keeps_the_reason(tmp_path: Path) -> None:
    model, texts = made(tmp_path)
    few = {"supernet.steps": 1, "supernet.batch_size": 8, "supernet.networks": 1}
    found = search_supernet(
        model,
        texts,
        out=tmp_path / "net",
        spaces=NAMES,
        overrides={**few, "search.speedup": 3.0},
        threads=1,
        cache=tmp_path / "cache",
    )
    assert len(found["spaces"]) == 1
    assert set(open_supernet(tmp_path / "net").spaces) == set(found["spaces"])
    record = json.loads((tmp_path / "net" / "supernet.json").read_bytes())
    assert record["picked"] == found["picked"]
    assert set(record["picked"]["left"]) == set(NAMES) - set(found["spaces"])


def test_compile_takes_the_space_that_untrained_parts_name(tmp_path: Path) -> None:
    model, texts = made(tmp_path)
    run = a_run(tmp_path / "work")
    case = steps.load(run, model, None, texts, None)
    part = PART.model_copy(update={"space": "untrained"})
    recipe = Recipe.model_validate({"schema": 1, "name": "few", "supernet": part.model_dump()})
    wanted = recipe.model_copy(
        update={"search": recipe.search.model_copy(update={"speedup": 15.0})}
    )
    front = Front(wanted.goal, lambda _: {})
    net = inheriting_student(run, case, a_device(tmp_path / "state"), wanted, front)
    assert net is not None
    trained = [entry for entry in run.log if entry["name"] == "supernet"]
    assert [entry["status"] for entry in trained] == ["skipped", "skipped", "done"]
