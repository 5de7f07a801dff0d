"""`squeeze.save`: what is written computes what the model does for any batch, and the model is left as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

import squeeze
from squeeze.errors import ConfigError, UnsupportedError
from tests.teacher.conftest import load


class Net(nn.Module):
    """Batch normalisation and dropout: another result in each mode."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).mean((2, 3)))


class Two(nn.Module):
    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
        return {"sum": ids.float() * mask, "pair": (ids + 1, mask.mean(1))}


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRU(5, 6, batch_first=True)

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found, state = self.cell(x, h)
        return found, state


def on_runtime(path: Path, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, feed), strict=True))


@pytest.mark.parametrize("samples", [1, 2, 5])
@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_the_batch_of_the_file_is_free_whatever_the_example_has(
    suffix: str, samples: int, tmp_path: Path
) -> None:
    model = Net()
    path = squeeze.save(model, torch.randn(samples, 3, 8, 8), tmp_path / f"net{suffix}")
    found = load(path, tmp_path)
    assert found.interface.batch_size is None
    x = np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float32)
    model.eval()
    with torch.no_grad():
        wanted = model(torch.from_numpy(x)).numpy()
    for count in (1, 4):
        got = found.outputs(x[:count]).logits
        np.testing.assert_allclose(got, wanted[:count], atol=1e-5)


def test_the_model_is_left_in_the_modes_that_its_parts_had(tmp_path: Path) -> None:
    model = Net().train()
    model.body[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    squeeze.save(model, torch.randn(1, 3, 8, 8), tmp_path / "net.pt2")
    assert model.training
    assert model.body[3].training
    assert not model.body[1].training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("as_dict", [True, False])
def test_several_inputs_keep_their_names_and_types(as_dict: bool, tmp_path: Path) -> None:
    ids, mask = torch.arange(6).reshape(1, 6), torch.ones(1, 6)
    example = {"mask": mask, "ids": ids} if as_dict else (ids, mask)
    path = squeeze.save(Two(), example, tmp_path / "net.onnx")
    found = on_runtime(
        path, {"ids": np.arange(18).reshape(3, 6), "mask": np.full((3, 6), 2, np.float32)}
    )
    np.testing.assert_array_equal(found["sum"], np.arange(18).reshape(3, 6) * 2.0)
    np.testing.assert_array_equal(found["pair_0"], np.arange(18).reshape(3, 6) + 1)
    np.testing.assert_array_equal(found["pair_1"], [2.0] * 3)


def test_a_state_whose_batch_is_not_first_is_named(tmp_path: Path) -> None:
    model, example = Recurrent(), (torch.randn(1, 7, 5), torch.zeros(1, 1, 6))
    path = squeeze.save(model, example, tmp_path / "net.onnx", batch_axes={"h": 1})
    x, h = torch.randn(3, 7, 5), torch.randn(1, 3, 6)
    got = on_runtime(path, {"x": x.numpy(), "h": h.numpy()})
    with torch.no_grad():
        wanted = model(x, h)
    np.testing.assert_allclose(got["output_0"], wanted[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(got["output_1"], wanted[1].numpy(), atol=1e-5)
    with pytest.raises(ConfigError, match=r"Recurrent does not run on x \[2, 7, 5\].*batch_axes"):
        squeeze.save(model, example, tmp_path / "other.onnx")


class AsksForAValue(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:  # the line that is named
            return x * 2
        return x


class FixesTheBatch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x * 2
        return y.view(2, -1)  # the line that is named


class LeavesTorch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(x.numpy() * 2)  # the line that is named


class Random(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.rand_like(x)


class Words(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, str]:
        return x, "word"


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (AsksForAValue(), "asks for the value of a tensor"),
        (FixesTheBatch(), "takes only one size of batch"),
        (LeavesTorch(), "cannot be exported"),
    ],
)
def test_what_cannot_be_exported_names_the_line_of_the_model(
    model: nn.Module, words: str, tmp_path: Path
) -> None:
    code = Path(__file__).read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(code) if f"class {type(model).__name__}(" in line)
    number = next(
        i for i, line in enumerate(code[start:], start + 1) if "line that is named" in line
    )
    with pytest.raises(UnsupportedError, match=words) as caught:
        squeeze.save(model, torch.randn(1, 4), tmp_path / "net.pt2")
    assert f"{__file__}:{number} (" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("model", "example", "name", "words"),
    [
        (nn.Linear(4, 2), torch.randn(1, 4), "net.pt", "allowed: .pt2, .onnx"),
        (nn.Linear(4, 2), torch.randn(1, 4), "none/net.pt2", "in a folder that is there"),
        (nn.Linear(4, 2), torch.randn(1, 5), "net.pt2", r"Linear does not run on input \[1, 5\]"),
        (nn.Linear(4, 2), {"x": torch.randn(1, 4)}, "net.pt2", "has 'x', forward takes input"),
        (nn.Linear(4, 2), 3, "net.pt2", "'input' is int, wanted a tensor"),
        (nn.Linear(4, 2), [torch.randn(4)] * 2, "net.pt2", "2 inputs, forward takes 1"),
        (nn.Linear(4, 2).state_dict(), torch.randn(1, 4), "net.pt2", "wanted a torch.nn.Module"),
        (Random(), torch.randn(1, 4), "net.pt2", "may be random"),
        (Words(), torch.randn(1, 4), "net.pt2", "returns str; allowed: tensors"),
    ],
)
def test_wrong_use_is_said_and_nothing_is_written(
    model: Any, example: Any, name: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises((ConfigError, UnsupportedError), match=words):
        squeeze.save(model, example, tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_script_module_is_refused_with_the_lines_that_export_it(tmp_path: Path) -> None:
    script = torch.jit.trace(nn.Linear(4, 2), torch.zeros(2, 4))
    with pytest.raises(UnsupportedError, match=r"TorchScript"):
        squeeze.save(script, torch.randn(1, 4), tmp_path / "net.pt2")


def test_the_name_stays_the_function_and_the_package_stays_light() -> None:
    script = (
        "import squeeze, sys; assert 'torch' not in sys.modules; import squeeze.save; "
        "assert 'torch' in sys.modules; assert squeeze.save.__name__ == 'save_model' and callable(squeeze.save)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
