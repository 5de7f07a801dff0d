"""Archives and factories with several inputs and outputs: names, types and numbers are those of the torch module."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from squeeze import runtimes, teacher
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.teacher import Teacher
from tests.teacher import models
from tests.teacher.conftest import load, rewrite, save_pt2
from tests.teacher.graphs import shapes, types

IDS = torch.arange(48).reshape(4, 12)
MASK = (torch.arange(12)[None] < torch.tensor([[12], [3], [7], [1]])).float()
SHIFT = torch.linspace(-1, 1, 64).reshape(4, 16)
FEED = {"ids": IDS.numpy(), "mask": MASK.numpy(), "shift": SHIFT.numpy()}


def save_encoder(path: Path, *, dynamic: bool = True) -> nn.Module:
    module = models.make(models.Encoder)
    free = {0: torch.export.Dim.DYNAMIC}
    named: Any = {"ids": free, "mask": free, "shift": free} if dynamic else None
    program = torch.export.export(module, (IDS, MASK), {"shift": SHIFT}, dynamic_shapes=named)
    torch.export.save(program, path)
    return module


def infer(found: Teacher, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return runtimes.infer(runtimes.session(found.model), feed, found.interface)


def expected(module: nn.Module) -> dict[str, np.ndarray]:
    with torch.no_grad():
        said = module(IDS, MASK, shift=SHIFT)
    mean, states = said["pair"]
    return {
        k: v.numpy() for k, v in (("logits", said["logits"]), ("pair_0", mean), ("pair_1", states))
    }


@pytest.mark.parametrize("dynamic", [True, False], ids=["free", "fixed"])
def test_archive_keeps_names_of_arguments_and_keys(dynamic: bool, tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    module = save_encoder(path, dynamic=dynamic)
    assert teacher.input_names(str(path), None) == ("ids", "mask", "shift")
    found = load(path, tmp_path, FEED)
    wanted = expected(module)
    got = infer(found, FEED)
    assert list(got) == list(wanted)
    for name, values in wanted.items():
        np.testing.assert_allclose(got[name], values, atol=1e-5)
    assert shapes(found.model) == {
        "ids": ["batch", 12],
        "mask": ["batch", 12],
        "shift": ["batch", 16],
        "logits": ["batch", 3],
        "pair_0": ["batch", 16],
        "pair_1": ["batch", 12, 16],
    }
    freed = () if dynamic else ("the batch, 4 in your file, may be any number",)
    assert found.changes == freed


def test_archive_of_a_tuple_numbers_its_outputs_and_finds_its_batch_in_the_middle(
    tmp_path: Path,
) -> None:
    module, x = models.make(models.TimeFirst), torch.linspace(-1, 1, 120).reshape(5, 4, 6)
    program = torch.export.export(module, (x,), dynamic_shapes=({1: torch.export.Dim.DYNAMIC},))
    torch.export.save(program, tmp_path / "net.pt2")
    samples = x.transpose(0, 1).numpy()
    found = load(tmp_path / "net.pt2", tmp_path, samples)
    assert shapes(found.model) == {
        "x": [5, "batch", 6],
        "output_0": [5, "batch", 3],
        "output_1": ["batch", 3],
    }
    with torch.no_grad():
        steps, mean = module(x)
    got = infer(found, {"x": samples})
    np.testing.assert_allclose(got["output_0"], steps.transpose(0, 1).numpy(), atol=1e-5)
    np.testing.assert_allclose(got["output_1"], mean.numpy(), atol=1e-5)


def test_sizes_of_an_archive_that_vary_come_from_the_data(tmp_path: Path) -> None:
    module = models.make(models.Tokens)
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    program = torch.export.export(module, (IDS,), dynamic_shapes=(free,))
    torch.export.save(program, tmp_path / "net.pt2")
    short = IDS[:, :9]
    found = load(tmp_path / "net.pt2", tmp_path, short)
    assert found.input.shape == (9,)
    assert found.input.free == ()
    assert "may vary in your file; fixed to 9 as in the data" in found.changes[0]
    with torch.no_grad():
        wanted = module(short).numpy()
    np.testing.assert_allclose(found.outputs(short.numpy()).logits, wanted, atol=1e-5)


def test_inputs_of_an_archive_keep_their_own_types(tmp_path: Path) -> None:
    class Mixed(nn.Module):
        def forward(self, x: torch.Tensor, on: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
            return torch.where(on, x, 0.0) + k

    x = torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(4, 6)
    on, k = x > 0, torch.arange(4, dtype=torch.int32)[:, None]
    path = save_pt2(Mixed().eval(), (x, on, k), tmp_path / "net.pt2")
    feed = {"x": x.numpy(), "on": on.numpy(), "k": k.numpy()}
    found = load(path, tmp_path, feed)
    assert types(found.model) == {
        "x": "tensor(double)",
        "on": "tensor(bool)",
        "k": "tensor(int32)",
        "output": "tensor(double)",
    }
    np.testing.assert_allclose(infer(found, feed)["output"], Mixed()(x, on, k).numpy(), atol=1e-6)


@pytest.mark.parametrize(
    "spec",
    [
        '[1, {"type": "builtins.dict", "context": "[\\"__import__(1)\\", 3]", "children_spec": []}]',
        '[1, {"type": "os.system", "context": "touch", "children_spec": [1, 2]}]',
        "[" * 5000,
        "1",
        '{"a": 1}',
        "__import__('os')",
    ],
    ids=["keys", "type", "deep", "number", "table", "code"],
)
def test_description_of_outputs_in_an_archive_is_data(spec: str, tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    module = save_encoder(path)

    def alter(members: dict[str, bytes]) -> None:
        program = json.loads(members["models/model.json"])
        program["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = spec
        members["models/model.json"] = json.dumps(program).encode()

    found = load(rewrite(path, tmp_path / "altered.pt2", alter), tmp_path, FEED)
    got = infer(found, FEED)
    assert list(got) == ["output_0", "output_2", "output_3"]
    np.testing.assert_allclose(got["output_0"], expected(module)["logits"], atol=1e-5)


def test_key_of_an_output_that_is_no_plain_name_becomes_a_number(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    save_encoder(path)

    def alter(members: dict[str, bytes]) -> None:
        data = members["models/model.json"]
        assert b'\\\\\\"loss\\\\\\"' in data or b'\\"loss\\"' in data
        members["models/model.json"] = data.replace(b"loss", b"../loss; rm")

    found = load(rewrite(path, tmp_path / "altered.pt2", alter), tmp_path, FEED)
    assert all(name.replace("_", "").isalnum() for name in infer(found, FEED))


NETS = """
from tests.teacher.models import Detector, Encoder, TimeFirst
import torch

def half():
    return torch.nn.Linear(6, 3).half()

class Text(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(6, 3)
    def forward(self, x):
        return {"logits": self.layer(x), "said": "yes"}

class Loose(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(6, 3)
    def forward(self, x, mask=None):
        y = self.layer(x)
        return y if mask is None else y * mask
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder with `endnets.py`; the module is forgotten afterwards."""
    (tmp_path / "endnets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("endnets", None)


def weights(module: nn.Module, folder: Path) -> Path:
    save_file(module.state_dict(), folder / "w.safetensors")
    return folder / "w.safetensors"


def test_factory_takes_arrays_by_the_names_of_its_forward(nets: Path) -> None:
    module = models.make(models.Encoder)
    path = weights(module, nets)
    assert teacher.input_names("endnets:Encoder", str(path)) == ("ids", "mask", "shift")
    # In another order than forward has them.
    feed = {name: FEED[name] for name in ("shift", "mask", "ids")}
    found = load("endnets:Encoder", nets, feed, weights=path)
    assert [s.name for s in found.interface.inputs] == ["ids", "mask", "shift"]
    got = infer(found, feed)
    for name, wanted in expected(module).items():
        np.testing.assert_allclose(got[name], wanted, atol=1e-5)
    wrong = {"ids": FEED["ids"], "masks": FEED["mask"], "shift": FEED["shift"]}
    with pytest.raises(ConfigError, match=r"data has ids, masks, .*forward takes ids, mask, shift"):
        load("endnets:Encoder", nets, wrong, weights=path)


def test_factory_of_a_dataclass_gives_its_fields(nets: Path) -> None:
    module, x = models.make(models.Detector), models.INPUTS["Vector"]
    found = load("endnets:Detector", nets, x, weights=weights(module, nets))
    with torch.no_grad():
        wanted = module(x)
    got = infer(found, {"x": x.numpy()})
    assert list(got) == ["boxes", "classes"]
    np.testing.assert_allclose(got["boxes"], wanted.boxes.numpy(), atol=1e-5)
    np.testing.assert_array_equal(got["classes"], wanted.classes.numpy())
    assert got["classes"].dtype == np.int64


def test_factory_of_a_half_module_keeps_half_at_its_ends(nets: Path) -> None:
    torch.manual_seed(0)
    module, x = nn.Linear(6, 3).half(), models.INPUTS["Vector"]
    found = load("endnets:half", nets, x, weights=weights(module, nets))
    assert types(found.model) == {"input": "tensor(float16)", "output": "tensor(float16)"}
    with torch.no_grad():
        wanted = module.float()(x).numpy()
    np.testing.assert_allclose(found.outputs(x.numpy()).logits, wanted, atol=5e-3)


def test_double_data_of_a_float_factory_is_taken(nets: Path) -> None:
    module, x = models.make(models.Detector), models.INPUTS["Vector"]
    found = load("endnets:Detector", nets, x.double(), weights=weights(module, nets))
    assert found.input.dtype == "float32"


def test_names_of_a_forward_with_optional_tensors_are_not_to_be_known(nets: Path) -> None:
    module = nn.Module()
    module.layer = nn.Linear(6, 3)
    path = weights(module, nets)
    assert teacher.input_names("endnets:Loose", str(path)) is None
    x, mask = models.INPUTS["Vector"], torch.ones(4, 3)
    feed = {"x": x.numpy(), "mask": mask.numpy() * 2}
    found = load("endnets:Loose", nets, feed, weights=path)
    with torch.no_grad():
        wanted = module.layer(x).numpy() * 2
    np.testing.assert_allclose(infer(found, feed)["output"], wanted, atol=1e-5)


def test_factory_that_returns_text_is_refused(nets: Path) -> None:
    module = nn.Module()
    module.layer = nn.Linear(6, 3)
    path = weights(module, nets)
    with pytest.raises(UnsupportedError, match="the model returns str; allowed: tensors"):
        load("endnets:Text", nets, models.INPUTS["Vector"], weights=path)


def test_archive_without_an_array_for_an_input_is_said(tmp_path: Path) -> None:
    save_encoder(tmp_path / "net.pt2")
    with pytest.raises(ConfigError, match=r"3 inputs \(ids, mask, shift\).*missing: shift"):
        load(tmp_path / "net.pt2", tmp_path, {"ids": FEED["ids"], "mask": FEED["mask"]})


def test_damaged_archive_has_no_names(tmp_path: Path) -> None:
    (tmp_path / "net.pt2").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(ConfigError, match=r"not a torch\.export archive"):
        teacher.input_names(str(tmp_path / "net.pt2"), None)
