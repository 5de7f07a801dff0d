"""Tokens get as many learners as they want and there are places for: against loops over tokens, and as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from torch.nn import functional

from squeeze import account, export, graph, students
from squeeze.spec import ArchSpec
from squeeze.students.encoder import (
    AdaptiveEncoder,
    AdaptiveParams,
    Learners,
    Params,
    Patches,
    adaptive,
    with_capacities,
)
from tests.feeds import interface_of
from tests.students.test_encoder import PARAMS, batch, random_encoder

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MIXED = [[64, 64, 64, 64], [64, 40, 20, 0], [50, 20, 20, 3]]


def made(params: Params = PARAMS, capacities: list[list[int]] = MIXED) -> AdaptiveEncoder:
    """With gates at random, which tell tokens apart."""
    found = with_capacities(adaptive(random_encoder(params), 4), capacities)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for learners in found.of_layers:
            for value in learners.gate.parameters():
                value.normal_(0, 0.7, generator=generator)
    return found


def by_hand(learners: Learners, x: NDArray[np.float64], counted: int) -> NDArray[np.float64]:
    """For one sample [s, hidden], token after token."""

    def linear(layer: torch.nn.Module, y: NDArray[np.float64]) -> NDArray[np.float64]:
        assert isinstance(layer, torch.nn.Linear)
        found: NDArray[np.float64] = (
            y @ layer.weight.double().numpy().T + layer.bias.double().numpy()
        )
        return found

    first, _, second, _, third = learners.gate
    wishes = []
    for token in x[:counted]:
        y = np.maximum(linear(second, np.maximum(linear(first, token), 0)), 0)
        scores = np.exp(linear(third, y))
        wishes.append(float((scores / scores.sum() * np.arange(len(scores))).sum()))
    order = sorted(range(counted), key=lambda i: -wishes[i])
    total = np.zeros_like(x)
    for part, capacity in zip(learners.each, learners.capacities, strict=True):
        for token in order[: int(np.ceil(counted * capacity / 64))]:
            inner = functional.gelu(torch.from_numpy(linear(part.up, x[token]))).numpy()
            total[token] += linear(part.down, inner)
    return total


def test_all_learners_of_all_tokens_are_the_encoder() -> None:
    encoder, x = random_encoder(PARAMS), batch()
    order = [torch.randperm(40, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    with torch.no_grad():
        torch.testing.assert_close(adaptive(encoder, 3, order)(*x), encoder(*x))


def test_no_learners_leave_the_sum_as_it_is() -> None:
    encoder, (ids, mask) = random_encoder(PARAMS), batch()
    nothing = with_capacities(adaptive(encoder, 4), [[0] * 4] * 3)
    with torch.no_grad():
        given = {"ids": ids, "mask": mask}
        x = encoder.embedded(given)
        added = encoder.added(x, encoder.mask(given))
        for layer in encoder.layers:
            x = layer(x, added, fed=torch.zeros_like)
        torch.testing.assert_close(nothing(ids, mask), encoder.ending(x, encoder.mask(given)))


@pytest.mark.parametrize("capacities", [*MIXED[1:], [33, 0, 0, 0]])
def test_tokens_that_want_most_have_the_learners(capacities: list[int]) -> None:
    learners = made(capacities=[capacities] * 3).of_layers[0]
    x = torch.randn(5, 9, PARAMS.hidden, generator=torch.Generator().manual_seed(2))
    counts = [9, 1, 4, 7, 2]
    mask = (torch.arange(9) < torch.tensor(counts)[:, None]).float()
    with torch.no_grad():
        got = learners(x, mask).double().numpy()
        for sample, count, found in zip(x.double().numpy(), counts, got, strict=True):
            wanted = by_hand(learners, sample, count)
            np.testing.assert_allclose(found[:count], wanted[:count], rtol=1e-4, atol=1e-4)


def test_text_gives_the_same_alone_and_filled_up_beside_others() -> None:
    encoder, (ids, mask) = made(), batch(6, 12)
    with torch.no_grad():
        together = encoder(ids, mask)
        for i in range(6):
            count = int(mask[i].sum())
            alone = encoder(ids[i : i + 1, :count], mask[i : i + 1, :count])
            torch.testing.assert_close(alone[0], together[i], rtol=1e-4, atol=1e-5)


def test_file_computes_the_same_in_all_sizes_and_costs_what_it_says(tmp_path: Path) -> None:
    encoder, (ids, mask) = made(), batch()
    feed = {"ids": ids.numpy(), "mask": mask.numpy()}
    free = {name: {1: "tokens"} for name in feed}
    model = export.feed_to_ir(encoder, feed, output_names=["y"], free_axes=free)
    graph.optimise(model, feed, interface_of(model))
    graph.save(model, tmp_path / "adaptive.onnx")
    session = ort.InferenceSession(tmp_path / "adaptive.onnx")
    for samples, length in ((1, 1), (1, 16), (5, 13)):
        some = batch(samples, length)
        given = {"ids": some[0].numpy(), "mask": some[1].numpy()}
        with torch.no_grad():
            wanted = encoder(*some).numpy()
        np.testing.assert_allclose(session.run(None, given)[0], wanted, rtol=1e-4, atol=1e-4)
    weighed = account.complexity(tmp_path / "adaptive.onnx", {n: (1, 9) for n in feed})
    assert weighed.macs == encoder.params.costs(9).macs


def test_file_with_one_place_for_a_learner_takes_texts_that_have_two() -> None:
    params = PARAMS.model_copy(update={"positions": 80})
    encoder = made(params, [[56, 1, 1, 0], [64, 64, 1, 1], [1, 1, 1, 1]])
    ids, mask = batch(3, 64)
    feed = {"ids": ids.numpy(), "mask": mask.numpy()}
    free = {name: {1: "tokens"} for name in feed}
    model = export.feed_to_ir(encoder, feed, output_names=["y"], free_axes=free)
    session = ort.InferenceSession(ir.serde.serialize_model(model).SerializeToString())
    for length in (64, 65, 80):
        some = batch(3, length)
        given = {"ids": some[0].numpy(), "mask": some[1].numpy()}
        with torch.no_grad():
            wanted = encoder(*some).numpy()
        np.testing.assert_allclose(session.run(None, given)[0], wanted, rtol=1e-4, atol=1e-4)


def test_parameters_are_those_that_are_used() -> None:
    encoder = made()
    # Gates ask for nothing where all tokens have all learners, and the last learner of the second layer has no token.
    unused = ("learners.0.gate.", "learners.1.parts.3.")
    used = [p.numel() for n, p in encoder.named_parameters() if not n.startswith(unused)]
    assert encoder.params.costs(9).params == sum(used)


def test_image_encoder_has_places_for_its_patches(tmp_path: Path) -> None:
    params = PARAMS.model_copy(
        update={
            "inputs": ("image",),
            "ids": "image",
            "mask": None,
            "patches": Patches(channels=1, size=(6, 6), patch=(2, 2), class_tokens=1),
            "norm_first": True,
            "vocabulary": 0,
            "positions": 10,
            "pooling": "first",
        }
    )
    encoder = made(params)
    images = torch.randn(3, 1, 6, 6, generator=torch.Generator().manual_seed(3))
    model = export.to_ir(encoder, images.numpy(), input_name="image", output_name="y")
    graph.save(model, tmp_path / "adaptive.onnx")
    session = ort.InferenceSession(tmp_path / "adaptive.onnx")
    with torch.no_grad():
        wanted = encoder(images[:2]).numpy()
    (got,) = session.run(None, {"image": images[:2].numpy()})
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("capacities", "learners", "why"),
    [
        ([[64, 64], [64, 65], [64, 64]], 2, "less than or equal to 64"),
        ([[64, 64], [20, 30], [64, 64]], 2, "no learner has more tokens than those before it"),
        ([[64, 64], [64, 64]], 2, r"got \[2, 2\] of 3 layers of 2"),
        ([[64] * 41] * 3, 41, "got 41 for a layer of 40 channels"),
    ],
)
def test_what_no_learners_can_be_is_refused(
    capacities: list[list[int]], learners: int, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        AdaptiveParams.model_validate(
            {"encoder": PARAMS, "learners": learners, "capacities": capacities}
        )


def test_description_makes_the_network_again() -> None:
    encoder = made()
    arch = ArchSpec(family=students.ADAPTIVE, params=encoder.params.model_dump(mode="json"))
    again = students.rebuild(ArchSpec.model_validate_json(arch.model_dump_json())).eval()
    again.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(again(*batch()), encoder(*batch()))
