"""Which samples of the calibrate split find ranges: as the recipe says, the same ones each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from squeeze import measure, steps
from squeeze.calib import Calib
from squeeze.errors import ConfigError
from squeeze.progress import Progress
from squeeze.run import Run
from squeeze.spec import QuantPart, load_target
from squeeze.steps.calibration import calibration
from squeeze.teacher import Teacher
from squeeze.workdir import Workdir
from tests.train import samples

SELECTIONS = ("balanced", "bins", "k-centre", "random")
CHOSEN = 40  # of 60, in two batches


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(
        workdir=Workdir(tmp_path / "cache"),
        target=load_target("host"),
        seed=0,
        threads=1,
        progress=Progress(),
        table=measure.LatencyTable(tmp_path / "state"),
    )


@pytest.fixture(scope="module")
def data() -> Calib:
    return samples.calib("vector")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    return samples.linear_teacher(tmp_path_factory.mktemp("teacher"), samples.SHAPES["vector"])


def chosen(run: Run, teacher: Teacher, data: Calib, selection: str, count: int) -> np.ndarray:
    """Rows of the calibrate split that were picked, by their place in it."""
    part = QuantPart.model_validate({"selection": selection, "samples": count})
    batches = list(calibration(run, part, teacher, data)())
    assert [len(b) for b in batches[:-1]] == [32] * (len(batches) - 1)
    inputs = data.inputs(data.calibrate, 0, len(data.calibrate))
    rows = np.concatenate(batches)
    return np.array([int(np.flatnonzero((inputs == row).all(axis=1))[0]) for row in rows])


@pytest.mark.parametrize("selection", SELECTIONS)
def test_selection_gives_so_many_different_samples_and_the_same_again(
    run: Run, teacher: Teacher, data: Calib, selection: str
) -> None:
    first, second = (chosen(run, teacher, data, selection, CHOSEN) for _ in range(2))
    assert len(set(first.tolist())) == CHOSEN
    assert first.tolist() == second.tolist()


@pytest.mark.parametrize("selection", SELECTIONS)
def test_all_samples_are_taken_when_there_are_no_more(
    run: Run, teacher: Teacher, data: Calib, selection: str
) -> None:
    assert set(chosen(run, teacher, data, selection, 512).tolist()) == set(range(60))


def test_k_centre_spreads_over_the_teachers_probabilities(
    run: Run, teacher: Teacher, data: Calib
) -> None:
    inputs = data.inputs(data.calibrate, 0, len(data.calibrate))
    logits = teacher.outputs(inputs, 1).logits.astype(np.float64)
    wide = np.exp(logits - logits.max(axis=1, keepdims=True))
    points = wide / wide.sum(axis=1, keepdims=True)
    picked = chosen(run, teacher, data, "k-centre", 8)
    # Gonzalez: the first is the nearest to the mean, each further one the farthest from those before.
    order = [int(np.argmin(((points - points.mean(0)) ** 2).sum(1)))]
    while len(order) < 8:
        gaps = ((points[:, None] - points[order]) ** 2).sum(2).min(1)
        order.append(int(np.argmax(gaps)))
    assert picked.tolist() == order


def test_balanced_takes_as_many_of_each_class(run: Run, teacher: Teacher, data: Calib) -> None:
    picked = chosen(run, teacher, data, "balanced", 15)
    assert data.calibrate.y is not None
    assert np.bincount(data.calibrate.y[picked]).tolist() == [5, 5, 5]


def test_k_centre_is_refused_where_the_model_has_no_classes(run: Run, tmp_path: Path) -> None:
    import torch

    class Pixels(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv1d(2, 2, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x)

    program = torch.export.export(
        Pixels().eval(),
        (torch.zeros(3, 2, 16),),
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
    )
    torch.export.save(program, tmp_path / "pixels.pt2")
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(size=(90, 2, 16)).astype(np.float32))
    teacher, data = steps.load_inputs(
        run, str(tmp_path / "pixels.pt2"), None, str(tmp_path / "x.npy"), None
    )
    for selection, what in (("k-centre", "probabilities"), ("bins", "features")):
        part = QuantPart.model_validate({"selection": selection, "samples": 8})
        with pytest.raises(ConfigError, match=f"'{selection}' needs {what}.*balanced, random"):
            calibration(run, part, teacher, data)
