"""One network is trained with all of its parts: they get nearer to the teacher, and a kill changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from squeeze import students
from squeeze.calib import Calib
from squeeze.calib.arrays import from_arrays
from squeeze.errors import UnsupportedError
from squeeze.export import feed_to_ir
from squeeze.graph import save
from squeeze.losses import LOSSES
from squeeze.progress import Progress
from squeeze.spec import SupernetPart
from squeeze.students.encoder import Dense, Encoder, fresh_tail
from squeeze.train.compute import Compute
from squeeze.train.supernet.choice import best, score_all
from squeeze.train.supernet.importance import importance, sort
from squeeze.train.supernet.inherited import inherited
from squeeze.train.supernet.learner import Shared, SuperLM
from squeeze.train.supernet.objective import Objective
from squeeze.train.supernet.samples import Samples
from squeeze.train.supernet.space import SubSpace
from squeeze.train.supernet.states import Told, open_states, write_states
from squeeze.train.supernet.train import SharedTraining, TrainedShared
from tests.feeds import interface_of
from tests.students.test_encoder import PARAMS, batch, random_encoder

STEPS = 12
PART = SupernetPart(steps=STEPS, batch_size=8, lr=2e-3, between=1)
FP32 = Compute("cpu", torch.float32, torch.float32)
SPACE = SubSpace((1, 2), (2, 3), (16, 24), (16, 40))


def texts(count: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    mask = np.arange(12) < random.integers(2, 13, (count, 1))
    ids = random.integers(1, PARAMS.vocabulary, (count, 12)) * mask
    return {"ids": ids, "mask": mask.astype(np.int64)}


def data() -> Calib:
    fit, calibrate, evaluate = (texts(n, i) for i, n in enumerate((160, 24, 8)))
    return from_arrays("texts", fit=fit, calibrate=calibrate, evaluate=evaluate, modality="tokens")


def problem(folder: Path) -> tuple[Shared, Told, Told]:
    folder.mkdir(parents=True, exist_ok=True)
    calib = data()
    plain = random_encoder(PARAMS)
    found = importance(plain, [batch()], seed=0)
    params, state = fresh_tail(PARAMS, plain.state_dict())
    state = sort(params, state, found)
    teacher = Encoder(params)
    teacher.load_state_dict(state)
    told = []
    for name, split in (("fit", calib.fit), ("calibrate", calib.calibrate)):
        all_of = Samples(calib, split, params)
        write_states(teacher.eval(), all_of, folder / f"{name}.npy", Progress())
        told.append(open_states(teacher, all_of, folder / f"{name}.npy"))
    return Shared(params, state, found.kept), told[0], told[1]


def trained(folder: Path, progress: Progress | None = None) -> tuple[TrainedShared, SuperLM]:
    shared, told, held = problem(folder)
    children = SPACE.children(shared.params)
    objective = Objective(LOSSES["cosine"]())
    made = SharedTraining(
        shared, children, told, held, objective, PART, STEPS, seed=3, threads=1, compute=FP32
    ).train(
        identity="test",
        folder=folder / "training",
        progress=progress or Progress(),
        checkpoint_s=0,
    )
    after = Shared(shared.params, made.weights, shared.kept)
    return made, SuperLM(after, children, told, held, objective, PART, FP32, steps=1, seed=0)


class Killed(Exception):
    pass


class Killing(Progress):
    """Stops in the middle."""

    def update(self, done: int, total: int, note: str = "") -> None:
        if (done, total) == (7, STEPS):
            raise Killed


def test_what_was_killed_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole, _ = trained(tmp_path / "whole")
    with pytest.raises(Killed):
        trained(tmp_path / "killed", Killing())
    again, _ = trained(tmp_path / "killed")
    assert all(torch.equal(again.weights[name], value) for name, value in whole.weights.items())
    assert not list((tmp_path / "killed" / "training").glob("checkpoint*"))


def test_parts_get_nearer_to_the_teacher_and_the_best_inside_a_budget_is_found(
    tmp_path: Path,
) -> None:
    shared, told, held = problem(tmp_path)
    children = SPACE.children(shared.params)
    objective = Objective(LOSSES["cosine"]())
    untrained = SuperLM(shared, children, told, held, objective, PART, FP32, steps=1, seed=0)
    before = score_all(untrained, children, 12, 24, Progress())
    _, learner = trained(tmp_path / "trained")
    after = score_all(learner, children, 12, 24, Progress())
    assert np.mean([s.loss for s in after]) < np.mean([s.loss for s in before])
    limit = sorted(s.macs for s in after)[5]
    found = best(after, limit, float("inf"), 12)
    assert found is not None
    assert found.macs <= limit
    assert found.loss == min(s.loss for s in after if s.macs <= limit)
    assert best(after, 10, float("inf"), 12) is None


def test_whole_teacher_has_nothing_to_learn(tmp_path: Path) -> None:
    shared, told, held = problem(tmp_path)
    learner = SuperLM(
        shared,
        [shared.params],
        told,
        held,
        Objective(LOSSES["cosine"]()),
        PART,
        FP32,
        steps=1,
        seed=0,
    )
    # What was kept of the teacher is in half precision.
    assert learner.held_loss(shared.params, learner.held_batches()) < 1e-3


def test_batches_have_like_lengths_and_an_epoch_has_every_text_once(tmp_path: Path) -> None:
    _, told, _ = problem(tmp_path)
    drawn = [told.samples.drawn(step, 10, seed=0) for step in range(16)]
    assert sorted(np.concatenate(drawn)) == list(range(160))
    spread = [np.ptp(told.samples.lengths[samples]) for samples in drawn]
    assert np.mean(spread) < 3
    for samples in drawn:
        x = told.samples.at(samples)
        assert x.shape[2] == told.samples.lengths[samples].max()


def test_classifier_that_ends_with_softmax_gives_its_logits(tmp_path: Path) -> None:
    tail = (Dense(outputs=6, activation="tanh"), Dense(outputs=4))
    params = PARAMS.model_copy(update={"tail": tail, "normalise": False, "pooling": "first"})
    encoder, feed = random_encoder(params), texts(3, 0)
    model = feed_to_ir(students.deployed(encoder, "softmax"), feed, output_names=["shares"])
    save(model, tmp_path / "net.onnx")
    found = inherited(tmp_path / "net.onnx", interface_of(model), feed, "softmax")
    assert found.params.tail == tail
    given = [torch.from_numpy(x) for x in feed.values()]
    with torch.no_grad():
        torch.testing.assert_close(found(*given), encoder(*given), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("at", ["normalise", "normalise_pooled"])
def test_norm_before_or_behind_a_layer_is_read_where_it_is(at: str, tmp_path: Path) -> None:
    params = PARAMS.model_copy(
        update={
            "tail": (Dense(outputs=4),),
            "normalise": False,
            "normalise_pooled": False,
            at: True,
        }
    )
    encoder, feed = random_encoder(params), texts(3, 0)
    model = feed_to_ir(encoder, feed, output_names=["y"])
    save(model, tmp_path / "net.onnx")
    found = inherited(tmp_path / "net.onnx", interface_of(model), feed).params
    assert (found.normalise, found.normalise_pooled) == (
        params.normalise,
        params.normalise_pooled,
    )


def test_teacher_of_another_kind_is_refused_in_a_line(tmp_path: Path) -> None:
    feed = texts(3, 0)
    linear = torch.nn.Linear(12, 4)

    class Other(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = linear

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.linear((ids * mask).float())
            return found

    model = feed_to_ir(Other(), feed, output_names=["y"])
    save(model, tmp_path / "other.onnx")
    with pytest.raises(UnsupportedError, match="no encoder that students can inherit from"):
        inherited(tmp_path / "other.onnx", interface_of(model), feed)
