"""Where a training runs: what is chosen, what is refused, and that no other place chooses."""

from __future__ import annotations

import ast
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

import squeeze.train
from squeeze.errors import UnsupportedError
from squeeze.train.compute import Compute

no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a CUDA device here")


@no_cuda
def test_cuda_without_a_device_is_refused_in_one_line() -> None:
    with pytest.raises(
        UnsupportedError, match=r"device 'cuda': torch .*; (install|check) .* or use --device cpu$"
    ) as refused:
        Compute.choose("cuda")
    assert "\n" not in str(refused.value)


@no_cuda
def test_auto_is_the_cpu_where_torch_sees_no_other() -> None:
    assert Compute.choose("auto") == Compute.choose("cpu")
    assert Compute.choose().device == "cpu"


def test_precision_follows_the_recipe_and_keeps_linear_networks_in_float32() -> None:
    linear, conv = torch.nn.Linear(2, 2), torch.nn.Conv2d(1, 1, 3)
    assert Compute.choose("cpu", "bf16").dtype_for(linear) is torch.bfloat16
    assert Compute.choose("cpu", "fp32").dtype_for(conv) is torch.float32
    assert Compute.choose("cpu", "auto").dtype_for(linear) is torch.float32


def test_every_field_is_in_the_key() -> None:
    base = Compute("cpu", torch.float32, torch.float32)
    others = {"device": "cuda", "dtype": torch.bfloat16, "dense_dtype": torch.bfloat16}
    assert set(others) == {field.name for field in fields(base)}
    for name, value in others.items():
        assert replace(base, **{name: value}).key() != base.key(), name


def test_a_session_leaves_torch_as_it_was() -> None:
    torch.manual_seed(1)
    threads, expected = torch.get_num_threads(), torch.rand(3)
    torch.manual_seed(1)
    with Compute.choose("cpu").session(threads + 1):
        assert torch.get_num_threads() == threads + 1
        torch.rand(5)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.rand(3), expected)


def test_no_training_code_names_a_device_but_compute_and_checkpoints() -> None:
    named = set()
    for path in Path(squeeze.train.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in ("cpu", "cuda"):
                named.add(path.name)
    # An optimiser has a way of its own for CUDA: `trainer`.
    assert named == {"checkpoint.py", "compute.py", "trainer.py"}
