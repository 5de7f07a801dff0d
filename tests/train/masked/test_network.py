"""What sees visible patches alone: by the whole networks, by hand, and by what does not change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from squeeze import students
from squeeze.outputs import Outputs
from squeeze.spec import ArchSpec
from squeeze.students.encoder import Encoder
from squeeze.students.student_spec import StudentSpec
from squeeze.students.token_student import TokenStudent
from squeeze.students.vit import Params
from squeeze.train.masked.grid import Grid, drawn, patches_of, shared_grid
from squeeze.train.masked.network import Masked, VisibleTeacher
from squeeze.train.masked.train import MaskedLoss
from tests.students.test_encoder import random_encoder
from tests.students.test_encoder_images import PARAMS, images

SIZE = (8, 12)


def arch(**changed: int) -> ArchSpec:
    spec = StudentSpec(input_shape=(3, *SIZE), outputs=5, layout="channels-first")
    sizes = {"patch": 4, "width": 32, "depth": 3, "heads": 2, "ratio": 2, "convolutions": 0}
    return students.arch_of("vit", spec, {**sizes, "class_tokens": 1, **changed})


def masked(depth: int = 2, **changed: int) -> tuple[Masked, Grid]:
    made = arch(**changed)
    params = Params.model_validate(made.params)
    grid = shared_grid(SIZE, (params.patch, params.patch), (4, 4))
    assert grid is not None
    student = students.build(made, seed=1)
    assert isinstance(student, TokenStudent)
    return Masked(student, params, grid, depth, PARAMS.hidden, seed=2).eval(), grid


def teacher(grid: Grid, depth: int = 2) -> tuple[VisibleTeacher, Encoder]:
    encoder = random_encoder(PARAMS)
    return VisibleTeacher(encoder, grid, depth).eval(), encoder


def other_pixels(x: Tensor, order: Tensor, visible: int, grid: Grid) -> Tensor:
    """The images with noise where they are masked, by the units alone."""
    found = x.clone()
    columns = SIZE[1] // grid.unit[1]
    for image, units in zip(found, order[:, visible:], strict=True):
        for unit in units.tolist():
            row, column = divmod(unit, columns)
            at = slice(row * grid.unit[0], (row + 1) * grid.unit[0])
            across = slice(column * grid.unit[1], (column + 1) * grid.unit[1])
            image[:, at, across] = torch.randn_like(image[:, at, across])
    return found


def test_units_have_the_patches_that_lie_in_them() -> None:
    grid = Grid((8, 12), (4, 6))
    # Patches of 2 x 3: four rows of four.
    assert grid.places((2, 3)).tolist() == [
        [0, 1, 4, 5],
        [2, 3, 6, 7],
        [8, 9, 12, 13],
        [10, 11, 14, 15],
    ]
    assert grid.places((4, 6)).tolist() == [[0], [1], [2], [3]]
    assert [grid.visible(share) for share in (0.75, 0.5, 0.99, 0.01)] == [1, 2, 1, 3]


def test_grid_is_the_least_that_both_patches_cut() -> None:
    assert shared_grid((24, 24), (4, 4), (6, 6)) == Grid((24, 24), (12, 12))
    assert shared_grid((28, 28), (4, 4), (4, 4)) == Grid((28, 28), (4, 4))
    assert shared_grid((28, 28), (4, 4), (7, 7)) is None  # one unit of 28
    assert shared_grid((20, 20), (4, 4), (10, 10)) is None  # of which there is only one


def test_order_is_another_for_each_image_and_the_same_for_a_step() -> None:
    grid = Grid((16, 16), (4, 4))
    order = drawn(3, grid, 5, seed=1)
    assert torch.equal(order.sort(1).values, torch.arange(16).expand(5, -1))
    assert torch.equal(order, drawn(3, grid, 5, seed=1))
    assert not torch.equal(order, drawn(4, grid, 5, seed=1))
    assert len({tuple(row.tolist()) for row in order}) == 5


@pytest.mark.parametrize("classes", [0, 1])
def test_student_that_sees_all_is_the_student(classes: int) -> None:
    network, _ = masked(class_tokens=classes)
    x = images()
    everywhere = torch.arange(6).expand(len(x), -1)
    with torch.no_grad():
        _, last = network.encoded(patches_of(x, (4, 4)), everywhere)
        wanted = network.student.features(x)[:, classes:]
    # Without class tokens they are not there to be attended to, in either.
    torch.testing.assert_close(last, wanted, rtol=1e-4, atol=1e-5)


def test_teacher_that_sees_all_has_the_states_of_its_layers() -> None:
    _, grid = masked()
    seeing, encoder = teacher(grid)
    x = images()
    order = drawn(0, grid, len(x), seed=0)
    with torch.no_grad():
        states = encoder.embedded({"x": x})
        for layer in list(encoder.layers)[:2]:
            states = layer(states)
        rows = torch.arange(len(x))[:, None]
        wanted = states[:, 1:][rows, order]
        torch.testing.assert_close(seeing(x, order), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("changed", [{}, {"convolutions": 2}, {"patch": 2}], ids=str)
def test_nothing_of_what_is_masked_reaches_either_network(changed: dict[str, int]) -> None:
    network, grid = masked(**changed)
    seeing, _ = teacher(grid)
    x, visible = images(), 2
    order = drawn(0, grid, len(x), seed=0)
    hidden = other_pixels(x, order, visible, grid)
    seen = other_pixels(x, order.flip(1), grid.count - visible, grid)
    with torch.no_grad():
        found, same, moved = (network(one, order, visible) for one in (x, hidden, seen))
        states, same_states, moved_states = (
            seeing(one, order[:, :visible]) for one in (x, hidden, seen)
        )
    assert torch.equal(found.logits, same.logits)
    assert torch.equal(found.taps["visible"], same.taps["visible"])
    assert torch.equal(states, same_states)
    # What is visible does, in every image and in every unit.
    for one, other in ((found.taps["visible"], moved.taps["visible"]), (states, moved_states)):
        assert one.shape == (len(x), visible, PARAMS.hidden)
        assert ((one - other).abs().amax(-1) > 1e-4).all()


def test_patches_of_other_sizes_meet_in_the_means_of_units() -> None:
    network, grid = masked(patch=2)
    assert grid.unit == (4, 4)
    x, order = images(1), torch.arange(6)[None]
    places = grid.places((2, 2))
    with torch.no_grad():
        seen = places[order[:, :3]].flatten(1)
        cut = patches_of(x, (2, 2))[:, seen[0]]
        states, _ = network.encoded(cut, seen)
        wanted = torch.stack([states[0, 4 * i : 4 * i + 4].mean(0) for i in range(3)])
        found = network(x, order, 3).taps["visible"][0]
        torch.testing.assert_close(found, network.projection(wanted))


def test_wanted_pixels_are_those_of_masked_patches_normalised() -> None:
    network, grid = masked()
    x = images()
    order = drawn(0, grid, len(x), seed=0)
    wanted = network.wanted(x, order, 2)
    assert wanted.shape == (len(x), 4, 48)
    row, column = divmod(int(order[1, 3]), 3)
    patch = x[1, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].numpy().ravel()
    by_hand = (patch - patch.mean()) / patch.std()
    np.testing.assert_allclose(wanted[1, 1].numpy(), by_hand, rtol=1e-3, atol=1e-4)


def test_loss_is_the_square_of_pixels_and_the_distance_of_visible_states() -> None:
    random = np.random.default_rng(0)
    ours, theirs = random.normal(size=(2, 3, 4, 6))
    one, two = random.normal(size=(2, 3, 2, 5))
    wanted = np.square(ours - theirs).mean() + np.abs(one - two).mean()
    student, guide = (
        Outputs(torch.from_numpy(pixels), {"visible": torch.from_numpy(states)})
        for pixels, states in ((ours, one), (theirs, two))
    )
    assert float(MaskedLoss()(student, guide, None)) == pytest.approx(wanted, rel=1e-5)


def layer_flops(tokens: int, hidden: int, attention: int, ffn: int) -> int:
    """By hand: products of a layer and the two of attention, two operations each."""
    products = tokens * (4 * hidden * attention + 2 * hidden * ffn)
    return 2 * (products + 2 * tokens * tokens * attention)


@pytest.mark.parametrize("visible", [1, 3, 5])
def test_work_is_that_of_visible_tokens_alone(visible: int) -> None:
    network, grid = masked(class_tokens=0)
    seeing, encoder = teacher(grid)
    x = images()
    order = drawn(0, grid, len(x), seed=0)
    cut = patches_of(x, (4, 4))[:, :visible]
    with torch.no_grad(), FlopCounterMode(display=False) as ours:
        network.encoded(cut, order[:, :visible])
    with torch.no_grad(), FlopCounterMode(display=False) as theirs:
        seeing(x, order[:, :visible])
    patch = 2 * 48 * visible
    assert ours.get_total_flops() == len(x) * (patch * 32 + 3 * layer_flops(visible, 32, 32, 64))
    # The teacher's class token runs beside, its third layer does not.
    sizes = (PARAMS.hidden, PARAMS.attention, PARAMS.ffn)
    wanted = patch * PARAMS.hidden + 2 * layer_flops(visible + 1, *sizes)
    assert theirs.get_total_flops() == len(x) * wanted
    assert len(encoder.layers) == 3


def test_teacher_gets_no_gradient_and_all_of_the_student_does() -> None:
    network, grid = masked()
    seeing, encoder = teacher(grid)
    x = images()
    order = drawn(0, grid, len(x), seed=0)
    found = network.train()(x, order, 2)
    guide = Outputs(network.wanted(x, order, 2), {"visible": seeing(x, order[:, :2])})
    MaskedLoss()(found, guide, None).backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is None for p in encoder.parameters())
    without = {n for n, p in network.named_parameters() if p.grad is None}
    assert without == {"student.classifier.weight", "student.classifier.bias"}
