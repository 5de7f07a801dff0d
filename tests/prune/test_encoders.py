"""Heads and channels of text encoders: what is cut is what was masked; importances against slow ways to the same."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from squeeze import account, export, graph
from squeeze.errors import ConfigError
from squeeze.outputs import Outputs
from squeeze.prune.encoders import IMPORTANCES, Parts, Seen
from squeeze.prune.encoders.cut import cut
from squeeze.prune.encoders.movement import Movement, share_at
from squeeze.prune.encoders.planning import Plan, plan
from squeeze.spec import PrunePart
from squeeze.students.encoder import Dense, Encoder, Gates, Params, Widths, gated, without
from squeeze.train.supernet.inherited import encoder_of
from tests.feeds import interface_of
from tests.students.test_encoder import PARAMS, batch, random_encoder

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = PARAMS.model_copy(update={"tail": (Dense(outputs=3),), "normalise": False})
STAYS = Plan(((1,), (0, 2), (0, 1, 2)), (tuple(range(8)), tuple(range(3, 27)), tuple(range(40))))


def masks(stays: Plan) -> Gates:
    """Gates of 1 for what stays, 0 for the rest."""

    def mask(kept: tuple[int, ...], count: int) -> Tensor:
        return torch.tensor([float(i in kept) for i in range(count)])

    return Gates([mask(h, PARAMS.heads) for h in stays.heads], [mask(f, 40) for f in stays.ffn])


def test_what_is_cut_computes_what_is_masked() -> None:
    encoder = random_encoder(PARAMS)
    x = batch()
    with torch.no_grad():
        wanted, _ = gated(encoder, x, masks(STAYS))
        found = without(encoder, STAYS.heads, STAYS.ffn)(*x)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_layers_that_differ_cost_and_are_read_back_as_their_file(tmp_path: Path) -> None:
    encoder = without(random_encoder(CLASSES), STAYS.heads, STAYS.ffn)
    ids, mask = batch()
    feed = {"ids": ids.numpy(), "mask": mask.numpy()}
    model = export.feed_to_ir(encoder, feed, output_names=["y"])
    graph.optimise(model, feed, interface_of(model))
    graph.save(model, tmp_path / "encoder.onnx")
    weighed = account.complexity(tmp_path / "encoder.onnx", {n: (1, 9) for n in feed})
    assert weighed.macs == encoder.params.costs(9).macs
    read = encoder_of(graph.load(tmp_path / "encoder.onnx"))
    assert read.params.each == tuple(Widths(heads=h, ffn=f) for h, f in ((1, 8), (2, 24), (3, 40)))
    with torch.no_grad():
        torch.testing.assert_close(read(ids, mask), encoder(ids, mask), rtol=1e-4, atol=1e-5)


def test_layers_without_their_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="got 1 entries for 3 layers"):
        Params.model_validate({**PARAMS.model_dump(), "each": [{"heads": 1, "ffn": 8}]})


def test_least_for_its_multiplications_goes_first() -> None:
    params = PARAMS.model_copy(update={"layers": 1, "ffn": 10})
    # Of one token a head has 4 * (4 * 24 + 2) = 392 MACs and a channel 48; all together 3 * 392 + 480 = 1656.
    scores = Parts([np.array([392.0, 3920.0, 39.2])], [np.arange(10.0) * 48])
    assert params.costs(1).macs == 1656

    def stays(share: float, align: int = 4) -> Plan:
        return plan(scores, params, tokens=1, share=share, align=align)

    assert stays(0.0) == Plan(((0, 1, 2),), (tuple(range(10)),))
    # A head at 0.1 a MAC goes before two channels at 0.5 (10 to the 8 that are aligned), and they before four at 3.5.
    assert stays(392 / 1656) == Plan(((0, 1),), (tuple(range(10)),))
    assert stays((392 + 96) / 1656) == Plan(((0, 1),), (tuple(range(2, 10)),))
    # Then the head at 1; what matters most stays, and four channels.
    assert stays((2 * 392 + 96) / 1656) == Plan(((1,),), (tuple(range(2, 10)),))
    assert stays(0.99) == Plan(((1,),), (tuple(range(6, 10)),))


def test_each_layer_loses_the_same_share_when_asked() -> None:
    random = np.random.default_rng(0)
    scores = Parts([random.random(3) * i for i in (1, 50, 900)], [random.random(40)] * 3)
    found = plan(scores, PARAMS, tokens=9, share=0.33, scope="group")
    assert [len(h) for h in found.heads] == [2, 2, 2]
    widths = [len(f) for f in found.ffn]
    assert max(widths) - min(widths) <= 8  # the last to go, of 8


def test_head_importance_is_the_mean_of_each_samples_own_slope() -> None:
    encoder, x = random_encoder(CLASSES).double(), batch(6)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    found = IMPORTANCES["head"](encoder, [Seen(x, labels)], seed=0)

    def loss(sample: int, layer: int, kind: str, part: int, value: float) -> float:
        gates = Gates(*([torch.ones(n).double() for _ in range(3)] for n in (3, 40)))
        getattr(gates, kind)[layer][part] = value
        one = [t[sample : sample + 1] for t in x]
        with torch.no_grad():
            logits, _ = gated(encoder, one, gates)
        return float(functional.cross_entropy(logits, labels[sample : sample + 1]))

    def slope(layer: int, kind: str, part: int) -> float:
        at = [
            (loss(i, layer, kind, part, 1.001) - loss(i, layer, kind, part, 0.999)) / 0.002
            for i in range(6)
        ]
        return float(np.abs(at).mean())

    heads = np.array([slope(1, "heads", part) for part in range(3)])
    norm = np.linalg.norm(heads)
    np.testing.assert_allclose(found.heads[1], heads / norm, rtol=1e-3)
    assert found.ffn[1][7] == pytest.approx(slope(1, "ffn", 7) / norm, rel=1e-3)


@pytest.mark.parametrize("labels", [None, torch.zeros(4, 2)])
def test_head_importance_without_labels_of_outputs_is_refused(labels: Tensor | None) -> None:
    with pytest.raises(ConfigError, match="'head' needs a class or values"):
        IMPORTANCES["head"](random_encoder(PARAMS), [Seen(batch(), labels)], seed=0)


class Squared(torch.nn.Module):
    """A loss, by hand."""

    def forward(self, student: Outputs[Tensor], teacher: Outputs[Tensor], _: Any) -> Tensor:
        return (student.logits - teacher.logits).square().sum()


class Lesson:
    loss, mean, spread = Squared(), np.zeros(1, np.float32), 1.0


class Given:
    """What of batches a learner looks at when it is made."""

    lesson, device = Lesson(), "cpu"


def moving(encoder: Encoder, begins: Parts, share: float, steps: int = 10) -> Movement:
    def planned(scores: Parts, wanted: float) -> Plan:
        return plan(scores, encoder.params, tokens=9, share=wanted)

    given: Any = Given()
    return Movement(encoder, begins, given, planned, share=share, steps=steps, lr=1e-3)


def test_scores_move_by_the_weights_that_move_away() -> None:
    encoder, x = random_encoder(PARAMS), batch()
    begins = Parts([np.array([3.0, 1.0, 2.0])] * 3, [np.arange(40.0)] * 3)
    learner = moving(encoder, begins, 0.4)
    learner.begin(9)
    named = dict(zip(("ids", "mask"), x, strict=True))
    target = Outputs(torch.zeros(4, PARAMS.hidden))
    learner.loss(learner.outputs(named), target, None).backward()
    # By hand: the masked weights themselves are the variables, and each score's slope is sum w * dL/dw over those
    # that take what the part gives, masked ones too.
    stays = learner.stays(0.4)
    assert any(len(h) < 3 for h in stays.heads)
    masked, gates = copy.deepcopy(encoder), masks(stays)
    with torch.no_grad():
        for layer, head, channel in zip(masked.layers, gates.heads, gates.ffn, strict=True):
            layer.out.weight.mul_(head.repeat_interleave(PARAMS.head_size))
            layer.down.weight.mul_(channel)
    Squared()(Outputs(masked(*x)), target, None).backward()
    for i in range(3):
        moved = masked.layers[i].out.weight.grad * encoder.layers[i].out.weight
        wanted = moved.sum(0).reshape(3, PARAMS.head_size).sum(1)
        torch.testing.assert_close(learner.scores[i].grad, wanted, rtol=1e-3, atol=1e-4)
        moved = masked.layers[i].down.weight.grad * encoder.layers[i].down.weight
        torch.testing.assert_close(learner.scores[3 + i].grad, moved.sum(0), rtol=1e-3, atol=1e-4)


def test_share_grows_by_a_cube_and_then_stays() -> None:
    # T is 7 of 10 steps: 0.5 * (1 - (6 / 7)^3) after the first.
    assert share_at(0, 10, 0.5) == pytest.approx(0.5 * (1 - (6 / 7) ** 3))
    assert share_at(6, 10, 0.5) == share_at(9, 10, 0.5) == 0.5


def test_head_that_says_nothing_is_found() -> None:
    encoder = random_encoder(PARAMS)
    with torch.no_grad():
        encoder.layers[1].out.weight[:, 4:8] = 0  # of head 1
    scores = IMPORTANCES["distillation"](encoder, [Seen(batch())], seed=0)
    assert scores.heads[1][1] == pytest.approx(0, abs=1e-12)
    stays = plan(scores, PARAMS, tokens=9, share=0.03)
    assert stays.heads == ((0, 1, 2), (0, 2), (0, 1, 2))
    made = cut(encoder, stays, 9)
    assert made.removed == {"layers.1.heads": (3, 2)}
    with torch.no_grad():
        torch.testing.assert_close(made.module(*batch()), encoder(*batch()))


def test_part_of_a_recipe_takes_both_names() -> None:
    assert PrunePart(importance="movement").importance == "movement"
    assert PrunePart(importance="head").importance == "head"
