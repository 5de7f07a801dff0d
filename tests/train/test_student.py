"""Whole trainings on tiny data: they learn, they fit every shape of data, and they say what went wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from squeeze import students
from squeeze.calib import Calib
from squeeze.errors import ConfigError
from squeeze.guides import cache_answers
from squeeze.losses import LOSSES
from squeeze.progress import Progress
from squeeze.spec import ArchSpec, DistillPart
from squeeze.teacher import Teacher
from squeeze.train.compute import Compute
from squeeze.train.student import TrainedStudent, train_student
from tests.train import samples


class Notes(Progress):
    def __init__(self) -> None:
        self.last: tuple[int, int, str] = (0, 0, "")

    def update(self, done: int, total: int, note: str = "") -> None:
        self.last = (done, total, note)


def trained(
    folder: Path,
    data: Calib,
    teacher: Teacher,
    arch: ArchSpec,
    part: DistillPart,
    progress: Progress | None = None,
) -> TrainedStudent:
    answers = folder / "answers"
    cache_answers(teacher, data, part, seed=0, threads=1, folder=answers, progress=Progress())
    return train_student(
        arch,
        data,
        part,
        answers=answers,
        seed=0,
        threads=1,
        compute=Compute.choose("cpu", part.precision),
        folder=folder / "checkpoints",
        progress=progress or Progress(),
    )


def outputs(result: TrainedStudent, data: Calib) -> np.ndarray:
    with torch.no_grad():
        found: np.ndarray = result.module(torch.from_numpy(data.inputs(data.evaluate))).numpy()
    return found


@pytest.mark.parametrize("augment", ["auto", "none"])
def test_student_comes_to_agree_with_the_teacher(tmp_path: Path, augment: str) -> None:
    data, teacher = samples.calib(), samples.linear_teacher(tmp_path, (1, 8, 8))
    notes = Notes()
    part = samples.part(steps=150, batch_size=32, augment=augment)
    result = trained(tmp_path, data, teacher, samples.arch(), part, notes)
    wanted = teacher.outputs(data.inputs(data.evaluate)).logits
    assert (outputs(result, data).argmax(1) == wanted.argmax(1)).mean() > 0.9
    assert not result.module.training
    assert [h["step"] for h in result.history] == list(range(15, 151, 15))
    assert result.history[-1]["agreement"] > 90
    assert set(result.history[0]) == {"step", "loss", "lr", "agreement", "samples_per_s"}
    assert notes.last[:2] == (150, 150)
    assert "% agreement · " in notes.last[2]
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_student_of_large_values_ends_on_the_teachers_scale(tmp_path: Path) -> None:
    data = samples.calib("vector", classes=None, metric="mse", n=500)
    teacher = samples.linear_teacher(tmp_path, (6,), outputs=2, gain=300.0, offset=50_000.0)
    part = samples.part(steps=400, batch_size=64, weight_decay=0.0)
    result = trained(tmp_path, data, teacher, samples.arch((6,), 2, "mlp"), part)
    wanted = teacher.outputs(data.inputs(data.evaluate)).logits
    error = np.square(outputs(result, data) - wanted).mean() / wanted.var(0).mean()
    assert error < 0.05
    assert result.history[-1]["error"] == pytest.approx(np.sqrt(error), abs=0.15)


def test_embeddings_are_learned_by_direction(tmp_path: Path) -> None:
    data = samples.calib("vector", classes=None, metric="cosine")
    teacher = samples.linear_teacher(tmp_path, (6,), outputs=8)
    part = samples.part(steps=200, batch_size=32)
    result = trained(tmp_path, data, teacher, samples.arch((6,), 8, "mlp"), part)
    assert result.history[-1]["cosine"] > 90


def test_one_logit_learns_two_classes(tmp_path: Path) -> None:
    data = samples.calib("vector", classes=2, metric="auc")
    teacher = samples.linear_teacher(tmp_path, (6,), outputs=1)
    part = samples.part(steps=120, batch_size=32)
    result = trained(tmp_path, data, teacher, samples.arch((6,), 1, "mlp"), part)
    assert result.history[-1]["agreement"] > 85


@pytest.mark.parametrize("n", [1, 2, 37])
def test_less_data_than_a_batch_is_enough_to_run(tmp_path: Path, n: int) -> None:
    data, teacher = samples.calib(n=n), samples.linear_teacher(tmp_path, (1, 8, 8))
    part = samples.part(steps=5, batch_size=64)
    result = trained(tmp_path, data, teacher, samples.arch(), part)
    assert np.isfinite(outputs(result, data)).all()


def test_data_without_labels_is_enough(tmp_path: Path) -> None:
    data = samples.calib(classes=None, metric=None)
    teacher = samples.linear_teacher(tmp_path, (1, 8, 8))
    result = trained(tmp_path, data, teacher, samples.arch(), samples.part())
    assert "agreement" in result.history[-1]


@pytest.fixture(scope="module")
def with_taps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of answers that hold all that a loss may need."""
    folder = tmp_path_factory.mktemp("taps")
    teacher = samples.convolutional_teacher(folder, (1, 8, 8))
    known = {"seed": 0, "threads": 1, "folder": folder / "answers", "progress": Progress()}
    cache_answers(teacher, samples.calib(), samples.part(), taps=students.TAPS, **known)  # type: ignore[arg-type]
    return folder / "answers"


# Those of places want an output that has some.
@pytest.mark.parametrize("loss", [name for name, loss in LOSSES.items() if loss.space != "places"])
def test_every_loss_trains(with_taps: Path, tmp_path: Path, loss: str) -> None:
    data, part = samples.calib(), samples.part(loss=loss, steps=6, checkpoint_s=60)
    result = train_student(
        samples.arch(),
        data,
        part,
        answers=with_taps,
        seed=0,
        threads=1,
        compute=Compute.choose("cpu"),
        folder=tmp_path,
        progress=Progress(),
    )
    assert np.isfinite(outputs(result, data)).all()
    # What a loss has of its own stays behind.
    assert set(result.module.state_dict()) == set(students.build(samples.arch()).state_dict())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_learning_rate_that_diverges_is_said(tmp_path: Path) -> None:
    data, teacher = samples.calib(), samples.linear_teacher(tmp_path, (1, 8, 8))
    part = samples.part(lr=1e30, precision="fp32")
    with pytest.raises(
        ConfigError, match=r"distill.lr: at 1e\+30 the loss became .* --set distill.lr="
    ):
        trained(tmp_path, data, teacher, samples.arch(), part)
    assert not list((tmp_path / "checkpoints").glob("*.part"))


def test_torch_is_left_as_it_was_found(tmp_path: Path) -> None:
    data, teacher = samples.calib(), samples.linear_teacher(tmp_path, (1, 8, 8))
    torch.manual_seed(1)
    threads, expected = torch.get_num_threads(), torch.rand(3)
    torch.manual_seed(1)
    trained(tmp_path, data, teacher, samples.arch(), samples.part(steps=3))
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.rand(3), expected)
