"""A student in training with a loss that has parameters: who learns at which rate, and what a checkpoint holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from squeeze import students
from squeeze.errors import ConfigError
from squeeze.guides import ask_live
from squeeze.guides.views import Views
from squeeze.losses import LOSSES
from squeeze.losses.kd import KD
from squeeze.losses.loss import Moment
from squeeze.spec import ArchSpec
from squeeze.students.student_spec import StudentSpec
from squeeze.train.batches import Batches
from squeeze.train.checkpoint import Checkpoint, read_last, write
from squeeze.train.compute import Compute
from squeeze.train.lesson import lesson_of
from squeeze.train.loop import update
from squeeze.train.pupil import Pupil
from tests.train import samples


def pupil(folder: Path, loss: object, arch: ArchSpec | None = None) -> Pupil:
    data, part = samples.calib(n=60), samples.part(loss=loss, weight_decay=0.01)
    teacher = samples.convolutional_teacher(folder, (1, 8, 8))
    views = Views(data, part, 0)
    guide = ask_live(teacher, views, threads=1)
    lesson = lesson_of(part, data, guide, "none")
    batches = Batches(data, views, guide, lesson, 16, 0, "cpu")
    which = arch or samples.arch()
    return Pupil(which, part, batches, Compute.choose("cpu", "fp32"), seed=0)


def transformer() -> ArchSpec:
    """Of images of 8 x 8."""
    sizes = {"patch": 2, "width": 16, "depth": 2, "heads": 1, "ratio": 2}
    spec = StudentSpec(input_shape=(1, 8, 8), outputs=3, layout="channels-first")
    return students.arch_of("vit", spec, {**sizes, "convolutions": 1, "class_tokens": 1})


def step(learner: Pupil, number: int) -> None:
    batch = learner.batches.at(number)
    learner.begin(number)
    learner.loss.begin(Moment(number, learner.part.steps, batch.seen))
    torch.manual_seed(number)
    update(learner, batch, number)


def test_parameters_of_a_loss_learn_with_those_of_the_student_at_their_own_pace(
    tmp_path: Path,
) -> None:
    learner = pupil(tmp_path, {"meal": 1.0, "fitnet": 0.1})
    own = dict(learner.loss.named_parameters())
    assert len(own) == 8
    assert {f"loss.{name}" for name in own} < set(learner.named)
    learner.begin(10)
    rates = {id(p): g for g in learner.optimiser.param_groups for p in g["params"]}
    assert len(rates) == len(learner.parameters)
    for name, p in own.items():
        share = 0.01 if "meal" in name else 1.0
        assert rates[id(p)]["lr"] == pytest.approx(share * learner.rate(10))
        assert rates[id(p)]["weight_decay"] == (0.01 if p.ndim > 1 else 0.0)
    before = {name: p.detach().clone() for name, p in own.items()}
    step(learner, 0)
    assert all(not torch.equal(p, before[name]) for name, p in own.items())


def test_a_checkpoint_holds_what_a_loss_has_of_its_own(tmp_path: Path) -> None:
    wanted = {"taid": 1.0, "pskd": 0.2, "uskd": 0.2}
    first, second = (pupil(tmp_path / name, wanted) for name in "ab")
    step(first, 0)
    step(first, 1)
    state = {
        part: {name: tensor.clone() for name, tensor in tensors.items()}
        for part, tensors in first.state().items()
    }
    assert {"terms.taid.share", "terms.pskd.past", "terms.uskd.head.weight"} <= set(state["loss"])
    second.restore(Checkpoint(2, state, []))
    for learner in (first, second):
        step(learner, 2)
    for name, p in first.named.items():
        assert torch.equal(p, second.named[name]), name
    for part, tensors in first.state().items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, second.state()[part][name]), name


def test_the_same_seed_makes_the_same_parameters(tmp_path: Path) -> None:
    found = [pupil(tmp_path / name, "crd").loss.state_dict() for name in "ab"]
    assert found[0]
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name])


def test_a_tap_that_students_lack_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OnAttention(KD):
        of_student = frozenset({"attention"})

    monkeypatch.setitem(LOSSES, "on-attention", OnAttention)
    with pytest.raises(ConfigError, match=r"needs 'attention' of the student, which has embedding"):
        pupil(tmp_path, "on-attention")


def test_a_view_has_one_number_and_answers_come_once_for_each_sample(tmp_path: Path) -> None:
    batches = pupil(tmp_path, "kd").batches
    known: dict[int, torch.Tensor] = {}
    again = 0
    for number in range(24):  # six epochs and more, of two views
        batch = batches.at(number)
        assert batch.seen is not None
        for view, x in zip(batch.seen.tolist(), batch.x, strict=True):
            again += view in known
            assert torch.equal(known.setdefault(view, x), x)
    samples_seen = len(batches.calib.fit)
    assert again > 0
    assert set(known) <= set(range(2 * samples_seen))
    parts = list(batches.answers())
    assert sum(len(answers.logits) for answers, _ in parts) == samples_seen
    assert all(labels is not None for _, labels in parts)


def test_a_transformer_learns_by_adamw_at_a_hundredth_of_the_rate(tmp_path: Path) -> None:
    learner, other = pupil(tmp_path, "kd", transformer()), pupil(tmp_path, "kd")
    assert isinstance(learner.optimiser, torch.optim.AdamW)
    assert isinstance(other.optimiser, torch.optim.SGD)
    for one in (learner, other):
        one.begin(7)
    ours, theirs = (one.optimiser.param_groups for one in (learner, other))
    assert [g["lr"] for g in ours] == pytest.approx([0.01 * g["lr"] for g in theirs])
    assert [g["weight_decay"] for g in ours] == [1.0, 0.0]  # 100 times the recipe's, of matrices


def test_a_transformer_goes_on_from_its_moments(tmp_path: Path) -> None:
    first, second = (pupil(tmp_path / name, "kd", transformer()) for name in "ab")
    step(first, 0)
    step(first, 1)
    write(tmp_path, Checkpoint(2, first.state(), []), "one")
    found = read_last(tmp_path, "one")
    assert found is not None
    second.restore(found)
    for learner in (first, second):
        step(learner, 2)
    for name, p in first.named.items():
        assert torch.equal(p, second.named[name]), name
    for name, tensor in first.state()["moments"].items():
        assert torch.equal(tensor, second.state()["moments"][name]), name
    assert first.state()["moments"]["step.classifier.weight"] == 3
