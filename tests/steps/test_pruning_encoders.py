"""A text encoder loses heads and channels in the pruning step, and what cannot be asked of it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort
import pytest
import torch

from squeeze import graph, steps, students
from squeeze.account import complexity
from squeeze.errors import ConfigError
from squeeze.progress import Progress
from squeeze.prune import Making
from squeeze.spec import DistillPart, PrunePart
from squeeze.steps.answering import answered
from squeeze.steps.pruning_encoders import heads_graph, reduce_heads, refuse_heads
from squeeze.steps.training import source
from squeeze.students.encoder import Params
from squeeze.train.quantised.quantise import recover
from squeeze.train.quantised.settings import Settings
from squeeze.train.supernet.inherited import encoder_of
from tests.steps.conftest import a_run, two_by_two
from tests.steps.test_inheriting import LENGTH, made
from tests.students.test_encoder import PARAMS

if TYPE_CHECKING:
    from pathlib import Path

    import onnx_ir as ir

    from squeeze.case import Case
    from squeeze.prune import Reduced
    from squeeze.run import Run

DISTILL = DistillPart(batch_size=8)


def macs_ratio(after: Path, before: Path) -> float:
    """A device on which the time is what is multiplied."""
    shape = {"ids": (1, LENGTH), "mask": (1, LENGTH)}
    return complexity(after, shape).macs / complexity(before, shape).macs


def as_it_is(model: ir.Model, folder: Path) -> ir.Model:
    """A training that changes nothing."""
    return model


@pytest.fixture(scope="module")
def problem(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Case]:
    folder = tmp_path_factory.mktemp("encoder")
    model, texts = made(folder)
    run = a_run(folder / "work")
    return run, steps.load(run, model, None, texts, None)


def reduced(problem: tuple[Run, Case], part: PrunePart, folder: Path) -> Reduced:
    run, case = problem
    return reduce_heads(
        graph.load(case.net.file),
        case,
        part,
        Making(heads_graph(case, 18), graph.save, macs_ratio, as_it_is, folder),
        lesson=(DISTILL, answered(run, case, DISTILL).path),
        compute=run.compute,
        seed=0,
        threads=1,
        progress=Progress(),
    )


@pytest.mark.parametrize("importance", ["distillation", "movement"])
def test_encoder_of_two_inputs_loses_heads_and_channels(
    problem: tuple[Run, Case], importance: str, tmp_path: Path
) -> None:
    _, case = problem
    assert refuse_heads(case, case.net.file, importance) == ""
    part = PrunePart(ratio=0.4, rounds=2, importance=importance, steps=3)
    found = reduced(problem, part, tmp_path)
    assert found.model is not None
    assert found.arch is not None
    assert [note.kept for note in found.notes] == [True, True]
    graph.save(found.model, tmp_path / "pruned.onnx")
    assert macs_ratio(tmp_path / "pruned.onnx", case.net.file) == pytest.approx(0.6, abs=0.05)
    params = Params.model_validate(found.arch.params)
    assert all(w.ffn % 8 == 0 for w in params.widths)
    network = students.rebuild(found.arch)
    network.load_state_dict({n: torch.tensor(v) for n, v in found.weights.items()})
    session = ort.InferenceSession(tmp_path / "pruned.onnx", providers=["CPUExecutionProvider"])
    for length in (5, 12):  # lengths stay free
        ids = np.arange(2 * length).reshape(2, length)
        feed = {"ids": ids, "mask": np.ones_like(ids)}
        (wanted,) = session.run(None, feed)
        with torch.no_grad():
            got = network.eval()(*(torch.from_numpy(x) for x in feed.values())).numpy()
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_pruned_encoder_is_trained(problem: tuple[Run, Case], tmp_path: Path) -> None:
    run, case = problem
    before = graph.load(case.net.file)
    settings = Settings(2, 0.03, DISTILL.batch_size)
    lesson = source(DISTILL, case, answered(run, case, DISTILL).path, 0)
    after = recover(
        before,
        settings,
        lesson,
        compute=run.compute,
        threads=1,
        folder=tmp_path,
        progress=Progress(),
    ).model
    old, new = (encoder_of(model).state_dict() for model in (before, after))
    assert not torch.equal(old["layers.0.up.weight"], new["layers.0.up.weight"])
    assert all(torch.isfinite(value).all() for value in new.values())


def test_movement_is_the_same_again(problem: tuple[Run, Case], tmp_path: Path) -> None:
    part = PrunePart(ratio=0.3, rounds=1, importance="movement", steps=3)
    found = [reduced(problem, part, tmp_path).weights for _ in range(2)]
    assert all(np.array_equal(found[0][name], found[1][name]) for name in found[0])


def test_head_without_labels_is_refused(problem: tuple[Run, Case], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="label of each sample, got none"):
        reduced(problem, PrunePart(ratio=0.3, importance="head"), tmp_path)


def test_what_is_not_of_text_encoders_is_told(problem: tuple[Run, Case], tmp_path: Path) -> None:
    _, case = problem
    why = refuse_heads(case, case.net.file, "bn")
    assert why.endswith("for text encoders there are distillation, head, movement")
    other = two_by_two(tmp_path)
    network = steps.load(a_run(tmp_path / "work"), str(other.model), None, str(other.data), None)
    assert "no encoder" in refuse_heads(case, network.net.file, "movement")


def test_heads_that_share_a_bias_are_refused(tmp_path: Path) -> None:
    model, texts = made(tmp_path, PARAMS.model_copy(update={"distances": (1, 2, 5)}))
    case = steps.load(a_run(tmp_path / "work"), model, None, texts, None)
    assert "share one bias of relative positions" in refuse_heads(case, case.net.file, "head")
