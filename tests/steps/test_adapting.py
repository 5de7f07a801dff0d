"""A transformer becomes adaptive in a step of its own, from the teacher's file to a file; what cannot be is told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort
import pytest
import torch
from safetensors.torch import load_file

from squeeze import steps, students
from squeeze.budget import Budget
from squeeze.errors import ConfigError
from squeeze.front import Front
from squeeze.graph import load
from squeeze.spec import AdaptivePart
from squeeze.steps.adapting import cut_to
from squeeze.steps.planning import plans
from tests.steps.conftest import a_device, a_recipe, a_run, two_by_two
from tests.steps.test_inheriting import LENGTH, made
from tests.steps.test_planning import Missed

if TYPE_CHECKING:
    from pathlib import Path

FEW = {"compute": 0.4, "module_steps": 3, "gate_steps": 3, "steps": 4, "batch_size": 8}


def test_text_encoder_becomes_adaptive(tmp_path: Path) -> None:
    model, texts = made(tmp_path)
    run = a_run(tmp_path / "work")
    case = steps.load(run, model, None, texts, None)
    device = a_device(tmp_path / "state")
    wanted = a_recipe(adaptive=FEW)
    net = steps.adaptive(run, case, device, case.net, wanted, Front(case, device, wanted.goal))
    assert net is not None
    assert net.arch is not None
    assert net.weights is not None
    module = students.rebuild(net.arch)
    module.load_state_dict(load_file(net.weights))
    assert "TopK" in {node.op_type for node in load(net.file).graph}
    session = ort.InferenceSession(net.file, providers=["CPUExecutionProvider"])
    for length in (5, LENGTH):  # lengths stay free
        ids = np.arange(2 * length).reshape(2, length)
        feed = {"ids": ids, "mask": np.ones_like(ids)}
        with torch.no_grad():
            wanted_numbers = module.eval()(*(torch.from_numpy(x) for x in feed.values())).numpy()
        np.testing.assert_allclose(session.run(None, feed)[0], wanted_numbers, rtol=1e-4, atol=1e-4)
    # Another share takes the learners that are there.
    other = a_recipe(adaptive={**FEW, "compute": 0.6})
    again = steps.adaptive(run, case, device, case.net, other, Front(case, device, wanted.goal))
    assert again is not None
    said = [entry["name"] for entry in run.log if entry.get("status") == "reused"]
    assert "learners" in said
    assert "adaptive" not in said

    files = steps.deploy(run, case, device, net, wanted.quant, slower=True)
    found = {candidate.form: candidate.file for candidate in files}
    assert {"float", "int8"} <= found.keys()
    x = {"ids": ids, "mask": np.ones_like(ids)}
    outputs = [ort.InferenceSession(found[form]).run(None, x)[0] for form in ("float", "int8")]
    cosine = (outputs[0] * outputs[1]).sum(-1)  # of embeddings with a norm of 1
    assert cosine.min() > 0.98


def test_nothing_is_made_that_nobody_asked_for(tmp_path: Path) -> None:
    problem = two_by_two(tmp_path)
    run = a_run(tmp_path / "work")
    case = steps.load(run, str(problem.model), None, str(problem.data), None)
    device = a_device(tmp_path / "state")
    plain = a_recipe()
    front = Front(case, device, plain.goal)
    assert steps.adaptive(run, case, device, case.net, plain, front) is None
    assert steps.adaptive(run, case, device, case.net, a_recipe(adaptive=FEW), front) is None
    skipped = [entry for entry in run.log if entry["name"] == "adaptive"]
    assert len(skipped) == 1
    assert "is no transformer that can be read" in skipped[0]["summary"]


def test_all_of_it_has_the_share_of_its_steps_that_there_is_time_for(tmp_path: Path) -> None:
    model, texts = made(tmp_path)
    wanted = a_recipe(adaptive=FEW)
    digests = []
    # A resumed run, whose clock has run out, goes by the plan that was made.
    for began in ({}, {"began": -1e9}):
        run = a_run(tmp_path / "work")
        run.budget = Budget(600.0, **began)
        case = steps.load(run, model, None, texts, None)
        device = a_device(tmp_path / "state")
        net = steps.adaptive(run, case, device, case.net, wanted, Missed())
        assert net is not None
        digests.append(net.digest)
        (plan,) = plans(run.log)
        assert (plan["training"], plan["wanted"], plan["steps"]) == ("adaptive", 10, 10)
    assert digests[0] == digests[1]
    short = a_run(tmp_path / "short")
    short.budget = Budget(1.0)
    with pytest.raises(ConfigError, match=r"too short for 'adaptive'.*of its 10 steps \(adaptive"):
        steps.adaptive(short, case, device, case.net, wanted, Missed())


def test_a_student_that_was_trained_stays_as_it_is_without_time(tmp_path: Path) -> None:
    model, texts = made(tmp_path)
    run = a_run(tmp_path / "work")
    run.budget = Budget(1.0)
    case = steps.load(run, model, None, texts, None)
    student = replace(case.net, origin="student")
    wanted = a_recipe(adaptive=FEW)
    device = a_device(tmp_path / "state")
    assert steps.adaptive(run, case, device, student, wanted, Missed()) is None
    assert "adaptive: no time" in run.log[-1]["summary"]


def test_fewer_steps_are_fewer_of_each_training_and_none_falls_away() -> None:
    part = AdaptivePart(module_steps=40, gate_steps=2, steps=58)
    got = cut_to(part, 20)
    assert (got.module_steps, got.gate_steps, got.steps) == (8, 1, 12)
    assert cut_to(part, 100) == part
    none = part.model_copy(update={"gate_steps": 0})
    assert cut_to(none, 49).gate_steps == 0
