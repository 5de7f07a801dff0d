"""What gates and learners learn, and how many tokens a learner gets: on numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from squeeze.students.encoder import adaptive
from squeeze.train.adaptive.budget import Drawn, diversity, evenness, from_choice, over_budget
from squeeze.train.adaptive.capacity import capacities
from squeeze.train.adaptive.modules import distance, errors, labels, ratio_for, seen_of
from tests.students.test_encoder import PARAMS, batch, random_encoder

ERRORS = torch.tensor(
    [
        [8.0, 4.0, 2.0, 1.0],  # each learner halves it
        [8.0, 7.0, 1.0, 0.9],  # the first does too little
        [8.0, 4.0, 3.9, 1.0],  # one is enough
        [1.0, 1.0, 1.0, 0.0],
    ]
)


def test_label_is_the_first_learner_that_is_not_worth_it() -> None:
    assert labels(ERRORS).tolist() == [3, 0, 1, 0]
    assert labels(ERRORS, 2.1).tolist() == [0, 0, 0, 0]


def test_ratio_is_the_published_one_unless_it_asks_for_too_much() -> None:
    # Of 12 learners the labels at 1.2 ask for 4.
    assert ratio_for([ERRORS], 0.5) == 1.2
    ratio = ratio_for([ERRORS], 0.2)
    assert ratio == pytest.approx(2.0, abs=1e-6)
    assert labels(ERRORS, ratio).sum() == 0


def test_whole_prefix_of_the_teacher_is_the_teacher() -> None:
    encoder = random_encoder(PARAMS)
    seen = seen_of(encoder, batch())
    assert [layer.x.shape for layer in seen] == [(int(batch()[1].sum()), PARAMS.hidden)] * 3
    cut = adaptive(encoder, 4)
    for one, layer in zip(cut.of_layers, seen, strict=True):
        found = errors(one, layer)
        torch.testing.assert_close(found[:, 0], layer.y.square().sum(-1))
        assert (found[:, 4] / found[:, 0]).max() < 1e-10
    shares = [
        errors(one, layer).sum(0) / layer.y.square().sum()
        for one, layer in zip(cut.of_layers, seen, strict=True)
    ]
    wanted = torch.stack([share[1:] for share in shares]).mean()
    torch.testing.assert_close(distance(cut.of_layers, seen), wanted)


def test_choice_of_k_opens_the_first_k() -> None:
    chosen = torch.eye(4)
    wanted = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert from_choice(chosen).tolist() == wanted


@pytest.mark.parametrize(("choice", "share"), [(0, 0.0), (2, 0.5), (4, 1.0)])
def test_gates_that_are_sure_draw_what_they_say(choice: int, share: float) -> None:
    cut = adaptive(random_encoder(PARAMS), 4)
    for learners in cut.of_layers:
        last = learners.gate[-1]
        torch.nn.init.zeros_(last.weight)
        last.bias.data = torch.full((5,), -100.0).index_fill(0, torch.tensor(choice), 100.0)
    drawn = Drawn()
    tensors = batch()
    with torch.no_grad():
        found = cut.taps(*tensors, way=drawn).logits
        prefix = cut.taps(*tensors, way=lambda one, x, _: [0 * x, *one.prefixes(x)][choice]).logits
    torch.testing.assert_close(found, prefix)
    mask = tensors[1].float()
    assert over_budget(drawn.shares, mask, share) == 0
    assert over_budget(drawn.shares, mask, 0.75) == abs(0.75 - share)


def test_padding_costs_nothing() -> None:
    mask = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    shares = [torch.tensor([[1.0, 0.5], [0.0, 1.0]]), torch.tensor([[0.0, 0.0], [0.0, 1.0]])]
    assert over_budget(shares, mask, 0.25) == 0
    # The first sample costs (0.75 + 0) / 2, the other nothing: two of four pairs differ by 0.375.
    assert diversity(shares, mask) == 0.375


def test_evenness_is_whole_where_all_choices_are_made_alike() -> None:
    mask = torch.tensor([[1.0, 1.0, 0.0]])
    even = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]])
    uneven = torch.tensor([[[0.9, 0.1], [0.9, 0.1], [0.0, 1.0]]])
    assert float(evenness([even], mask)) == pytest.approx(1.0)
    wanted = -(0.9 * math.log2(0.9) + 0.1 * math.log2(0.1))
    assert float(evenness([even, uneven], mask)) == pytest.approx((1 + wanted) / 2)


def test_capacities_are_what_gates_ask_for() -> None:
    gate = torch.tensor([[5.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 5.0]])
    # Two of three tokens ask for a first learner and one for a second: half of all.
    assert capacities([gate], 0.5) == [[43, 22]]
    # With a reward of 2.5 the first asks for two, where there is room for them.
    assert capacities([gate], 0.9) == [[64, 43]]


def test_price_takes_learners_where_they_are_missed_least() -> None:
    gate = torch.tensor([[0.0, 9.0], [0.0, 1.0], [0.0, 2.0], [0.0, 7.0]])
    other = torch.tensor([[0.0, 3.0], [0.0, 4.0], [0.0, 5.0], [0.0, 6.0]])
    assert capacities([gate, other], 0.5) == [[32], [32]]
    assert capacities([gate, other], 0.125) == [[16], [0]]
