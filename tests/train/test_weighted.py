"""Losses in a sum: weights that change on the way, what goes together, and what a recipe is told that is wrong."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from squeeze import losses
from squeeze.errors import ConfigError
from squeeze.losses import LOSSES, Loss, Moment, Space, Start
from squeeze.losses.kd import KD
from squeeze.losses.mse import MSE
from squeeze.losses.weighted import Share, Weighted
from squeeze.outputs import Outputs
from squeeze.spec import DistillPart, Recipe, parse

EMPTY = Outputs(torch.zeros(1, 2))


class Constant(Loss):
    """What it is made with, which learns."""

    space: ClassVar[Space] = "classes"
    prepares: ClassVar[bool] = True

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))
        self.seen: list[int] = []

    def prepare(self, start: Start) -> None:
        self.seen.append(-1)

    def begin(self, moment: Moment) -> None:
        self.seen.append(moment.step)

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        return self.value


class OnTaps(Constant):
    """The same, of an embedding alone."""

    needs: ClassVar[frozenset[str]] = frozenset({"embedding"})
    space: ClassVar[Space] = "features"
    weight: ClassVar[float] = 50.0

    def __init__(self, temperature: float = 4.0, label_weight: float = 0.1) -> None:
        super().__init__(3.0)


def made(wanted: object, outputs: int = 3) -> Loss:
    part = parse(Recipe, {"name": "r", "distill": {"loss": wanted}}, "r.toml").distill
    return losses.make(
        part.loss,
        temperature=part.temperature,
        label_weight=part.label_weight,
        outputs=outputs,
        activation="none",
        metric="top1",
        classes=outputs,
    )


def test_terms_are_added_by_weights_that_go_in_a_straight_line() -> None:
    terms = {"a": Share(Constant(2.0), 1.0, 0.0), "b": Share(Constant(10.0), 0.5, 0.5)}
    loss = Weighted(terms)
    for step, expected in ((0, 2 + 5), (2, 1 + 5), (4, 0 + 5)):
        loss.begin(Moment(step, 5))
        assert loss(EMPTY, EMPTY, None).item() == pytest.approx(expected)
    loss(EMPTY, EMPTY, None).backward()  # type: ignore[no-untyped-call]
    gradients = {name: p.grad for name, p in loss.named_parameters()}
    assert gradients == {"terms.a.value": torch.tensor(0.0), "terms.b.value": torch.tensor(0.5)}


def test_terms_are_prepared_and_begin_each_step() -> None:
    one, other = Constant(1.0), Constant(2.0)
    loss = Weighted({"a": Share(one, 1, 1), "b": Share(other, 1, 1)})
    assert loss.prepares
    loss.prepare(Start(EMPTY, EMPTY, 1, lambda: iter(())))
    loss.begin(Moment(0, 1))
    assert one.seen == other.seen == [-1, 0]


def test_a_table_of_weights_and_options_makes_the_sum() -> None:
    loss = made({"kd": {"weight": 2.0, "temperature": 1.0}, "dkd": {"end_weight": 0.0, "beta": 8}})
    assert isinstance(loss, Weighted)
    kd, dkd = loss.shares["kd"], loss.shares["dkd"]
    assert (kd.weight, kd.end_weight, kd.loss.temperature) == (2.0, 2.0, 1.0)
    assert (dkd.weight, dkd.end_weight, dkd.loss.temperature) == (1.0, 0.0, 4.0)
    assert getattr(dkd.loss, "beta") == 8  # noqa: B009
    assert loss.space == "classes"


def test_one_term_of_weight_one_is_itself() -> None:
    loss = made({"auto": {"temperature": 2.0}})
    assert isinstance(loss, KD)
    assert loss.temperature == 2.0


def test_a_loss_on_taps_alone_goes_beside_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOSSES, "on-taps", OnTaps)
    loss = made("on-taps")
    assert isinstance(loss, Weighted)
    assert {n: s.weight for n, s in loss.shares.items()} == {"kd": 1.0, "on-taps": 50.0}
    assert loss.needs == losses.needs("on-taps") == {"embedding"}
    by_weight = made({"on-taps": 2.0})
    assert isinstance(by_weight, Weighted)
    assert {n: s.weight for n, s in by_weight.shares.items()} == {"kd": 1.0, "on-taps": 2.0}
    # A graph has no taps: what is left there is what reads logits.
    assert isinstance(losses.on_logits(loss), KD)
    assert losses.on_logits(OnTaps()) is None


def test_terms_for_other_kinds_of_outputs_do_not_go_together() -> None:
    with pytest.raises(ConfigError, match=r"distill.loss: .*'kd' classes, 'mse' values"):
        made({"kd": 1.0, "mse": 1.0})
    with pytest.raises(ValueError, match="different things"):
        Weighted({"kd": Share(KD(), 1, 1), "mse": Share(MSE(), 1, 1)})


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"kdd": 1.0}, r"distill.loss: unknown 'kdd'. Did you mean 'kd'"),
        ({"dkd": {"betta": 1}}, r"distill.loss.dkd: unknown 'betta'. Did you mean 'beta'"),
        ({"auto": {"beta": 1}}, r"distill.loss.auto: unknown 'beta'"),
        ({"kd": {"temperature": 0}}, r"'kd': temperature must be above 0 \(got 0\)"),
        ({"kd": {"label_weight": 2}}, r"'kd': label_weight must be in 0..1 \(got 2\)"),
        ({"kd": 0.0}, "all weights are 0"),
        ({"auto": 1.0, "kd": 1.0}, "'auto' is 'kd' here, which is named beside it"),
        ({"kd": -1.0}, r"r.toml: distill.loss.kd.weight: .* greater than or equal to 0"),
        ({"kd": "much"}, "'kd' takes a weight, or a table such as"),
        ({}, "takes the name of a loss, or a table of names and weights"),
        (7, "takes the name of a loss, or a table of names and weights"),
    ],
    ids=str,
)
def test_a_wrong_sum_is_said(wanted: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        made(wanted)


def test_a_name_is_the_same_key_as_ever() -> None:
    assert DistillPart().key()["loss"] == "auto"
    table = DistillPart.model_validate({"loss": {"kd": 1, "dkd": {"beta": 2}}})
    again = DistillPart.model_validate(table.key())
    assert again == table
    assert table.key()["loss"]["dkd"] == {"weight": 1.0, "end_weight": None, "beta": 2.0}
