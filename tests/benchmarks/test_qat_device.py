"""The script that trains the benchmark's networks together: the same networks as when each is trained alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.qat_views import Images
from benchmarks.qat_waves import Job, finish, run_wave, train_waves
from squeeze.train.quantised import QUANTISERS, ranges
from squeeze.train.quantised.network import QuantNetwork
from squeeze.train.quantised.settings import Settings
from tests.quant.families import inputs
from tests.quant.families import model as family
from tests.train.quantised.nets import trainable

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="recorded updates differ in their last bits"
)

STEPS = 10


class Means(torch.nn.Module):
    """A teacher of five classes: means of parts of the image."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 5 * x.flatten(1)[:, :250].reshape(len(x), 5, 50).mean(2)


@pytest.fixture
def images(tmp_path: Path) -> Images:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (120, 3, 16, 16), np.uint8)
    np.savez(
        tmp_path / "cifar.npz",
        x_train=x[:100],
        y_train=rng.integers(0, 5, 100),
        x_test=x[100:],
        y_test=rng.integers(0, 5, 20),
        mean=np.full(3, 128.0),
        std=np.full(3, 64.0),
    )
    return Images(tmp_path / "cifar.npz", Means(), 2, 32)


def network(kind: str) -> QuantNetwork:
    """3 bits between the ends."""
    found = trainable(family("depthwise"), inputs("depthwise", 24))
    layers = list(found.weighted)
    for layer in layers:
        name, width = ("lsq", 8) if layer in (layers[0], layers[-1]) else (kind, 3)
        found.quantise_weights(layer, lambda w, n=name, b=width: QUANTISERS[n](w, b))
    ranges.prepare(found, 0, 255)
    return found


def job(kind: str, method: str, images: Images) -> Job:
    settings = Settings(STEPS, 0.02, 32, method=method)  # type: ignore[arg-type]
    made = Job(f"{kind}/{method}", images, network(kind), settings)
    made.redistribute = kind == "codebook"
    return made


def test_together_and_alone_end_with_the_same_integers(images: Images) -> None:
    kinds = (("lsq", "quantised-distillation"), ("codebook", "mixed"))
    together = [job(kind, method, images) for kind, method in kinds]
    run_wave(together)
    for given, (kind, method) in zip(together, kinds, strict=True):
        alone = job(kind, method, images)
        run_wave([alone])
        found: list[dict[str, np.ndarray]] = [{}, {}]
        finish(given, found[0])
        finish(alone, found[1])
        assert found[0].keys() == found[1].keys()
        for name, array in found[0].items():
            np.testing.assert_array_equal(array, found[1][name], err_msg=name)


def test_levels_move_where_they_are_asked_to(images: Images) -> None:
    made = job("codebook", "mixed", images)
    run_wave([made])
    levels = made.facts["levels"]
    assert sum(levels) == 8 * len(levels)
    assert len(set(levels)) > 1


def test_float_networks_learn_what_the_teacher_says(images: Images) -> None:
    found = trainable(family("depthwise"), inputs("depthwise", 24))
    made = Job("depthwise/float", images, found, Settings(60, 0.05, 32), quantised=False)
    x, view = torch.arange(100), torch.zeros(100, dtype=torch.long)

    def agreement() -> float:
        with torch.no_grad():
            said = found.eval()(images.take(x, view)).argmax(1)
        return float((said == images.logits[0].argmax(1)).float().mean())

    before = agreement()
    run_wave([made])
    arrays: dict[str, np.ndarray] = {}
    finish(made, arrays)
    assert any(name.startswith("depthwise/float/state/") for name in arrays)
    assert agreement() > before + 0.2


def test_a_wave_that_is_there_is_not_trained_again(images: Images, tmp_path: Path) -> None:
    def wave(seed: int) -> list[Job]:
        found = trainable(family("depthwise"), inputs("depthwise", 24))
        facts = {"seed": seed, "training": {"batch": 32}}
        return [Job("net/float/32/0", images, found, Settings(2, 0.05, 32), False, facts=facts)]

    first = train_waves([wave(0)], ["wave0"], tmp_path)["net/float/32/0"]
    written = (tmp_path / "wave0.npz").stat().st_mtime_ns
    untrained = wave(0)
    again = train_waves([untrained, []], ["wave0", "wave1"], tmp_path)["net/float/32/0"]
    assert (tmp_path / "wave0.npz").stat().st_mtime_ns == written
    assert first.keys() == untrained[0].network.state_dict().keys()
    for name, value in first.items():
        assert torch.equal(value, again[name]), name
    train_waves([wave(1)], ["wave0"], tmp_path)
    assert (tmp_path / "wave0.npz").stat().st_mtime_ns > written
    assert [path.name for path in tmp_path.glob("wave*")] == ["wave0.npz"]
