"""Training at quantised weights towards a class for each place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from squeeze import graph, runtimes
from squeeze.calib import Calib
from squeeze.errors import ConfigError
from squeeze.guides import cache_answers, open_answers
from squeeze.guides.views import Views
from squeeze.progress import Progress
from squeeze.spec import DistillPart, Term
from squeeze.teacher import Teacher
from squeeze.train.compute import Compute
from squeeze.train.lesson import lesson_of
from squeeze.train.quantised.door import to_qdq
from squeeze.train.quantised.plan import plan
from squeeze.train.quantised.quantise import train_quantised
from squeeze.train.quantised.settings import Settings, Source
from tests.train import samples

SHAPE, CLASSES = (1, 8, 8), 3


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    return samples.map_teacher(tmp_path_factory.mktemp("teacher"), SHAPE, CLASSES)


@pytest.fixture
def data(teacher: Teacher) -> Calib:
    """Blobs, labelled at each place as the teacher has it."""
    found = samples.calib(shape=SHAPE, metric="miou")
    fit = teacher.outputs(found.inputs(found.fit), threads=1).logits.argmax(1)
    return replace(found, fit=replace(found.fit, y=fit), classes=None)


def answered(teacher: Teacher, data: Calib, part: DistillPart, folder: Path) -> Source:
    cache_answers(teacher, data, part, seed=0, threads=1, folder=folder, progress=Progress())
    return Source(data, part, folder, 0, "none")


def agreement(teacher: Teacher, data: Calib, source: Source, steps: int, folder: Path) -> float:
    """Share of places at which the network of 2-bit weights in the middle says what the teacher says, in points."""
    model = graph.load(teacher.model)
    x = data.inputs(data.evaluate)
    graph.optimise(model, {"x": x[:1]}, teacher.interface)
    weighted = plan(model).weighted
    found = train_quantised(
        model,
        {weighted[1]: 2},
        Settings(steps, 0.05, 32),
        source,
        compute=Compute.choose("cpu", "fp32"),
        threads=1,
        folder=folder,
        progress=Progress(),
    )
    made = graph.to_bytes(to_qdq(model, found, "uint8"))
    ours = runtimes.run(runtimes.session(made), x).argmax(1)
    theirs = teacher.outputs(x, threads=1).logits.argmax(1)
    return 100 * float((ours == theirs).mean())


@pytest.mark.parametrize(
    "loss",
    ["auto", {"bpkd": Term()}, {"pixel_kd": Term(), "cwd": Term()}],
    ids=["auto", "bpkd", "pixel_kd+cwd"],
)
def test_maps_at_two_bits_come_nearer_to_the_teacher(
    loss: str | dict[str, Term], teacher: Teacher, data: Calib, tmp_path: Path
) -> None:
    part = samples.part().model_copy(update={"loss": loss})
    source = answered(teacher, data, part, tmp_path / "answers")
    before, after = (
        agreement(teacher, data, source, steps, tmp_path / str(steps)) for steps in (1, 60)
    )
    assert after > max(before + 3, 85), (before, after)


def test_labels_of_places_are_learned_from_only_where_samples_stay_as_they_are(
    teacher: Teacher, data: Calib, tmp_path: Path
) -> None:
    for augment, seen in (("none", True), ("image", False)):
        part = samples.part().model_copy(update={"augment": augment})
        views = Views(data, part, 0)
        assert (views.at(np.arange(4), 0).labels is not None) is seen
    part = samples.part().model_copy(update={"augment": "none"})
    source = answered(teacher, data, part, tmp_path / "answers")
    guide = open_answers(Views(data, part, 0), folder=source.answers)
    lesson = lesson_of(part, data, guide, "none")
    labels = lesson.labels(Views(data, part, 0).at(np.arange(4), 0).labels)
    assert labels is not None
    assert labels.shape == (4, 8, 8)


def test_answers_and_loss_of_other_kinds_are_refused(
    teacher: Teacher, data: Calib, tmp_path: Path
) -> None:
    part = samples.part()
    source = answered(teacher, data, part, tmp_path / "answers")
    guide = open_answers(Views(data, part, 0), folder=source.answers)
    said = (
        r"a teacher that gives \[n, c\], and this one gives \[n, 3, 8, 8\]; name the metric, miou"
    )
    with pytest.raises(ConfigError, match=said):
        lesson_of(part, replace(data, metric=None), guide, "none")
    flat = samples.linear_teacher(tmp_path, SHAPE)
    source = answered(flat, data, part, tmp_path / "flat")
    guide = open_answers(Views(data, part, 0), folder=source.answers)
    with pytest.raises(
        ConfigError, match=r"gives \[n, c, ...places\], and this one gives \[n, 3\]"
    ):
        lesson_of(part, data, guide, "none")
