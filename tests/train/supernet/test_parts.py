"""Which parts there are, which matter, and what they learn: against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from squeeze.losses import LOSSES
from squeeze.outputs import Outputs
from squeeze.students.encoder import Encoder, Params, fresh_tail
from squeeze.train.supernet.choice import Scored, best
from squeeze.train.supernet.importance import importance, sort
from squeeze.train.supernet.objective import (
    Objective,
    divergence,
    pairs,
    relation,
    relation_heads,
    states,
)
from squeeze.train.supernet.space import NAMES, sub_space
from tests.students.test_encoder import PARAMS, batch, random_encoder

BERT_BASE = PARAMS.model_copy(
    update={"layers": 12, "hidden": 768, "heads": 12, "head_size": 64, "ffn": 3072}
)


@pytest.mark.parametrize("name", NAMES)
def test_parts_of_a_space_are_all_there_and_distinct(name: str) -> None:
    space = sub_space(name, BERT_BASE)  # type: ignore[arg-type]
    children = space.children(BERT_BASE)
    count = math.prod(len(x) for x in (space.layers, space.heads, space.hidden, space.ffn))
    assert len(children) == count
    assert len({(c.layers, c.heads, c.hidden, c.ffn) for c in children}) == count
    assert {c.head_size for c in children} == {64}
    assert all(c.hidden % 16 == 0 and c.ffn % 16 == 0 for c in children)
    sizes = [c.costs(16).macs for c in children]
    assert (sizes.index(min(sizes)), sizes.index(max(sizes))) == (0, count - 1)


def test_spaces_are_one_below_the_other_and_the_largest_is_the_teacher() -> None:
    largest = [sub_space(name, BERT_BASE).children(BERT_BASE)[-1] for name in NAMES]
    assert largest[0] == BERT_BASE
    macs = [child.costs(16).macs for child in largest]
    assert macs == sorted(macs, reverse=True)


def test_words_get_fewer_columns_where_a_limit_leaves_no_room_for_all() -> None:
    params = PARAMS.model_copy(update={"vocabulary": 1000, "hidden": 64})
    costs = params.costs(9)
    scored = [Scored(params, costs.params, costs.macs, 0.5)]
    assert best(scored, 1e9, costs.params, 9) == scored[0]
    # A column costs 1000 numbers of the table and 64 of what it is multiplied by; columns come in sixteens.
    beside = costs.params - 64_000
    found = best(scored, 1e9, beside + 40 * 1064, 9)
    assert found is not None
    assert found.params.rank == 32
    assert found.parameters == beside + 32 * 1064
    assert found.macs == costs.macs + 9 * 32 * 64
    assert best(scored, 1e9, beside + 15 * 1064, 9) is None


@pytest.mark.parametrize(
    "known",
    [
        PARAMS,
        PARAMS.model_copy(update={"pad": 1, "distances": (1, 2, 4)}),
        PARAMS.model_copy(update={"embedding": 12}),
    ],
    ids=["absolute", "relative", "narrow"],
)
def test_sorted_encoder_computes_the_same(known: Params) -> None:
    encoder = random_encoder(known)
    found = importance(encoder, [batch()], seed=0)
    params, state = fresh_tail(known, encoder.state_dict())
    again = Encoder(params)
    again.load_state_dict(sort(params, state, found))
    with torch.no_grad():
        torch.testing.assert_close(again(*batch()), encoder(*batch()), atol=1e-5, rtol=1e-5)
    assert sorted(found.kept) == [1, 2, 3]
    assert all(len(layers) == count for count, layers in found.kept.items())


def test_what_does_nothing_comes_last() -> None:
    encoder = random_encoder(PARAMS)
    with torch.no_grad():
        encoder.layers[1].out.weight[:, 4:8] = 0  # its head 1
        encoder.layers[0].down.weight[:, 7] = 0
        # Layer 2 gives what it is given: normalisation of what is normalised already.
        for linear in (encoder.layers[2].out, encoder.layers[2].down):
            linear.weight.zero_()
            linear.bias.zero_()
        for norm in (encoder.layers[1].norm2, encoder.layers[2].norm1, encoder.layers[2].norm2):
            norm.weight.fill_(1)
            norm.bias.zero_()
    found = importance(encoder, [batch()], seed=0)
    assert int(found.heads[1].argmin()) == 1
    assert float(found.heads[1, 1]) == 0
    assert int(found.ffn[0].argmin()) == 7
    assert found.kept[2] == (0, 1)


def test_relations_of_equal_networks_are_equal_whatever_their_heads() -> None:
    torch.manual_seed(0)
    x, mask = torch.randn(2, 5, 64), torch.tensor([[1.0] * 5, [1, 1, 0, 0, 0]])
    assert float(relation(x, x, mask)) == pytest.approx(0, abs=1e-6)
    # Rotation within a head of relations changes no relation.
    rotation, _ = torch.linalg.qr(torch.randn(32, 32))
    turned = torch.cat([x[..., :32] @ rotation, x[..., 32:] @ rotation], -1)
    assert relation_heads(64, 64) == 2
    assert float(relation(turned, x, mask)) == pytest.approx(0, abs=1e-5)
    assert float(relation(torch.randn(2, 5, 96), x, mask)) > 0.1


def test_relation_of_two_tokens_is_as_by_hand() -> None:
    teacher = torch.tensor([[[1.0], [0.0]]])
    student = torch.zeros(1, 2, 1)
    # Of the first token softmax(1, 0) against (1/2, 1/2), of the second both are (1/2, 1/2).
    p = math.e / (1 + math.e)
    first = p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))
    mask = torch.ones(1, 2)
    assert float(relation(student, teacher, mask)) == pytest.approx(first / 2, abs=1e-6)


def test_divergence_of_attention_is_as_by_hand_and_leaves_padding_out() -> None:
    # Two heads of one number each. Of the teacher both queries ask for the first key in head 0 and for none in head 1.
    queries = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    keys = torch.tensor([[[math.log(3), 5.0], [0.0, 5.0]]])
    student = torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)
    # (3/4, 1/4) against (1/2, 1/2) in one of two heads.
    wanted = (3 / 4 * math.log(3 / 2) + 1 / 4 * math.log(1 / 2)) / 2
    found = divergence(student, (queries, keys), 2, torch.ones(1, 2))
    assert float(found) == pytest.approx(wanted, abs=1e-6)
    # With the second token left out there is one key to look at.
    assert float(divergence(student, (queries, keys), 2, torch.tensor([[1.0, 0.0]]))) == 0


def test_attention_is_of_the_heads_that_compute_it_and_nothing_for_the_teacher_itself() -> None:
    teacher = random_encoder(PARAMS)
    with torch.no_grad():
        wanted = teacher.taps(*batch())
        objective = Objective(
            LOSSES["cosine"](),
            pairs=0,
            states=0,
            relations=0,
            attention=1,
            head_size=PARAMS.head_size,
        )
        assert float(objective(wanted, wanted, lambda x: x)) == pytest.approx(0, abs=1e-6)
        other = random_encoder(PARAMS, seed=1).taps(*batch())
        found = objective(other, wanted, lambda x: x) - LOSSES["cosine"]()(other, wanted, None)
    shares = []
    for taps in (wanted.taps, other.taps):
        q, k = (
            taps[n].unflatten(-1, (PARAMS.heads, PARAMS.head_size)).transpose(1, 2).double()
            for n in ("queries", "keys")
        )
        scores = q @ k.transpose(-1, -2) / math.sqrt(PARAMS.head_size)
        scores = scores.masked_fill(taps["mask"][:, None, None, :] == 0, -1e4)
        shares.append(scores.softmax(-1))
    p, q = shares
    rows = (p * (p / q.clamp_min(1e-30)).clamp_min(1e-30).log()).sum(-1).mean(1)  # over heads
    mask = wanted.taps["mask"]
    assert float(found) == pytest.approx(float((rows * mask).sum() / mask.sum()), rel=1e-3)


def test_states_and_pairs_leave_padding_and_length_out() -> None:
    teacher = torch.tensor([[[2.0, 0.0], [9.0, 9.0]]])
    student = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    assert float(states(student, teacher, torch.tensor([[1.0, 0.0]]))) == pytest.approx(1 / 4)
    a, b = torch.tensor([[1.0, 0], [0, 1]]), torch.tensor([[3.0, 0], [0, 5]])
    assert float(pairs(a, b)) == pytest.approx(0, abs=1e-7)
    # One pair, counted twice of four, has a cosine of 1 instead of 0.
    assert float(pairs(torch.ones(2, 2), b)) == pytest.approx(2 / 4)


def test_objective_of_the_teacher_itself_is_nothing_and_has_a_gradient_elsewhere() -> None:
    teacher = random_encoder(PARAMS)
    with torch.no_grad():
        wanted = teacher.taps(*batch())
    objective = Objective(LOSSES["cosine"]())
    own = objective(teacher.taps(*batch()), wanted, lambda x: x)
    assert float(own.detach()) == pytest.approx(0, abs=1e-5)
    other = random_encoder(PARAMS, seed=1)
    found: Outputs[torch.Tensor] = other.taps(*batch())
    loss = objective(found, wanted, lambda x: x)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) > 0.1
    assert all(p.grad is not None for p in other.layers[-1].parameters())
