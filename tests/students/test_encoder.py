"""A text encoder's cost is that of its file, and a part of one is the whole with the rest masked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from squeeze import account, export, graph
from squeeze.errors import ConfigError
from squeeze.students.encoder import Dense, Encoder, Params, factorised, fresh_tail, sliced
from squeeze.students.encoder.positions import relations, token_places
from tests.feeds import interface_of

if TYPE_CHECKING:
    from pathlib import Path

PARAMS = Params(
    inputs=("ids", "mask"),
    ids="ids",
    mask="mask",
    vocabulary=50,
    positions=20,
    layers=3,
    hidden=24,
    heads=3,
    head_size=4,
    ffn=40,
    scale=0.5,
    normalise=True,
)


def random_encoder(params: Params, seed: int = 0) -> Encoder:
    encoder = Encoder(params)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in encoder.parameters():
            value.normal_(0.3, 0.4, generator=generator)
    return encoder.eval()


def batch(samples: int = 4, length: int = 9) -> tuple[Tensor, Tensor]:
    random = np.random.default_rng(0)
    ids = random.integers(0, PARAMS.vocabulary, (samples, length))
    mask = np.arange(length) < random.integers(1, length + 1, (samples, 1))
    return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))


@pytest.mark.parametrize(("rank", "embedding"), [(None, None), (8, None), (None, 12), (8, 12)])
def test_cost_equals_that_of_the_exported_file(
    rank: int | None, embedding: int | None, tmp_path: Path
) -> None:
    tail = (Dense(outputs=7, activation="tanh"), Dense(outputs=5))
    sizes = {"tail": tail, "rank": rank, "embedding": embedding, "normalise": False}
    params = PARAMS.model_copy(update=sizes)
    ids, mask = batch()
    feed = {"ids": ids.numpy(), "mask": mask.numpy()}
    model = export.feed_to_ir(random_encoder(params), feed, output_names=["y"])
    graph.optimise(model, feed, interface_of(model))
    graph.save(model, tmp_path / "encoder.onnx")
    weighed = account.complexity(tmp_path / "encoder.onnx", {n: (1, 9) for n in feed})
    wanted = params.costs(9)
    # Of positions the file keeps those that there are tokens for.
    unused = (params.positions - 9) * params.table_width
    assert (weighed.macs, weighed.params) in (
        (wanted.macs, wanted.params),
        (wanted.macs, wanted.params - unused),
    )


NARROW = PARAMS.model_copy(update={"embedding": 12})
RELATIVE = PARAMS.model_copy(update={"pad": 1, "distances": (1, 2, 4)})


def test_positions_and_relations_are_those_by_hand() -> None:
    ids = torch.tensor([[7, 1, 5, 9], [3, 4, 1, 1]])
    assert token_places(ids, None).tolist() == [0, 1, 2, 3]
    assert token_places(ids, 1).tolist() == [[1, 0, 2, 3], [1, 2, 0, 0]]
    # Rows 0 to 3 of those before and of the token itself, 4 to 7 of those behind.
    assert relations(torch.zeros(1, 6, 2), (1, 2, 4)).tolist() == [
        [0, 5, 6, 6, 7, 7],
        [1, 0, 5, 6, 6, 7],
        [2, 1, 0, 5, 6, 6],
        [2, 2, 1, 0, 5, 6],
        [3, 2, 2, 1, 0, 5],
        [3, 3, 2, 2, 1, 0],
    ]


@pytest.mark.parametrize("free", [False, True])
def test_relative_encoder_computes_the_same_in_its_file(free: bool, tmp_path: Path) -> None:
    encoder = random_encoder(RELATIVE)
    ids, mask = batch()
    ids = torch.where(mask > 0, ids.clamp(min=2), 1)
    feed = {"ids": ids.numpy(), "mask": mask.numpy()}
    names = {name: {1: "tokens"} for name in feed} if free else None
    model = export.feed_to_ir(encoder, feed, output_names=["y"], free_axes=names)
    graph.optimise(model, feed, interface_of(model))
    graph.save(model, tmp_path / "encoder.onnx")
    session = ort.InferenceSession(tmp_path / "encoder.onnx", providers=["CPUExecutionProvider"])
    for length in (9, 4, 15) if free else (9,):
        given = [functional.pad(x, (0, max(0, length - 9)))[:, :length] for x in (ids, mask)]
        given[0] = torch.where(given[1] > 0, given[0], 1)
        (got,) = session.run(None, {"ids": given[0].numpy(), "mask": given[1].numpy()})
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(got), encoder(*given), atol=1e-5, rtol=1e-5)
    if free:
        weighed = account.complexity(tmp_path / "encoder.onnx", {n: (1, 9) for n in feed})
        assert weighed.params == RELATIVE.costs(9).params == PARAMS.costs(9).params + 8 * 3


def masked(encoder: Encoder, small: Params, kept: tuple[int, ...], *tensors: Tensor) -> Tensor:
    """The whole network with everything that `small` lacks masked, normalisation over what is left; by hand."""
    state = dict(encoder.named_parameters())
    there = (torch.arange(PARAMS.hidden) < small.hidden).float()
    ids, counted = tensors[0], tensors[1].float()

    def norm(x: Tensor, name: str) -> Tensor:
        mean = (x * there).sum(-1, keepdim=True) / small.hidden
        var = ((x - mean).square() * there).sum(-1, keepdim=True) / small.hidden
        scaled = (x - mean) / (var + PARAMS.eps).sqrt()
        return (scaled * state[f"{name}.weight"] + state[f"{name}.bias"]) * there

    def linear(x: Tensor, name: str) -> Tensor:
        return functional.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    x = state["word.weight"][ids] + state["position.weight"][: ids.shape[1]]
    x = norm(x * there, "norm")
    for i in kept:
        at = f"layers.{i}"
        q, k, v = (
            linear(x, f"{at}.{n}").unflatten(-1, (PARAMS.heads, PARAMS.head_size)).transpose(1, 2)
            for n in ("query", "key", "value")
        )
        scores = q @ k.transpose(-1, -2) * PARAMS.scale
        scores = scores.masked_fill(counted[:, None, None, :] == 0, -1e9)
        seen = scores.softmax(-1) @ v
        seen[:, small.heads :] = 0
        x = norm(x + linear(seen.transpose(1, 2).flatten(2), f"{at}.out"), f"{at}.norm1")
        inner = functional.gelu(linear(x, f"{at}.up"))
        inner[..., small.ffn :] = 0
        x = norm(x + linear(inner, f"{at}.down"), f"{at}.norm2")
    pooled = (x * counted[:, :, None]).sum(1) / counted.sum(1, keepdim=True)
    return functional.normalize(linear(pooled, "tail.0"), dim=-1)


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [
        ({}, (0, 1, 2)),
        ({"layers": 2, "hidden": 16, "heads": 2, "ffn": 24}, (0, 2)),
        ({"layers": 1, "hidden": 8, "heads": 1, "ffn": 8}, (1,)),
    ],
)
def test_part_equals_the_masked_whole(sizes: dict[str, int], kept: tuple[int, ...]) -> None:
    plain = random_encoder(PARAMS)
    params, state = fresh_tail(PARAMS, plain.state_dict())
    whole = Encoder(params)
    whole.load_state_dict(state)
    tensors = batch()
    with torch.no_grad():
        torch.testing.assert_close(whole(*tensors), plain(*tensors))  # the tail changes nothing
    small = params.model_copy(update=sizes)
    part = Encoder(small)
    part.load_state_dict(sliced(state, params, small, kept))
    with torch.no_grad():
        wanted = masked(whole, small, kept, *tensors)
        torch.testing.assert_close(part(*tensors), wanted, atol=1e-5, rtol=1e-5)


def test_part_of_a_relative_one_is_the_whole_without_its_last_heads() -> None:
    encoder = random_encoder(RELATIVE)
    params, state = fresh_tail(RELATIVE, encoder.state_dict())
    whole, part = Encoder(params), Encoder(params.model_copy(update={"heads": 2}))
    part.load_state_dict(sliced(state, params, part.params, (0, 1, 2)))
    with torch.no_grad():
        whole.load_state_dict(state)
        for layer in whole.layers:
            layer.out.weight[:, 2 * RELATIVE.head_size :] = 0
        torch.testing.assert_close(part(*batch()), whole(*batch()), atol=1e-5, rtol=1e-5)


def test_part_of_one_with_narrow_embeddings_keeps_these() -> None:
    """All but the first dimensions at 0 in what widens embeddings is what a narrower part is given."""
    params, state = fresh_tail(NARROW, random_encoder(NARROW).state_dict())
    small = params.model_copy(update={"hidden": 16, "layers": 1})
    part = Encoder(small)
    part.load_state_dict(sliced(state, params, small, (1,)))
    whole = Encoder(params)
    whole.load_state_dict(state)
    given = dict(zip(params.inputs, batch(), strict=True))
    with torch.no_grad():
        torch.testing.assert_close(part.embedded(given), whole.embedded(given)[..., :16])


@pytest.mark.parametrize("known", [PARAMS, NARROW], ids=["wide", "narrow"])
def test_table_of_words_of_full_rank_computes_the_same(known: Params) -> None:
    encoder = random_encoder(known)
    counts = torch.arange(known.vocabulary).float()
    params, state = factorised(known, encoder.state_dict(), counts, known.table_width)
    again = Encoder(params)
    again.load_state_dict(state)
    with torch.no_grad():
        torch.testing.assert_close(again(*batch()), encoder(*batch()), atol=1e-5, rtol=1e-5)


def test_words_that_texts_have_lose_least_of_a_narrow_table() -> None:
    encoder = random_encoder(PARAMS)
    counts = torch.zeros(PARAMS.vocabulary)
    counts[:8] = 1e6  # eight rows around their mean are of rank seven
    params, state = factorised(PARAMS, encoder.state_dict(), counts, 7)
    made = state["word.weight"] @ state["factor.weight"].T + state["position.weight"][0]
    wanted = encoder.word.weight + encoder.position.weight[0]
    errors = (made - wanted).detach().norm(dim=1)
    assert float(errors[:8].max()) < 1e-2 < float(errors[8:].min())
    assert params.costs(9).params < PARAMS.costs(9).params


def test_larger_than_the_whole_is_refused() -> None:
    params, state = fresh_tail(PARAMS, random_encoder(PARAMS).state_dict())
    with pytest.raises(ConfigError, match="heads 4 is more than the 3"):
        sliced(state, params, params.model_copy(update={"heads": 4}), (0, 1, 2))
    with pytest.raises(ConfigError, match="alone"):
        sliced(state, params, params.model_copy(update={"head_size": 2}), (0, 1, 2))
