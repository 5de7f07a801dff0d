"""Whole trainings at quantised weights: killed and resumed to the same bytes, diverging ones said, losses on taps."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from squeeze import graph
from squeeze.calib import Calib
from squeeze.errors import ConfigError
from squeeze.graph.values import producer
from squeeze.guides import cache_answers
from squeeze.losses import LOSSES
from squeeze.losses.kd import KD
from squeeze.progress import Progress
from squeeze.spec import DistillPart
from squeeze.train.compute import Compute
from squeeze.train.quantised.door import Trained, to_qdq
from squeeze.train.quantised.plan import plan
from squeeze.train.quantised.quantise import Recovered, recover, train_quantised
from squeeze.train.quantised.settings import Settings, Source
from tests.quant.families import inputs
from tests.quant.families import model as family
from tests.train import samples

STEPS = 12
SHAPE = inputs("depthwise", 1).shape[1:]
CLASSES = 5


class Killed(BaseException):
    pass


class Stop(Progress):
    """Ends the training from outside after so many steps."""

    def __init__(self, after: int) -> None:
        self.after = after

    def update(self, done: int, total: int, note: str = "") -> None:
        if done == self.after:
            raise Killed


@pytest.fixture(scope="module")
def data() -> Calib:
    return samples.calib(shape=SHAPE, classes=CLASSES)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, data: Calib) -> Source:
    folder, part = tmp_path_factory.mktemp("source"), samples.part()
    teacher = samples.linear_teacher(folder, SHAPE, CLASSES)
    answers = folder / "answers"
    cache_answers(teacher, data, part, seed=0, threads=1, folder=answers, progress=Progress())
    return Source(data, part, answers, 0, "none")


def trained(
    source: Source, settings: Settings, folder: Path, progress: Progress | None = None
) -> Trained:
    """The depthwise network with two bits between its ends."""
    weighted = plan(family("depthwise")).weighted
    return train_quantised(
        family("depthwise"),
        dict.fromkeys(weighted[1:-1], 2),
        settings,
        source,
        compute=Compute.choose("cpu", "fp32"),
        threads=1,
        folder=folder,
        progress=progress or Progress(),
    )


def same(a: Trained, b: Trained) -> bool:
    return a.grids == b.grids and all(
        np.array_equal(a.weights[name].integers, b.weights[name].integers)
        and np.array_equal(a.weights[name].scales, b.weights[name].scales)
        and np.array_equal(a.weights[name].bias, b.weights[name].bias)  # type: ignore[arg-type]
        for name in a.weights
    )


@pytest.mark.parametrize("after", [5, 7, 11])
@pytest.mark.parametrize(
    "settings",
    [
        Settings(STEPS, 0.03, 16),
        Settings(STEPS, 0.03, 16, method="mixed", quantiser="codebook"),
        Settings(STEPS, 0.03, 16, method="mixed", quantiser="codebook", redistribute=True),
        Settings(STEPS, 0.03, 16, quantiser="ternary", options={"learned": True}),
        Settings(STEPS, 0.03, 16, quantiser="uniform", options={"rounding": "stochastic"}),
    ],
    ids=["lsq", "mixed", "redistributed", "ttq", "stochastic"],
)
def test_killed_and_resumed_ends_with_the_same_bytes(
    settings: Settings,
    after: int,
    source: Source,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Activations are switched on at step 6: killed before, just after and long after it.
    torch.manual_seed(1)
    whole = trained(source, settings, tmp_path / "whole")
    torch.manual_seed(2)
    with pytest.raises(Killed):
        trained(source, settings, tmp_path / "killed", Stop(after))
    assert list((tmp_path / "killed").glob("checkpoint_*.json"))
    assert same(trained(source, settings, tmp_path / "killed"), whole)
    assert list((tmp_path / "killed").iterdir()) == []


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_rate_that_diverges_is_said_by_its_key(source: Source, tmp_path: Path) -> None:
    settings = Settings(STEPS, 1e30, 16)
    with pytest.raises(ConfigError, match=r"quant\.lr: at 1e\+30 the loss .* --set quant\.lr="):
        trained(source, settings, tmp_path)
    with pytest.raises(ConfigError, match=r"prune\.lr: at 1e\+30 the loss .* --set prune\.lr="):
        recover(
            family("depthwise"),
            settings,
            source,
            compute=Compute.choose("cpu", "fp32"),
            threads=1,
            folder=tmp_path,
            progress=Progress(),
        )


@pytest.mark.parametrize("after", [0, 3, 20])
def test_at_a_rate_that_unlearns_everything_it_begins_again_at_a_tenth(
    after: int, source: Source, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # The teacher itself: it answers as wanted before the first step.
    teacher = samples.convolutional_teacher(tmp_path, SHAPE, CLASSES)
    answers = tmp_path / "answers"
    part, calm = source.distill, Progress()
    cache_answers(teacher, source.calib, part, seed=0, threads=1, folder=answers, progress=calm)
    source = replace(source, answers=answers)
    model, settings = graph.load(teacher.model), Settings(40, 30.0, 16)

    def go(folder: Path, told: Settings, progress: Progress | None = None) -> Recovered:
        return recover(
            model.clone(),
            told,
            source,
            compute=Compute.choose("cpu", "fp32"),
            threads=1,
            folder=folder,
            progress=progress or Progress(),
        )

    with caplog.at_level(logging.WARNING):
        found = go(tmp_path / "whole", settings)
    said = [r.getMessage() for r in caplog.records if "begins again" in r.getMessage()]
    assert said
    assert said[0].startswith("prune.lr: at 30 the network answers worse than one constant by step")
    lowered = replace(settings, lr=settings.lr * 0.1 ** len(said))
    assert graph.to_bytes(found.model) == graph.to_bytes(go(tmp_path / "low", lowered).model)
    if after:
        with pytest.raises(Killed):
            go(tmp_path / "killed", settings, Stop(after))
        again = go(tmp_path / "killed", settings)
        assert graph.to_bytes(again.model) == graph.to_bytes(found.model)


def test_recovery_changes_the_weights_and_not_the_graph(source: Source, tmp_path: Path) -> None:
    before = family("depthwise")
    found = recover(
        family("depthwise"),
        Settings(STEPS, 0.03, 16),
        source,
        compute=Compute.choose("cpu", "fp32"),
        threads=1,
        folder=tmp_path,
        progress=Progress(),
    )
    assert [n.op_type for n in found.model.graph] == [n.op_type for n in before.graph]
    assert graph.to_bytes(found.model) != graph.to_bytes(before)
    assert found.history[-1]["step"] == STEPS
    assert all(np.isfinite(entry["loss"]) for entry in found.history)


class OnEmbeddings(KD):
    """A loss that wants more than logits."""

    needs: ClassVar[frozenset[str]] = frozenset({"embedding"})


def test_a_loss_on_taps_gives_way_to_the_usual_one_and_says_so(
    source: Source,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(LOSSES, "on-embeddings", OnEmbeddings)
    found = []
    for loss in ("on-embeddings", "kd"):
        part = source.distill.model_copy(update={"loss": loss})
        with caplog.at_level(logging.WARNING):
            found.append(trained(replace(source, distill=part), Settings(4, 0.03, 16), tmp_path))
    assert same(*found)
    said = [r.getMessage() for r in caplog.records if "distill.loss" in r.getMessage()]
    assert said == [
        "distill.loss: a graph has no embedding to train by; 'kd' is used at quantised weights"
    ]


def test_terms_of_a_sum_that_read_logits_alone_are_what_is_left(
    source: Source, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = []
    for loss in ({"taid": 1.0, "rkd": 0.5}, "taid"):
        changed = DistillPart.model_validate({**source.distill.model_dump(), "loss": loss})
        with caplog.at_level(logging.WARNING):
            found.append(trained(replace(source, distill=changed), Settings(4, 0.03, 16), tmp_path))
    assert same(*found)
    said = [r.getMessage() for r in caplog.records if "distill.loss" in r.getMessage()]
    assert said == [
        "distill.loss: a graph has no embedding to train by; the terms on logits are used at"
        " quantised weights"
    ]


def test_layers_that_stay_float_are_not_trained_as_integers_and_are_float_in_the_file(
    source: Source, tmp_path: Path
) -> None:
    model = family("depthwise")
    weighted = plan(model).weighted
    stay = weighted[2]
    found = train_quantised(
        model,
        {},
        Settings(STEPS, 0.03, 16, keep_float=(stay,)),
        source,
        compute=Compute.choose("cpu", "fp32"),
        threads=1,
        folder=tmp_path,
        progress=Progress(),
    )
    assert set(weighted) - set(found.weights) == {stay}
    made = to_qdq(model, found, "uint8", (stay,))
    layers = [n for n in made.graph if n.op_type in ("Conv", "Gemm", "MatMul")]
    float_ones = [n for n in layers if producer(n.inputs[1], "DequantizeLinear") is None]
    assert len(layers) == len(weighted)
    assert len(float_ones) == 1
