"""Losses on maps of classes: edges by hand, PixelKD, CWD and BPKD against NumPy, ACAM's masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from squeeze.losses import Loss
from squeeze.losses.acam import ACAM, masked, overlap
from squeeze.losses.bpkd import BPKD
from squeeze.losses.cwd import CWD
from squeeze.losses.kd import KD
from squeeze.losses.pixel_kd import PixelKD
from squeeze.losses.places import IGNORED, edges
from tests.train.losses.reference import Array, found, gradient, seen, start

N, C, H, W = 3, 4, 5, 6
Maps = tuple[Tensor, Tensor, Tensor]


@pytest.fixture
def maps() -> Maps:
    """Logits of student and teacher, and labels some of which do not count."""
    random = np.random.default_rng(3)
    student, teacher = (torch.from_numpy(2 * random.normal(size=(N, C, H, W))) for _ in range(2))
    labels = random.integers(0, C, (N, H, W))
    labels[:, 1:4, 1:4] = 2
    labels[0, :, 5] = IGNORED
    return student, teacher, torch.from_numpy(labels)


def softmax(z: Array, axis: int) -> Array:
    e = np.exp(z - z.max(axis, keepdims=True))
    return np.asarray(e / e.sum(axis, keepdims=True))


def windows(labels: Array, radius: int) -> Array:
    """Whether a window has several classes, pixel by pixel."""
    several = np.zeros(labels.shape, bool)
    for n, y, x in np.ndindex(*labels.shape):
        part = labels[
            n,
            max(0, y - radius) : y + radius + 1,
            max(0, x - radius) : x + radius + 1,
        ]
        several[n, y, x] = len(set(part.ravel().tolist()) - {IGNORED}) > 1
    return several & (labels != IGNORED)


def test_edges_are_where_a_window_has_several_classes(maps: Maps) -> None:
    row = torch.tensor([[0, 0, 0, 1, 1, 1, IGNORED, 2]])
    by_hand = [False, False, True, True, False, False, False, False]
    assert edges(row, 1)[0].tolist() == by_hand
    labels = maps[2].numpy()
    for radius in (1, 2):
        assert np.array_equal(edges(maps[2], radius).numpy(), windows(labels, radius))
    cube = torch.zeros(1, 3, 3, 3, dtype=torch.int64)
    cube[0, 2, 2, 2] = 1
    assert edges(cube, 1).sum() == 8


def test_edges_and_bodies_are_all_places_that_count(maps: Maps) -> None:
    labels = maps[2]
    edge = edges(labels, 1)
    body = (labels != IGNORED) & ~edge
    assert not (edge & body).any()
    assert torch.equal(edge | body, labels != IGNORED)
    assert edge.any()
    assert body.any()


def test_pixel_kd_is_kd_with_places_as_samples(maps: Maps) -> None:
    student, teacher, labels = maps
    flat = [z.permute(0, 2, 3, 1).reshape(-1, C) for z in (student, teacher)]
    assert found(PixelKD(2.0), student, teacher) == pytest.approx(found(KD(2.0), *flat), rel=1e-5)
    known = labels.flatten() != IGNORED
    soft = found(KD(2.0), *flat)
    hard = nn.functional.cross_entropy(flat[0][known], labels.flatten()[known]).item()
    mixed = found(PixelKD(2.0, 0.3), student, teacher, labels)
    assert mixed == pytest.approx(0.7 * soft + 0.3 * hard, rel=1e-5)
    assert found(PixelKD(2.0, 0.3), student, teacher, torch.full_like(labels, IGNORED)) == (
        pytest.approx(0.7 * soft, rel=1e-5)
    )


def test_labels_of_another_size_are_taken_by_the_nearest_place(maps: Maps) -> None:
    student, teacher, labels = maps
    larger = labels.repeat_interleave(2, 1).repeat_interleave(3, 2)
    for loss in (PixelKD(1.0, 0.5), BPKD()):
        here = found(loss, student, teacher, labels)
        assert found(loss, student, teacher, larger) == pytest.approx(here)


def test_cwd_is_the_formula_and_knows_no_offset_of_a_channel(maps: Maps) -> None:
    student, teacher, _ = maps
    p, q = (softmax(z.numpy().reshape(N, C, -1) / 4, 2) for z in (teacher, student))
    expected = 16 * (p * np.log(p / q)).sum() / (N * C)
    assert found(CWD(), student, teacher) == pytest.approx(expected, rel=1e-5)
    offset = torch.arange(C)[:, None, None]
    assert found(CWD(), student + offset, teacher) == pytest.approx(expected, rel=1e-4)


def test_bpkd_is_the_formula(maps: Maps) -> None:
    student, teacher, labels = maps
    t, s, y = teacher.numpy(), student.numpy(), labels.numpy()
    edge = windows(y, 1)
    body = (y != IGNORED) & ~edge
    p, q = softmax(t, 1), softmax(s, 1)
    at_edges = (p * np.log(p / q)).sum(1)[edge].mean()
    inside = 0.0
    for n in range(N):
        p, q = (softmax(z[n][:, body[n]], 1) for z in (t, s))
        inside += (p * np.log(p / q)).sum() / (N * C)
    loss = BPKD(label_weight=0.0, edge=2.0, body=3.0)
    assert found(loss, student, teacher, labels) == pytest.approx(
        2 * at_edges + 3 * inside, rel=1e-5
    )


def test_bpkd_takes_the_teachers_classes_where_there_are_no_labels(maps: Maps) -> None:
    student, teacher, _ = maps
    loss = BPKD(label_weight=0.0)
    with_choice = found(loss, student, teacher, teacher.argmax(1))
    assert found(loss, student, teacher) == pytest.approx(with_choice)


def test_bpkd_does_not_look_at_ignored_places(maps: Maps) -> None:
    student, teacher, labels = maps
    slope = gradient(BPKD(), student, teacher, labels)
    ignored = (labels == IGNORED)[:, None].expand_as(slope)
    assert slope[ignored].abs().max() == 0
    everything = torch.full_like(labels, IGNORED)
    assert found(BPKD(), student, teacher, everything) == 0


def test_masks_are_means_of_what_they_let_through() -> None:
    squares, masks = torch.tensor([[4.0, 0.0, 1.0]]), torch.tensor([[[1.0, 1, 0], [0, 0, 0.5]]])
    # (4 + 0) / 2 and 1
    assert masked(squares, masks).item() == pytest.approx(1.5, rel=1e-5)
    # 2 * 0.5 / (1 + 1), and equal ones
    assert overlap(torch.tensor([[[1.0, 0], [0.6, 0.8]]])).item() == pytest.approx(0.6, rel=1e-5)
    assert overlap(masks[:, :1].expand(1, 3, 3)).item() == pytest.approx(1, rel=1e-5)
    assert overlap(masks[:, :1]).item() == 0


def test_acam_is_the_masked_difference_and_what_the_masks_share() -> None:
    random = np.random.default_rng(5)
    ours, theirs = (
        torch.from_numpy(random.normal(size=(N, 6, *s))).float() for s in ((4, 4), (2, 2))
    )
    loss = ACAM(units=3, diversity=0.0)

    def of(loss: Loss, a: Tensor, b: Tensor) -> Tensor:
        return loss(seen(a[:, :, 0, 0], feature_map=a), seen(b[:, :, 0, 0], feature_map=b), None)

    torch.manual_seed(0)
    loss.prepare(start(*(seen(torch.zeros(N, 2), feature_map=m) for m in (ours, theirs))))
    # Masks that let all through alike: the mean of squares, twice.
    with torch.no_grad():
        loss.of_channels.zero_()
        loss.of_places.zero_()
    halved = ours.reshape(N, 6, 2, 2, 2, 2).mean((3, 5))
    expected = 2 * (halved - theirs).square().mean().item()
    assert of(loss, ours, theirs).item() == pytest.approx(expected, rel=1e-4)
    assert of(loss, theirs, theirs).item() == 0
    # The masks are then as alike as can be.
    loss.diversity = 1.0
    assert of(loss, theirs, theirs).item() == pytest.approx(2, rel=1e-4)
    of(loss, ours, theirs).backward()
    for learned in (loss.of_channels, loss.of_places, loss.query.weight, loss.key.weight):
        assert learned.grad is not None


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: BPKD(radius=0.5), r"radius must be a whole number from 1 on \(got 0.5\)"),
        (lambda: BPKD(edge=0), "edge must be above 0"),
        (lambda: ACAM(diversity=-1), r"diversity must be 0 or more \(got -1\)"),
        (lambda: ACAM(units=0), "units must be above 0"),
    ],
)
def test_options_out_of_range_are_refused(make: type[Loss], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()
