"""Factories are the user's code and may do anything wrong; weights are data and are never executed."""

from __future__ import annotations

import argparse
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from squeeze import teacher
from squeeze.errors import ConfigError
from tests.teacher import models
from tests.teacher.conftest import load

NETS = """
from torch import nn

def vector():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))

def image():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))

def raises():
    raise ValueError("no such size")

def needs(size):
    return nn.Linear(size, size)

def number():
    return 3

constant = 4
"""


class Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder with `mynets.py`; the module is forgotten afterwards."""
    (tmp_path / "mynets.py").write_text(NETS)
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("mynets", "broken"):
        sys.modules.pop(name, None)


def weights(
    folder: Path, name: str = "w.safetensors", seed: int = 0
) -> tuple[Path, torch.nn.Module]:
    module = models.make(models.Vector, seed=seed)
    path = folder / name
    if path.suffix == ".safetensors":
        save_file(module.state_dict(), path)
    else:
        torch.save(module.state_dict(), path)
    return path, module


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth"])
def test_factory_with_weights_computes_what_the_module_computes(name: str, nets: Path) -> None:
    path, module = weights(nets, name)
    x = models.INPUTS["Vector"]
    found = load("mynets:vector", nets, x, weights=path)
    with torch.no_grad():
        np.testing.assert_allclose(found.outputs(x.numpy()).logits, module(x).numpy(), atol=1e-5)
    assert found.kind == "factory"


def state(module: torch.nn.Module, prefix: str = "") -> dict[str, torch.Tensor]:
    return {prefix + name: value for name, value in module.state_dict().items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda m: {"state_dict": state(m, "module."), "epoch": 3},
        lambda m: {"model_state_dict": state(m, "_orig_mod."), "optimizer": {"lr": 0.1}},
        lambda m: {"model_state": state(m, "module._orig_mod.")},
        lambda m: {"model": state(m), "best": 0.3, "steps": [1, 2]},
        lambda m: {"net": state(m, "net.")},
        lambda m: {"ema": {"shadow": state(m)}},
        lambda m: {"whatever": state(m), "momentum": {"0.weight": torch.zeros(8, 6)}},
        lambda m: {"state_dict": {**state(m, "model."), "loss.weight": torch.ones(3)}},
        lambda m: {**state(m, "module."), "n_averaged": torch.tensor(7)},
        lambda m: {**state(m), "epoch": 3},
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_weights_are_found_in_the_checkpoints_of_training_scripts(
    wrap: Callable[[torch.nn.Module], dict[str, Any]], nets: Path
) -> None:
    _, module = weights(nets, seed=5)
    torch.save(wrap(module), nets / "c.pt")
    x = models.INPUTS["Vector"]
    found = load("mynets:vector", nets, x, weights=nets / "c.pt")
    with torch.no_grad():
        np.testing.assert_allclose(found.outputs(x.numpy()).logits, module(x).numpy(), atol=1e-5)


def test_of_two_states_the_first_is_taken_and_that_is_said(
    nets: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, averaged = (weights(nets, seed=seed)[1] for seed in (1, 2))
    torch.save({"ema": state(averaged), "model": state(model)}, nets / "c.pt")
    x = models.INPUTS["Vector"]
    found = load("mynets:vector", nets, x, weights=nets / "c.pt")
    with torch.no_grad():
        np.testing.assert_allclose(found.outputs(x.numpy()).logits, model(x).numpy(), atol=1e-5)
    assert "took 'model'; 'ema' fits as well" in caplog.text


def test_a_checkpoint_without_weights_is_refused_with_what_it_holds(nets: Path) -> None:
    path = nets / "c.pt"
    torch.save({"epoch": 3, "lr": [0.1], "notes": {"a": "b"}}, path)
    with pytest.raises(
        ConfigError, match=r"no tensors by name, but epoch, lr, notes; allowed: .*state_dict"
    ):
        load("mynets:vector", nets, models.INPUTS["Vector"], weights=path)
    some = {k: v for k, v in state(weights(nets)[1]).items() if k != "2.bias"}
    torch.save({"epoch": 3, "weights": some}, path)
    with pytest.raises(
        ConfigError,
        match=r"'weights' of \(epoch, weights\) of 4 tensors 3 fit; 1 missing \(2.bias\)",
    ):
        load("mynets:vector", nets, models.INPUTS["Vector"], weights=path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_models_given_as_weights_are_refused_by_what_they_are(nets: Path) -> None:
    _, module = weights(nets)
    torch.save(module, nets / "m.pt")
    with pytest.raises(
        ConfigError, match=r"more than weights: a pickled torch module \(tests.*Vector\)"
    ):
        load("mynets:vector", nets, models.INPUTS["Vector"], weights=nets / "m.pt")
    torch.jit.save(torch.jit.trace(module, models.INPUTS["Vector"]), nets / "s.pt")
    with pytest.raises(ConfigError, match=r'TorchScript archive.*torch.jit.load\("s.pt"\)'):
        load("mynets:vector", nets, models.INPUTS["Vector"], weights=nets / "s.pt")
    torch.save({"model": state(module), "args": argparse.Namespace(lr=1)}, nets / "a.pt")
    with pytest.raises(ConfigError, match=r"more than weights \(argparse.Namespace\)"):
        load("mynets:vector", nets, models.INPUTS["Vector"], weights=nets / "a.pt")


def test_layout_is_found_by_trying(nets: Path) -> None:
    sys.path.insert(0, str(nets))
    try:
        import mynets
    finally:
        sys.path.remove(str(nets))
    save_file(mynets.image().state_dict(), nets / "w.safetensors")
    x = np.zeros((4, 9, 9, 3), np.float32)
    assert load("mynets:image", nets, x, weights=nets / "w.safetensors").input.shape == (3, 9, 9)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere:net", "no module 'nowhere'"),
        ("no.where:net", "cannot be imported"),
        ("broken:net", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("mynets:vectro", "has no 'vectro'; it has .*vector"),
        ("mynets:constant", "'constant' is int"),
        ("mynets:raises", "raised ValueError: no such size"),
        ("mynets:needs", "raised TypeError.*without arguments"),
        ("mynets:number", "returned int, wanted a torch.nn.Module"),
    ],
)
def test_wrong_factory_is_said(source: str, words: str, nets: Path) -> None:
    path, _ = weights(nets)
    with pytest.raises(ConfigError, match=words) as caught:
        load(source, nets, models.INPUTS["Vector"], weights=path)
    assert str(caught.value).startswith(source)


def test_factory_needs_weights_and_data(nets: Path) -> None:
    with pytest.raises(ConfigError, match="--weights FILE"):
        load("mynets:vector", nets, models.INPUTS["Vector"])
    with pytest.raises(ConfigError, match="data is needed"):
        load("mynets:vector", nets, None, weights=weights(nets)[0])


def test_data_that_the_model_does_not_take_is_refused(nets: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not run on the data, float32 \[n, 7\]"):
        load("mynets:vector", nets, np.zeros((4, 7), np.float32), weights=weights(nets)[0])


def test_weights_of_another_model_name_the_first_tensors(nets: Path) -> None:
    other = {"0.weight": torch.zeros(8, 5), "0.bias": torch.zeros(8), "head.bias": torch.zeros(1)}
    save_file(other, nets / "w.safetensors")
    with pytest.raises(ConfigError) as caught:
        load("mynets:vector", nets, models.INPUTS["Vector"], weights=nets / "w.safetensors")
    text = str(caught.value)
    assert "2 missing (2.weight, 2.bias)" in text
    assert "1 unknown (head.bias)" in text
    assert "0.weight [8, 5] instead of [8, 6]" in text


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.bin"])
def test_pickle_among_the_weights_is_not_executed(name: str, nets: Path) -> None:
    marker = nets / "executed"
    torch.save({"0.weight": Touch(marker)}, nets / name)
    with pytest.raises(ConfigError, match="more than weights"):
        load("mynets:vector", nets, models.INPUTS["Vector"], weights=nets / name)
    (nets / name).write_bytes(pickle.dumps(Touch(marker)))
    with pytest.raises(ConfigError, match=name):
        load("mynets:vector", nets, models.INPUTS["Vector"], weights=nets / name)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_damaged_weights_are_refused(name: str, nets: Path) -> None:
    path, _ = weights(nets, name)
    whole = path.read_bytes()
    for content in (b"garbage" * 9, whole[: len(whole) // 2], whole[:9]):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=rf"{name}: (not a|holds more)"):
            load("mynets:vector", nets, models.INPUTS["Vector"], weights=path)


def test_weights_file_that_is_none_is_refused(nets: Path) -> None:
    for name, words in (("none.pt", "no such file"), ("mynets.py", "no kind of weights file")):
        with pytest.raises(ConfigError, match=words):
            load("mynets:vector", nets, models.INPUTS["Vector"], weights=nets / name)
    torch.save([1, 2], nets / "list.pt")
    with pytest.raises(ConfigError, match="holds a list"):
        load("mynets:vector", nets, models.INPUTS["Vector"], weights=nets / "list.pt")


def test_digest_changes_with_text_weights_and_name(nets: Path) -> None:
    def digest(source: str, path: Path) -> str:
        return teacher.source_digest(source, str(path))

    first, second = weights(nets)[0], weights(nets, "v.safetensors", seed=1)[0]
    found = {
        digest("mynets:vector", first),
        digest("mynets:vector", second),
        digest("mynets:image", first),
    }
    (nets / "mynets.py").write_text(NETS + "# changed\n")
    assert len(found | {digest("mynets:vector", first)}) == 4


@pytest.mark.parametrize("code", ["sys.exit(0)", "def make():\n    sys.exit(0)"])
def test_a_module_or_factory_that_ends_the_program_is_refused_in_one_line(
    nets: Path, code: str
) -> None:
    (nets / "mynets.py").write_text(f"import sys\n{code}\n")
    (nets / "w.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    with pytest.raises(ConfigError, match="SystemExit") as e:
        teacher.load(
            "mynets:make",
            weights="w.safetensors",
            example={"x": np.zeros((2, 6), np.float32)},
            folder=nets,
        )
    assert "\n" not in str(e.value)
