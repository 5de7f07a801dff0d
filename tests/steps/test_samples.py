"""Which samples of the calibrate split find ranges: as the recipe says, the same ones each time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from squeeze.case import Case
from squeeze.errors import ConfigError
from squeeze.metrics import Reading
from squeeze.net import FloatNet
from squeeze.spec import QuantPart
from squeeze.steps.samples import calibrate_lost, calibration_passes, first_samples
from squeeze.workdir import digest_file
from tests.train import samples

SELECTIONS = ("balanced", "bins", "k-centre", "random")
CHOSEN = 40  # of 60, in two batches


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("case")
    data = samples.calib("vector")
    teacher = samples.linear_teacher(folder, samples.SHAPES["vector"])
    fitted = data.fitted(teacher.interface)
    net = FloatNet("kept", teacher.model, digest_file(teacher.model), teacher.interface)
    return Case(teacher, net, fitted, (Reading(teacher.output.name, "top1"),), folder)


def inputs_of(case: Case) -> np.ndarray:
    (x,) = case.data.feed(case.data.calibrate, 0, len(case.data.calibrate)).values()
    return x


def chosen(case: Case, selection: str, count: int) -> np.ndarray:
    """Rows of the calibrate split that were picked, by their place in it."""
    part = QuantPart.model_validate({"selection": selection, "samples": count})
    feeds = list(calibration_passes(case, part, seed=0, threads=1)())
    batches = [x for feed in feeds for x in feed.values()]
    assert [len(b) for b in batches[:-1]] == [32] * (len(batches) - 1)
    inputs = inputs_of(case)
    rows = np.concatenate(batches)
    return np.array([int(np.flatnonzero((inputs == row).all(axis=1))[0]) for row in rows])


@pytest.mark.parametrize("selection", SELECTIONS)
def test_selection_gives_so_many_different_samples_and_the_same_again(
    case: Case, selection: str
) -> None:
    first, second = (chosen(case, selection, CHOSEN) for _ in range(2))
    assert len(set(first.tolist())) == CHOSEN
    assert first.tolist() == second.tolist()


@pytest.mark.parametrize("selection", SELECTIONS)
def test_all_samples_are_taken_when_there_are_no_more(case: Case, selection: str) -> None:
    assert set(chosen(case, selection, 512).tolist()) == set(range(60))


def test_k_centre_spreads_over_the_teachers_probabilities(case: Case) -> None:
    logits = case.teacher.outputs(inputs_of(case), 1).logits.astype(np.float64)
    wide = np.exp(logits - logits.max(axis=1, keepdims=True))
    points = wide / wide.sum(axis=1, keepdims=True)
    picked = chosen(case, "k-centre", 8)
    # Gonzalez: the first is the nearest to the mean, each further one the farthest from those before.
    order = [int(np.argmin(((points - points.mean(0)) ** 2).sum(1)))]
    while len(order) < 8:
        gaps = ((points[:, None] - points[order]) ** 2).sum(2).min(1)
        order.append(int(np.argmax(gaps)))
    assert picked.tolist() == order


def test_balanced_takes_as_many_of_each_class(case: Case) -> None:
    picked = chosen(case, "balanced", 15)
    assert case.data.calibrate.y is not None
    assert np.bincount(case.data.calibrate.y[picked]).tolist() == [5, 5, 5]


@pytest.mark.parametrize(
    ("selection", "what"), [("k-centre", "probabilities"), ("bins", "features")]
)
def test_a_selection_is_refused_where_the_model_has_not_what_it_needs(
    case: Case, selection: str, what: str
) -> None:
    two = replace(case.interface, outputs=case.interface.outputs * 2)
    several = replace(case, net=replace(case.net, interface=two))
    with pytest.raises(ConfigError, match=f"'{selection}' needs {what}.*balanced, random"):
        chosen(several, selection, 8)


def test_first_samples_are_the_first_in_one_feed(case: Case) -> None:
    (feed,) = first_samples(case, 5)()
    np.testing.assert_array_equal(feed[case.interface.inputs[0].name], inputs_of(case)[:5])


def test_the_teacher_loses_nothing_against_itself_on_the_calibrate_split(case: Case) -> None:
    answers = case.teacher.outputs(inputs_of(case), 1).logits
    np.save(case.answers / "calibrate-0.npy", answers)
    assert calibrate_lost(case, case.net.file, threads=1).drop == 0
