"""LSQ in the native library: values and gradients against NumPy, and against the same in torch."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from squeeze import ops
from squeeze.train.quantised import fused
from squeeze.train.quantised.lsq import LsqActivation

Array = NDArray[np.float64]

BLOCK = 4096
BOTH = pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"]
)


@pytest.fixture(autouse=True)
def library() -> Iterator[None]:
    if ops.library_path() is None:
        pytest.skip("libsqueeze_ops.so is not built: cmake -S . -B build && cmake --build build")
    fused._passes.cache_clear()
    yield
    fused._passes.cache_clear()


def reference(
    x: Array, g: Array, step: float, zero: int, high: int
) -> tuple[Array, Array, float, float]:
    """y, the gradient of x, and those of step and zero point before their gain; integers are 0..high."""
    place = (x.astype(np.float32) / np.float32(step)).astype(np.float64)
    level = np.rint(np.clip(place, -zero, high - zero))
    inside = (place >= -zero) & (place <= high - zero)
    error = np.where(inside, level - place, level)
    return level * step, np.where(inside, g, 0), (error * g).sum(), -step * g[~inside].sum()


def learned(
    module: nn.Module, x: Tensor, g: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """y, and the gradients of x, step and zero point."""
    leaf = x.detach().requires_grad_()
    y = module(leaf)
    y.backward(g)
    step, zero = module.step.grad, module.zero.grad
    assert leaf.grad is not None
    assert isinstance(step, Tensor)
    assert zero is None or isinstance(zero, Tensor)
    return y.detach(), leaf.grad, step, zero


def in_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "library_path", lambda: None)
    fused._passes.cache_clear()


def drawn(*shape: int, dtype: torch.dtype, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Activations, a third of them beyond a grid of steps 0.02 around 100, and gradients."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(*shape, generator=generator).to(dtype) * 2 for _ in range(2))


def numbers(x: Tensor) -> Array:
    found: Array = x.detach().double().contiguous().numpy()
    return found


@BOTH
@pytest.mark.parametrize(
    "shape",
    [(1, 1), (2, 7), (1, 16), (3, 11, 5), (1, BLOCK), (1, BLOCK + 1), (2, 3, 70, 71), (5, 70000)],
    ids=str,
)
def test_values_and_gradients_are_those_of_numpy(dtype: torch.dtype, shape: tuple[int]) -> None:
    x, g = drawn(*shape, dtype=dtype)
    module = LsqActivation(0.02, 100, 0, 255, learn_zero=True)
    y, g_x, g_step, g_zero = learned(module, x, g)
    assert (y.dtype, g_x.dtype, g_step.dtype) == (dtype, dtype, torch.float32)
    expected = reference(numbers(x), numbers(g), float(np.float32(0.02)), 100, 255)
    ulp = 2**-8 if dtype is torch.bfloat16 else 1e-6
    np.testing.assert_allclose(numbers(y), expected[0], rtol=ulp)
    np.testing.assert_array_equal(numbers(g_x), expected[1])
    gain = (x[0].numel() * 255) ** -0.5
    size = float(np.abs(numbers(g)).sum()) * 100 * gain
    np.testing.assert_allclose(g_step.item(), expected[2] * gain, atol=1e-7 * size)
    assert g_zero is not None
    np.testing.assert_allclose(g_zero.item(), expected[3] * gain, atol=1e-7 * size)


def test_values_and_gradients_are_those_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    x, g = drawn(3, 5, 17, 19, dtype=torch.float32)
    found = learned(LsqActivation(0.02, 100, 0, 255, learn_zero=True), x, g)
    in_torch(monkeypatch)
    expected = learned(LsqActivation(0.02, 100, 0, 255, learn_zero=True), x, g)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])
    for one, other in zip(found[2:], expected[2:], strict=True):
        assert one is not None
        assert other is not None
        np.testing.assert_allclose(one.item(), other.item(), rtol=1e-5)


def test_half_precision_is_rounded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x, g = drawn(2, 3000, dtype=torch.bfloat16)
    found = learned(LsqActivation(0.013, 100, 0, 255), x, g)
    in_torch(monkeypatch)
    # torch's own way rounds places of the grid, too: to whole ones from 128 on.
    wide = learned(LsqActivation(0.013, 100, 0, 255), x.float(), g.float())
    assert torch.equal(found[0], wide[0].bfloat16())
    assert torch.equal(found[1], wide[1].bfloat16())
    np.testing.assert_allclose(found[2].item(), wide[2].item(), rtol=1e-5)
    narrow = learned(LsqActivation(0.013, 100, 0, 255), x, g)
    assert (found[0].float() - narrow[0].float()).abs().max() < 0.013 * 1.5


@BOTH
def test_ends_of_the_grid_are_inside_and_halves_go_to_even(dtype: torch.dtype) -> None:
    module = LsqActivation(0.5, 2, 0, 7, learn_zero=True)
    # Places -2.5, -2, -0.5, 0.5, 1.5, 4.5, 5, 5.5, of -2..5.
    x = torch.tensor([[-1.25, -1.0, -0.25, 0.25, 0.75, 2.25, 2.5, 2.75]], dtype=dtype)
    g = torch.tensor([[1.0, 2, 4, 8, 16, 32, 64, 128]], dtype=dtype)
    y, g_x, g_step, g_zero = learned(module, x, g)
    assert y.tolist() == [[-1, -1, 0, 0, 1, 2, 2.5, 2.5]]
    assert g_x.tolist() == [[0, 2, 4, 8, 16, 32, 64, 0]]
    gain = (8 * 7) ** -0.5
    step = -2 + 4 * 0.5 - 8 * 0.5 + 16 * 0.5 - 32 * 0.5 + 128 * 5
    assert g_step.item() == pytest.approx(step * gain)
    assert g_zero is not None
    assert g_zero.item() == pytest.approx(-0.5 * (1 + 128) * gain)


@BOTH
def test_what_is_no_number_stays_and_shows_in_the_step(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, g = drawn(1, 37, dtype=dtype)
    x[0, [0, 20, 36]] = torch.tensor([np.nan, np.inf, np.nan], dtype=dtype)
    for alone in (False, True):
        if alone:
            in_torch(monkeypatch)
        y, g_x, g_step, g_zero = learned(LsqActivation(0.02, 100, 0, 255, learn_zero=True), x, g)
        assert y.isnan().nonzero()[:, 1].tolist() == [0, 36]
        assert y[0, 20].float() == pytest.approx(155 * 0.02, rel=0.01)
        assert (g_x[0, 0], g_x[0, 20]) == (0, 0)
        assert g_step.isnan()
        assert g_zero is not None
        assert g_zero.isfinite()


LAYOUTS: dict[str, Any] = {
    "channels-last": lambda x: x.to(memory_format=torch.channels_last),
    "expanded": lambda x: x[:, :, :1].expand(-1, -1, x.shape[2], -1),
    "sliced": lambda x: x[:, :, ::2],
    "transposed": lambda x: x.permute(3, 1, 0, 2),
}


@BOTH
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("of_gradient", [False, True], ids=["plain-gradient", "laid-gradient"])
def test_every_layout_gives_the_same(dtype: torch.dtype, layout: str, of_gradient: bool) -> None:
    x, g = (LAYOUTS[layout](t) for t in drawn(4, 6, 8, 10, dtype=dtype))
    plain = learned(LsqActivation(0.02, 100, 0, 255), x.contiguous(), g.contiguous())
    laid = learned(LsqActivation(0.02, 100, 0, 255), x, g if of_gradient else g.contiguous())
    assert torch.equal(laid[0], plain[0])
    assert torch.equal(laid[1], plain[1])
    np.testing.assert_allclose(laid[2].item(), plain[2].item(), rtol=1e-5)
    assert laid[0].stride() == torch.empty_like(x).stride()


def test_an_empty_tensor_is_none_and_moves_nothing() -> None:
    module = LsqActivation(0.02, 100, 0, 255, learn_zero=True)
    x = torch.empty(0, 3)
    y = fused.on_grid(x.requires_grad_(), module.step, module.zero, 0, 255, 1.0)
    y.sum().backward()  # type: ignore[no-untyped-call]
    assert y.shape == (0, 3)
    assert module.step.grad == 0
    assert module.zero.grad == 0


def test_threads_change_no_bit() -> None:
    x, g = drawn(8, 33, 40, 41, dtype=torch.bfloat16)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(learned(LsqActivation(0.02, 100, 0, 255, learn_zero=True), x, g))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_double_precision_stays_with_torch() -> None:
    assert fused.takes(torch.zeros(1))
    assert not fused.takes(torch.zeros(1, dtype=torch.float64))
    assert not fused.takes(torch.zeros(1, device="meta"))


def test_an_older_library_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = ops.library_path()
    assert path is not None
    older = tmp_path / "older.so"
    older.write_bytes(path.read_bytes().replace(b"SqueezeLsqForward", b"SqueezeLsqFoRward"))
    monkeypatch.setattr(ops, "library_path", lambda: older)
    with caplog.at_level(logging.WARNING):
        assert not fused.takes(torch.zeros(1))
        assert not fused.takes(torch.zeros(1))
    assert len(caplog.records) == 1
    assert f"{older}: older than this code" in caplog.text
