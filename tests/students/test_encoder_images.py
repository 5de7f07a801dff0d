"""An encoder of images costs what its file costs, and a part of one is the whole with the rest masked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from squeeze import account, export, graph
from squeeze.students.encoder import Dense, Encoder, Params, Patches, sliced
from squeeze.train.supernet.importance import importance, sort
from tests.feeds import interface_of
from tests.students.test_encoder import random_encoder

if TYPE_CHECKING:
    from pathlib import Path

PARAMS = Params(
    inputs=("x",),
    ids="x",
    patches=Patches(channels=3, size=(8, 12), patch=(4, 4), class_tokens=1),
    norm_first=True,
    vocabulary=0,
    positions=7,
    layers=3,
    hidden=24,
    heads=3,
    head_size=4,
    ffn=40,
    scale=0.5,
    pooling="first",
    tail=(Dense(outputs=5),),
)


def images(samples: int = 4) -> Tensor:
    return torch.randn(samples, 3, 8, 12, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_cost_equals_that_of_the_exported_file(pooling: str, tmp_path: Path) -> None:
    params = PARAMS.model_copy(update={"pooling": pooling})
    feed = {"x": images().numpy()}
    model = export.feed_to_ir(random_encoder(params), feed, output_names=["y"])
    graph.optimise(model, feed, interface_of(model))
    graph.save(model, tmp_path / "encoder.onnx")
    weighed = account.complexity(tmp_path / "encoder.onnx", {"x": (1, 3, 8, 12)})
    wanted = params.costs(params.positions)
    assert (weighed.macs, weighed.params) == (wanted.macs, wanted.params)


def masked(state: dict[str, Tensor], small: Params, kept: tuple[int, ...], x: Tensor) -> Tensor:
    """The whole network with everything that `small` lacks masked, normalisation over what is left; by hand."""
    there = (torch.arange(PARAMS.hidden) < small.hidden).float()

    def norm(x: Tensor, name: str) -> Tensor:
        mean = (x * there).sum(-1, keepdim=True) / small.hidden
        var = ((x - mean).square() * there).sum(-1, keepdim=True) / small.hidden
        scaled = (x - mean) / (var + PARAMS.eps).sqrt()
        return (scaled * state[f"{name}.weight"] + state[f"{name}.bias"]) * there

    def linear(x: Tensor, name: str) -> Tensor:
        return functional.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    # [n, rows, columns, numbers of a patch], channels first within a patch, as a convolution has them.
    cut = x.unflatten(2, (2, 4)).unflatten(4, (3, 4)).permute(0, 2, 4, 1, 3, 5).flatten(3)
    patches = cut.flatten(1, 2) @ state["patch.weight"].flatten(1).T + state["patch.bias"]
    nothing = torch.zeros(len(x), 1, PARAMS.hidden)
    y = (torch.cat([nothing, patches], 1) + state["position.weight"]) * there
    for i in kept:
        at = f"layers.{i}"
        read = norm(y, f"{at}.norm1")
        q, k, v = (
            linear(read, f"{at}.{n}").unflatten(-1, (PARAMS.heads, PARAMS.head_size))
            for n in ("query", "key", "value")
        )
        scores = torch.einsum("nihd,njhd->nhij", q, k) * PARAMS.scale
        seen = torch.einsum("nhij,njhd->nihd", scores.softmax(-1), v)
        seen[:, :, small.heads :] = 0
        y = y + linear(seen.flatten(2), f"{at}.out") * there
        inner = functional.gelu(linear(norm(y, f"{at}.norm2"), f"{at}.up"))
        inner[..., small.ffn :] = 0
        y = y + linear(inner, f"{at}.down") * there
    return linear(norm(y, "norm")[:, 0], "tail.0")


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [
        ({}, (0, 1, 2)),
        ({"layers": 2, "hidden": 16, "heads": 2, "ffn": 24}, (0, 2)),
        ({"layers": 1, "hidden": 8, "heads": 1, "ffn": 8}, (1,)),
    ],
)
def test_part_equals_the_masked_whole(sizes: dict[str, int], kept: tuple[int, ...]) -> None:
    state = random_encoder(PARAMS).state_dict()
    small = PARAMS.model_copy(update=sizes)
    part = Encoder(small)
    part.load_state_dict(sliced(state, PARAMS, small, kept))
    with torch.no_grad():
        wanted = masked(state, small, kept, images())
        torch.testing.assert_close(part(images()), wanted, atol=1e-5, rtol=1e-5)


def test_sorted_encoder_computes_the_same_and_what_does_nothing_comes_last() -> None:
    encoder = random_encoder(PARAMS)
    with torch.no_grad():
        encoder.layers[0].down.weight[:, 7] = 0
        encoder.layers[1].out.weight[:, 4:8] = 0  # its head 1
        for name in ("out", "down"):  # layer 2 adds nothing
            for values in getattr(encoder.layers[2], name).parameters():
                values.zero_()
    found = importance(encoder, [(images(),)], seed=0)
    assert int(found.ffn[0].argmin()) == 7
    assert int(found.heads[1].argmin()) == 1
    assert found.kept[2] == (0, 1)
    again = Encoder(PARAMS)
    again.load_state_dict(sort(PARAMS, encoder.state_dict(), found))
    with torch.no_grad():
        torch.testing.assert_close(again(images()), encoder(images()), atol=1e-5, rtol=1e-5)


def test_what_is_of_neither_kind_is_refused() -> None:
    given = PARAMS.model_dump()
    for changed, why in (
        ({"vocabulary": 9}, "words, or patches"),
        ({"norm_first": False}, "words, or patches"),
        ({"positions": 6}, "7 tokens have 6 positions"),
    ):
        with pytest.raises(ValidationError, match=why):
            Params.model_validate({**given, **changed})
