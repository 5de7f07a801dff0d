"""Calibration sets made from a teacher alone: repeatable, like real data to the teacher, honest, refused clearly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

from squeeze import calib, graph, quant, runtimes
from squeeze.errors import ConfigError
from squeeze.feed import Passes
from squeeze.interface import Interface
from squeeze.progress import Progress
from squeeze.quant.place import place
from squeeze.quant.ranges.observe import observe
from squeeze.spec import QuantPart
from squeeze.synthesis import synthesise
from squeeze.synthesis.invert import invert
from squeeze.synthesis.objective import statistics_distance
from squeeze.synthesis.watched import watch
from squeeze.teacher import Teacher
from tests.graph.small import floats, model, node
from tests.teacher import models
from tests.teacher.conftest import load, save_pt2

FASHION = Path(__file__).parents[2] / "examples/fashion/fashion_resnet.pt2"


class Net(nn.Sequential):
    """Two normalised convolutions on [3, 8, 8], whose statistics are of inputs with mean 2 and deviation 0.5."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8, momentum=None),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.BatchNorm2d(8, momentum=None),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 4),
        )
        with torch.no_grad():
            self(2 + 0.5 * torch.randn(256, 3, 8, 8))
        self.eval()


@pytest.fixture(scope="module")
def normed(tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    folder = tmp_path_factory.mktemp("normed")
    with torch.random.fork_rng(devices=[]):
        return load(save_pt2(Net(), torch.zeros(3, 3, 8, 8), folder / "net.pt2"), folder)


def onnx_teacher(folder: Path, *, norm: bool) -> Teacher:
    """A convolution on [3, 8, 8], with its normalisation or without, as an ONNX file."""
    nodes = [
        node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        *([node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"])] if norm else []),
        node("Relu", ["n" if norm else "c"], ["r"]),
        node("GlobalAveragePool", ["r"], ["g"]),
        node("Flatten", ["g"], ["f"]),
        node("Gemm", ["f", "w2"], ["y"]),
    ]
    weights = {"w": floats(8, 3, 3, 3) / 5, "w2": floats(8, 4, seed=2)}
    if norm:
        weights |= {"s": np.abs(floats(8, seed=3)) + 0.5, "b": floats(8, seed=4)}
        weights |= {"m": floats(8, seed=5) * 3, "v": np.abs(floats(8, seed=6)) + 0.5}
    path = folder / "net.onnx"
    graph.save(model(nodes, weights, (3, 8, 8)), path)
    return load(path, folder)


def sought(
    teacher: Teacher, count: int, *, steps: int, seed: int = 0, threads: int = 1
) -> np.ndarray:
    """Fewer samples, sought for shorter than a compile does."""
    found = invert(teacher, count, steps=steps, seed=seed, threads=threads, progress=Progress())
    return found.x


def distance(teacher: Teacher, x: np.ndarray) -> float:
    _, norms = watch(teacher)(torch.from_numpy(x))
    return float(statistics_distance(norms))


def test_same_seed_gives_the_same_samples_and_leaves_torch_as_it_was(normed: Teacher) -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    first, second, other = (sought(normed, 16, steps=5, seed=s, threads=2) for s in (0, 0, 1))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_set_fits_the_teacher_and_says_what_it_is(normed: Teacher) -> None:
    found = synthesise(normed)
    assert [len(s) for s in (found.fit, found.calibrate, found.evaluate)] == [32, 192, 32]
    fitted = found.fitted(normed.interface)
    x = fitted.inputs(fitted.calibrate)
    assert (x.shape, x.dtype) == ((192, 3, 8, 8), np.float32)
    assert (found.source, found.metric, found.evaluate.y) == ("synthetic", None, None)
    assert "no data was given" in found.assumed[0]
    assert "statistics of its 2 batch normalisations" in found.assumed[0]
    assert "accuracy on real data is unknown" in found.assumed[0]


def test_samples_come_near_the_statistics_of_training(normed: Teacher) -> None:
    x = sought(normed, 64, steps=150)
    real = (2 + 0.5 * np.random.default_rng(1).standard_normal((64, 3, 8, 8))).astype(np.float32)
    noise = np.random.default_rng(2).standard_normal((64, 3, 8, 8)).astype(np.float32)
    assert distance(normed, x) < distance(normed, real) + 0.25 * distance(normed, noise)
    # Nobody told that inputs are about 2; the first normalisation did.
    assert x.mean() == pytest.approx(2, abs=0.5)


@pytest.mark.parametrize("norm", [True, False], ids=["normed", "folded"])
def test_onnx_teacher_is_watched_as_the_file_is(norm: bool, tmp_path: Path) -> None:
    teacher = onnx_teacher(tmp_path, norm=norm)
    x = floats(5, 3, 8, 8)
    output, norms = watch(teacher)(torch.from_numpy(x))
    np.testing.assert_allclose(output.numpy(), teacher.outputs(x).logits, rtol=1e-4, atol=1e-5)
    assert len(norms) == norm
    said = synthesise(teacher).assumed[0]
    assert ("folded away; ranges may be far off" in said) is not norm


def test_archive_is_watched_with_the_norms_that_its_export_folds(normed: Teacher) -> None:
    assert "BatchNormalization" not in normed.census
    x = floats(5, 3, 8, 8)
    output, norms = watch(normed)(torch.from_numpy(x))
    np.testing.assert_allclose(output.numpy(), normed.outputs(x).logits, rtol=1e-4, atol=1e-5)
    entering = np.asarray(Net()[0](torch.from_numpy(x)).detach())
    np.testing.assert_allclose(norms[0].x.numpy(), entering, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norms[0].mean, Net()[1].running_mean)


@pytest.mark.parametrize("name", ["Signal", "Vector", "ChannelsLast"])
def test_every_kind_of_float_input_is_made(name: str, tmp_path: Path) -> None:
    source = save_pt2(models.make(getattr(models, name)), models.INPUTS[name], tmp_path / "m.pt2")
    teacher = load(source, tmp_path)
    assert sought(teacher, 9, steps=3).shape == (9, *teacher.input.shape)


def test_tokens_need_data(tmp_path: Path) -> None:
    source = save_pt2(models.make(models.Tokens), models.INPUTS["Tokens"], tmp_path / "m.pt2")
    with pytest.raises(ConfigError, match=r"give data.*int64"):
        synthesise(load(source, tmp_path))


def test_numbers_without_norms_need_data(tmp_path: Path) -> None:
    source = save_pt2(nn.Sequential(nn.Linear(6, 1)), torch.zeros(3, 6), tmp_path / "m.pt2")
    with pytest.raises(ConfigError, match=r"give data.*neither batch normalisations nor classes"):
        synthesise(load(source, tmp_path))


def test_operator_that_torch_does_not_know_needs_data(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    nodes = [node("Gemm", ["x", "w"], ["g"]), node("Sinh", ["g"], ["y"])]
    graph.save(model(nodes, {"w": floats(6, 4)}, (6,)), path)
    with pytest.raises(ConfigError, match=r"give data.*Sinh"):
        synthesise(load(path, tmp_path))


def test_model_for_one_sample_at_once_needs_data(tmp_path: Path) -> None:
    class Single(models.Vector):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x.reshape(1, 6))

    source = save_pt2(Single().eval(), torch.zeros(1, 6), tmp_path / "m.pt2", dynamic=False)
    with pytest.raises(ConfigError, match="give data"):
        synthesise(load(source, tmp_path))


def test_archive_that_changed_is_not_taken_for_the_teacher(tmp_path: Path) -> None:
    source = save_pt2(models.make(models.Vector), models.INPUTS["Vector"], tmp_path / "m.pt2")
    teacher = load(source, tmp_path)
    save_pt2(models.make(models.Signal), models.INPUTS["Signal"], source)
    with pytest.raises(ConfigError, match="changed since"):
        synthesise(teacher)


def test_several_inputs_or_outputs_need_data(tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return torch.cat([a, b], 1)

    class Pair(nn.Module):
        def forward(self, a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return a.relu(), a.sigmoid()

    x = torch.zeros(3, 6)
    two = load(save_pt2(Two(), (x, x + 1), tmp_path / "two.pt2"), tmp_path)
    with pytest.raises(ConfigError, match=r"give data.*2 inputs and 1 outputs"):
        synthesise(two)
    pair = load(save_pt2(Pair(), x, tmp_path / "pair.pt2"), tmp_path)
    with pytest.raises(ConfigError, match=r"give data.*1 inputs and 2 outputs"):
        synthesise(pair)


def test_int8_calibrated_on_synthetic_images_keeps_the_accuracy_on_real_ones(
    tmp_path: Path,
) -> None:
    real = calib.load("fashion")
    teacher = load(FASHION, tmp_path, real.inputs(real.fit, 0, 4))
    real = real.fitted(teacher.interface)
    synthetic = sought(teacher, 24, steps=30, threads=2)[6:]
    found = graph.load(teacher.model)
    x, labels = real.inputs(real.evaluate, 0, 1000), real.evaluate.y
    assert labels is not None
    name = teacher.input.name
    graph.optimise(found, {name: x[:1]}, teacher.interface)
    int8 = quant.quantize(
        found,
        Passes(teacher.interface, lambda: iter([{name: synthetic}])),
        activations="uint8",
        part=QuantPart(),
    ).model

    def correct(model: ir.Model) -> float:
        outputs = runtimes.run(runtimes.session(graph.to_bytes(model), threads=2), x)
        return float(np.mean(outputs.argmax(1) == labels[:1000]))

    assert correct(int8) >= correct(found) - 0.01
    shared = overlaps(found, teacher.interface, synthetic, real.inputs(real.calibrate, 0, 128))
    assert np.mean(shared) > 0.5


def overlaps(model: ir.Model, interface: Interface, a: np.ndarray, b: np.ndarray) -> list[float]:
    """For each quantised tensor, what its ranges over two sets of inputs share, as a part of both together."""
    names = sorted({str(root.name) for root in place(model.graph).roots.values()})
    one, other = (
        observe(
            model,
            names,
            Passes(interface, lambda x=x: iter([{interface.only_input.name: x}])),
            len(x),
            histograms=False,
            tick=lambda *_, **__: None,
        )
        for x in (a, b)
    )
    pairs = [(one[n], other[n]) for n in names]
    return [
        max(0.0, min(p.high, q.high) - max(p.low, q.low))
        / (max(p.high, q.high) - min(p.low, q.low))
        for p, q in pairs
    ]
