"""Distillation losses against numbers worked out with NumPy, and the contract that all of them keep."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from squeeze import losses, students
from squeeze.errors import ConfigError
from squeeze.losses import LOSSES, USUAL, Loss, Moment, Space, Start, choose, dkd
from squeeze.losses.dist import DIST
from squeeze.losses.dkd import DKD
from squeeze.losses.kd import KD
from squeeze.outputs import Outputs

N, C = 32, 7
ROW_SHIFT_INVARIANT = ["bdkd", "dist", "dkd", "kd", "nkd", "pld", "sinkd", "ssld", "taid"]
ZERO_AT_THE_TEACHER = [
    "at",
    "bce",
    "bdkd",
    "bpkd",
    "cc",
    "cosine",
    "cwd",
    "dist",
    "dkd",
    "kd",
    "mse",
    "pixel_kd",
    "pkt",
    "rkd",
    "sp",
    "ssld",
    "trg",
]


def outputs(logits: Tensor) -> Outputs[Tensor]:
    """Taps that are wider than the logits, and not the same at every place."""
    places = torch.stack([logits, logits.roll(1, 1), 2 * logits, -logits.flip(1)], -1)
    taps = {
        "embedding": torch.cat([logits.roll(k, 0) for k in range(4)], 1),
        "feature_map": places.view(*logits.shape, 2, 2),
    }
    return Outputs(logits, taps)


def value(loss: Loss, student: Tensor, teacher: Tensor, labels: Tensor | None = None) -> Tensor:
    """Of logits that are taps, too; what a loss has of its own comes from the same seed each time."""
    a, b = outputs(student), outputs(teacher)
    if loss.space == "places":
        a, b = (Outputs(found.taps["feature_map"]) for found in (a, b))
        labels = None if labels is None else labels[:, None, None].expand(-1, 2, 2)
    if loss.prepares:
        torch.manual_seed(0)
        seen = [outputs(z.detach()) for z in (student, teacher)]
        loss.prepare(Start(seen[0], seen[1], len(student), lambda: iter([(seen[1], labels)])))
    loss.begin(Moment(0, 2, torch.arange(len(student))))
    return loss(a, b, labels)


@pytest.fixture
def pair() -> tuple[Tensor, Tensor, Tensor]:
    random = np.random.default_rng(0)
    student, teacher = (torch.from_numpy(3 * random.normal(size=(N, C))) for _ in range(2))
    return student, teacher, torch.from_numpy(random.integers(0, C, N))


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))


def kl(p: np.ndarray, q: np.ndarray) -> float:
    return float((p * np.log(p / q)).sum(1).mean())


def cross_entropy(z: np.ndarray, y: np.ndarray) -> float:
    return float(-np.log(softmax(z)[np.arange(len(y)), y]).mean())


def test_every_file_is_in_the_table() -> None:
    files = {p.stem for p in Path(str(losses.__file__)).parent.glob("*.py")}
    beside = {"__init__", "loss", "maps", "means", "places", "situations", "weighted"}
    assert files - beside == set(LOSSES)
    assert list(LOSSES) == sorted(LOSSES)


def test_every_loss_is_on_its_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "losses.md").read_text(encoding="utf-8")
    assert [name for name in LOSSES if f"\n| `{name}`: " not in page] == []


def test_every_space_has_a_usual_loss_on_logits_alone() -> None:
    assert set(USUAL) == set(get_args(Space)) - {"features"}
    for space, name in USUAL.items():
        assert LOSSES[name].space == space
        # Graphs that are trained at quantised weights have no taps.
        assert losses.needs(name) == frozenset()
    assert losses.needs("auto") == frozenset()


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_knows_its_taps_its_space_and_its_fewest_outputs(name: str) -> None:
    kind = LOSSES[name]
    assert kind.space in get_args(Space)
    assert kind.needs <= students.TAPS
    random = np.random.default_rng(5)
    student, teacher = (
        torch.from_numpy(random.normal(size=(N, kind.fewest_outputs))) for _ in range(2)
    )
    assert torch.isfinite(value(kind(), student, teacher))


@pytest.mark.parametrize("name", LOSSES)
def test_loss_is_finite_scalar_in_float32_when_inputs_are_bfloat16_and_huge(name: str) -> None:
    random = np.random.default_rng(1)
    student, teacher = (
        torch.from_numpy(random.choice([-1e4, 1e4], (N, C))).to(torch.bfloat16) for _ in range(2)
    )
    student.requires_grad_()
    labels = torch.from_numpy(random.integers(0, C, N))
    loss = value(LOSSES[name](), student, teacher, labels)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.dtype == torch.float32
    assert loss.shape == ()
    assert torch.isfinite(loss)
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_loss_is_computed_in_float32_under_autocast(name: str) -> None:
    random = np.random.default_rng(2)
    student, teacher = (torch.from_numpy(random.normal(size=(N, C))).float() for _ in range(2))
    plain = value(LOSSES[name](), student, teacher)
    with torch.autocast("cpu", torch.bfloat16):
        cast = value(LOSSES[name](), student, teacher)
    assert cast.item() == pytest.approx(plain.item(), rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_reaches_the_student_and_not_the_teacher(
    name: str, pair: tuple[Tensor, Tensor, Tensor]
) -> None:
    student, teacher = pair[0].requires_grad_(), pair[1].requires_grad_()
    value(LOSSES[name](), student, teacher, pair[2]).backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


@pytest.mark.parametrize("name", ZERO_AT_THE_TEACHER)
def test_loss_and_gradient_are_zero_when_student_equals_teacher(
    name: str, pair: tuple[Tensor, Tensor, Tensor]
) -> None:
    student = pair[1].clone().requires_grad_()
    loss = value(LOSSES[name](), student, pair[1])
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(0, abs=1e-5)
    assert student.grad is not None
    assert student.grad.abs().max() < 1e-5


@pytest.mark.parametrize("name", ROW_SHIFT_INVARIANT)
def test_loss_is_unchanged_when_rows_of_logits_are_shifted(
    name: str, pair: tuple[Tensor, Tensor, Tensor]
) -> None:
    student, teacher, labels = pair
    random = np.random.default_rng(3)
    a, b = (torch.from_numpy(20 * random.normal(size=(N, 1))) for _ in range(2))
    before = value(LOSSES[name](), student, teacher, labels)
    after = value(LOSSES[name](), student + a, teacher + b, labels)
    assert after.item() == pytest.approx(before.item(), rel=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_unknown_option_is_rejected(name: str) -> None:
    with pytest.raises(TypeError):
        LOSSES[name](heat=4.0)


@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_kd_matches_numpy(tau: float, pair: tuple[Tensor, Tensor, Tensor]) -> None:
    student, teacher, labels = (t.numpy() for t in pair)
    soft = tau**2 * kl(softmax(teacher / tau), softmax(student / tau))
    hard = cross_entropy(student, labels)
    assert value(KD(tau, 0.3), *pair).item() == pytest.approx(0.7 * soft + 0.3 * hard, rel=1e-5)
    assert value(KD(tau, 0.3), *pair[:2]).item() == pytest.approx(soft, rel=1e-5)


def test_kd_nears_squared_distance_of_centred_logits_when_hot(
    pair: tuple[Tensor, Tensor, Tensor],
) -> None:
    # float32 carries tau = 100 far enough; the next term of the series is of order 1/tau.
    student, teacher = (t.numpy() for t in pair[:2])
    gap = (teacher - teacher.mean(1, keepdims=True)) - (student - student.mean(1, keepdims=True))
    limit = float(np.square(gap).sum(1).mean()) / (2 * C)
    assert value(KD(100.0), *pair[:2]).item() == pytest.approx(limit, rel=2e-2)


def test_kd_takes_shares_of_classes_as_labels(pair: tuple[Tensor, Tensor, Tensor]) -> None:
    student, teacher, labels = pair
    shares = nn.functional.one_hot(labels, C).float()
    by_number = value(KD(4.0, 0.5), student, teacher, labels)
    assert value(KD(4.0, 0.5), student, teacher, shares).item() == pytest.approx(by_number.item())


def test_dkd_parts_add_up_to_kl(pair: tuple[Tensor, Tensor, Tensor]) -> None:
    student, teacher, target = pair
    share, others = dkd.decoupled(student, teacher, target)
    p = softmax(teacher.numpy())
    rest = 1 - p[np.arange(N), target.numpy()]
    total = share.numpy() + rest * others.numpy()
    q = softmax(student.numpy())
    np.testing.assert_allclose(total, (p * np.log(p / q)).sum(1), rtol=1e-12)


def test_dkd_matches_numpy(pair: tuple[Tensor, Tensor, Tensor]) -> None:
    student, teacher, labels = (t.numpy() for t in pair)
    tau, beta, rows = 2.0, 3.0, np.arange(N)
    p, q = softmax(teacher / tau), softmax(student / tau)
    pt, qt = p[rows, labels], q[rows, labels]
    target = pt * np.log(pt / qt) + (1 - pt) * np.log((1 - pt) / (1 - qt))
    others = np.ones((N, C), bool)
    others[rows, labels] = False
    a = p[others].reshape(N, -1) / (1 - pt)[:, None]
    b = q[others].reshape(N, -1) / (1 - qt)[:, None]
    expected = tau**2 * (target + beta * (a * np.log(a / b)).sum(1)).mean()
    assert value(DKD(tau, 0.0, beta), *pair).item() == pytest.approx(expected, rel=1e-5)


def test_dist_matches_numpy_correlations(pair: tuple[Tensor, Tensor, Tensor]) -> None:
    p, q = softmax(pair[1].numpy()), softmax(pair[0].numpy())
    inter = np.mean([1 - np.corrcoef(p[i], q[i])[0, 1] for i in range(N)])
    intra = np.mean([1 - np.corrcoef(p[:, c], q[:, c])[0, 1] for c in range(C)])
    assert value(DIST(1.0), *pair[:2]).item() == pytest.approx(inter + intra, rel=1e-4)


def test_dist_distance_ignores_scale_and_offset_and_ends_at_two() -> None:
    from squeeze.losses.dist import distance

    a = torch.from_numpy(np.random.default_rng(4).normal(size=(5, 9)))
    assert distance(a, 3 * a + 2).item() == pytest.approx(0, abs=1e-7)
    assert distance(a, -a).item() == pytest.approx(2)


def test_mse_mixes_teacher_and_labels() -> None:
    student, teacher = torch.tensor([[1.0], [2.0]]), torch.tensor([[2.0], [4.0]])
    labels = torch.tensor([1.0, 5.0])
    found = value(LOSSES["mse"](label_weight=0.25), student, teacher, labels)
    assert found.item() == pytest.approx(0.75 * 2.5 + 0.25 * 4.5)


def test_cosine_adds_angle_and_distance() -> None:
    student, teacher = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    assert value(LOSSES["cosine"](), student, teacher).item() == pytest.approx(1 + 2.5)


def test_bce_equals_kd_on_two_logits(pair: tuple[Tensor, Tensor, Tensor]) -> None:
    # A sigmoid of z is a softmax of (0, z).
    student, teacher = pair[0][:, :1], pair[1][:, :1]
    labels = pair[2] % 2
    two = [torch.cat([torch.zeros_like(z), z], 1) for z in (student, teacher)]
    one = value(LOSSES["bce"](temperature=2.0, label_weight=0.2), student, teacher, labels)
    both = value(KD(2.0, 0.2), two[0], two[1], labels)
    assert one.item() == pytest.approx(both.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ((10, "none", "top1", 10), "kd"),
        ((10, "softmax", None, None), "kd"),
        ((10, "none", "agreement", None), "kd"),
        ((2, "none", "auc", 2), "kd"),
        ((1, "none", "auc", 2), "bce"),
        ((1, "sigmoid", None, None), "bce"),
        ((14, "sigmoid", "auc", None), "bce"),
        ((1, "none", "mse", None), "mse"),
        ((5, "none", "mse", None), "mse"),
        ((1, "none", None, None), "mse"),
        ((8, "none", "module:function", None, True), "mse"),
        ((14, "none", "auc", None, True), "bce"),
        ((64, "none", "cosine", None), "cosine"),
        ((64, "none", "spearman", None), "cosine"),
        ((1, "none", "spearman", None), "mse"),
        ((19, "softmax", "miou", None), "pixel_kd"),
    ],
    ids=str,
)
def test_auto_picks_by_outputs_and_metric(
    case: tuple[int, str, str | None, int | None] | tuple[int, str, str, None, bool], expected: str
) -> None:
    names = ("outputs", "activation", "metric", "classes", "valued")
    found = choose("auto", **dict(zip(names, case, strict=False)))  # type: ignore[arg-type]
    assert found == expected


def test_unknown_loss_is_said_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"distill.loss: unknown 'dkdd'. Did you mean 'dkd'"):
        choose("dkdd", outputs=10, activation="none", metric="top1", classes=10)


def test_loss_for_more_outputs_than_there_are_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'dist' needs 3 outputs or more, but the teacher has 2"):
        choose("dist", outputs=2, activation="none", metric="top1", classes=2)
