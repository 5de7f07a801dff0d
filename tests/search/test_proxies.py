"""Proxies: formulas against numbers from elsewhere, and the contract that all of them keep."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from squeeze import students
from squeeze.outputs import Outputs
from squeeze.search import proxies
from squeeze.search.genome import space_of
from squeeze.search.panel import Panel, two_columns
from squeeze.search.proxies import PROXIES, diswot, naswot, synflow
from squeeze.spec import ArchSpec
from squeeze.students.student_spec import StudentSpec, layout_of

FAMILIES = {
    "resnet": ((3, 16, 16), "image"),
    "mbconv": ((3, 16, 16), "image"),
    "dsconv": ((2, 64), "signal"),
    "mlp": ((20,), "vector"),
    "vit": ((3, 16, 16), "image"),
}


def candidate(family: str) -> tuple[ArchSpec, Panel]:
    shape, modality = FAMILIES[family]
    spec = StudentSpec(input_shape=shape, outputs=4, layout=layout_of(modality, shape))
    space = space_of(family, spec)
    generator = torch.Generator().manual_seed(3)

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator)

    panel = Panel(
        normal(12, *shape),
        torch.arange(12) % 4,
        Outputs(normal(12, 4), {"embedding": normal(12, 6), "feature_map": normal(12, 6, 3)}),
    )
    return space.arch(space.smallest), panel


def test_every_file_is_in_the_table() -> None:
    files = {p.stem for p in Path(str(proxies.__file__)).parent.glob("*.py")} - {"__init__"}
    assert files == set(PROXIES)
    assert list(PROXIES) == sorted(PROXIES)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_is_deterministic_finite_and_leaves_the_student_as_found(
    name: str, family: str
) -> None:
    arch, panel = candidate(family)
    student = students.build(arch, seed=5).eval()
    student.classifier.train()
    for parameter in student.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = {k: v.clone() for k, v in student.state_dict().items()}
    modes = [m.training for m in student.modules()]
    random_state = torch.get_rng_state()
    found = PROXIES[name](student, panel)
    assert math.isfinite(found)
    assert PROXIES[name](student, panel) == found
    assert PROXIES[name](students.build(arch, seed=5), panel) == found
    assert all(v.equal(before[k]) for k, v in student.state_dict().items())
    assert [m.training for m in student.modules()] == modes
    assert all(
        p.grad is not None and p.grad.equal(torch.ones_like(p)) for p in student.parameters()
    )
    assert torch.get_rng_state().equal(random_state)
    assert all(not m._forward_hooks for m in student.modules())


def test_size_baselines_and_depth_are_those_of_the_cost() -> None:
    arch, panel = candidate("resnet")
    student = students.build(arch)
    cost = students.cost(arch)
    assert PROXIES["params"](student, panel) == cost.params
    assert PROXIES["macs"](student, panel) == cost.macs
    # A stem, two blocks of two 3x3 convolutions, the classifier; projections do not count.
    assert PROXIES["depth"](student, panel) == 1 + 2 * len(arch.params["widths"]) + 1


def features(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_diswot_gradient_equals_autograd() -> None:
    embedding, y = features(1, 8, 5), torch.arange(8) % 3
    layer = nn.Linear(5, 3, bias=False, dtype=torch.float64)
    logits = layer(embedding)
    loss = nn.functional.cross_entropy(logits / diswot.TEMPERATURE, y)
    (wanted,) = torch.autograd.grad(loss, layer.weight)
    found = diswot.gradient(logits.detach(), embedding, y) / diswot.TEMPERATURE
    torch.testing.assert_close(found, wanted)


def test_diswot_gradient_keeps_only_the_classes_of_the_batch() -> None:
    found = diswot.gradient(features(1, 6, 9), features(2, 6, 5), torch.tensor([2, 7, 2, 7, 2, 7]))
    assert found.shape == (2, 5)


def test_diswot_terms_equal_numpy() -> None:
    teacher, student = features(1, 6, 5), features(2, 6, 9)

    def products(rows: np.ndarray) -> np.ndarray:
        gram = rows @ rows.T
        return np.asarray(gram / np.linalg.norm(gram, axis=1, keepdims=True))

    squared = ((products(teacher.numpy()) - products(student.numpy())) ** 2).sum()
    assert float(diswot.semantic(teacher, student)) == pytest.approx(-squared / 6)
    assert float(diswot.relation(teacher, student)) == pytest.approx(-squared / 36)


def test_diswot_terms_are_zero_for_equal_networks_and_bounded_for_others() -> None:
    same, other = features(1, 6, 5), features(2, 6, 9)
    assert float(diswot.semantic(same, same)) == 0
    assert float(diswot.relation(same, same)) == 0
    assert -4 <= float(diswot.semantic(same, other)) < 0
    assert -4 / 6 <= float(diswot.relation(same, other)) < 0


def test_diswot_relation_ignores_scale_rotation_and_order() -> None:
    teacher, student = features(1, 6, 5), features(2, 6, 9)
    found = diswot.relation(teacher, student)
    rotation, _ = torch.linalg.qr(features(3, 9, 9))
    torch.testing.assert_close(diswot.relation(teacher, 7 * student @ rotation), found)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(diswot.relation(teacher[order], student[order]), found)
    torch.testing.assert_close(diswot.semantic(3 * teacher, 5 * student), 6 * found)


def test_diswot_looks_at_the_relation_only_where_there_are_no_classes() -> None:
    arch, panel = candidate("mlp")
    student = students.build(arch)
    unlabelled = Panel(panel.x, None, panel.teacher)
    assert -4 / 12 <= PROXIES["diswot"](student, unlabelled) < 0
    bare = Panel(panel.x, None, Outputs(panel.teacher.logits))
    assert -4 / 12 <= PROXIES["diswot"](student, bare) < 0


def test_two_columns_keep_the_probability_of_a_single_logit() -> None:
    z = torch.tensor([[0.3], [-2.0]])
    assert two_columns(z).softmax(1)[:, 1].tolist() == pytest.approx(z.sigmoid()[:, 0].tolist())
    assert two_columns(torch.ones(2, 3)).shape == (2, 3)


def test_naswot_counts_agreeing_units() -> None:
    layer = nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU())
    with torch.no_grad():
        layer[0].weight.copy_(torch.eye(4))
        found = naswot.overlaps(layer, torch.eye(4))
    # One-hot codes of 4 units: each pair differs in two of them.
    assert found.tolist() == [[4 if i == j else 2 for j in range(4)] for i in range(4)]
    # Eigenvalues of 2 (I + ones): 10 once, 2 three times.
    assert naswot.log_determinant(found) == pytest.approx(math.log(10 * 2**3))


def test_naswot_is_minus_infinity_for_a_repeated_sample() -> None:
    layer = nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU())
    with torch.no_grad():
        layer[0].weight.copy_(torch.eye(4))
        kernel = naswot.overlaps(layer, torch.eye(4)[[0, 1, 1, 2]])
    assert naswot.log_determinant(kernel) == -math.inf


def test_synflow_of_a_chain_is_its_output_times_its_length() -> None:
    chain = nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in ((5, 7), (7, 3), (3, 2))))
    weights = [np.abs(m.weight.detach().numpy().astype(np.float64)) for m in chain]
    output = weights[2] @ weights[1] @ weights[0] @ np.ones(5)
    assert synflow.flow(chain, torch.Size([5])) == pytest.approx(3 * output.sum())


def test_larger_networks_score_higher_in_every_capacity_proxy() -> None:
    shape = (3, 16, 16)
    spec = StudentSpec(input_shape=shape, outputs=4, layout="channels-first")
    space = space_of("resnet", spec)
    _, panel = candidate("resnet")
    large = space.smallest | {"widths": (32, 64), "stem": 32, "depths": (3, 3)}
    for name in ("depth", "macs", "naswot", "params", "synflow"):
        small_score, large_score = (
            PROXIES[name](students.build(space.arch(g)), panel) for g in (space.smallest, large)
        )
        assert small_score < large_score, name


def test_larger_transformers_score_higher_in_every_capacity_proxy() -> None:
    arch, panel = candidate("vit")
    larger = {"patch": 2, "width": 64, "depth": 4, "heads": 2, "ratio": 4}
    large = ArchSpec(family="vit", params=arch.params | larger)
    for name in ("depth", "macs", "naswot", "params", "synflow"):
        small_score, large_score = (PROXIES[name](students.build(a), panel) for a in (arch, large))
        assert small_score < large_score, name


def test_depth_of_a_transformer_is_its_layers_and_what_sees_patches_and_classes() -> None:
    arch, panel = candidate("vit")
    deeper = ArchSpec(family="vit", params=arch.params | {"convolutions": 1, "depth": 5})
    # A convolution with stride 2, the patches, attention five times, the classifier.
    assert PROXIES["depth"](students.build(deeper), panel) == 1 + 1 + 5 + 1


def test_naswot_of_gelu_is_that_of_relu() -> None:
    linear = nn.Linear(6, 9)
    x = features(4, 5, 6).float()
    smooth, sharp = (nn.Sequential(linear, switch) for switch in (nn.GELU(), nn.ReLU()))
    assert naswot.overlaps(smooth, x).equal(naswot.overlaps(sharp, x))


def test_moves_in_the_space_of_transformers_stay_inside_the_choices() -> None:
    spec = StudentSpec(input_shape=(3, 32, 32), outputs=10, layout="channels-first")
    space, rng = space_of("vit", spec, alignment=16), random.Random(0)
    genome = space.draw(rng)
    for _ in range(200):
        genome = space.cross(space.mutate(genome, rng), space.draw(rng), rng)
        for gene in space.genes:
            assert gene.read(genome) in gene.choices
        width, heads = genome["width"], genome["heads"]
        assert width % 16 == width % heads == 0
        assert heads == 1 or width // heads >= 16
        assert 8 <= width / genome["depth"] <= 64
        space.cost(genome)  # values belong together


def test_space_moves_stay_inside_the_choices() -> None:
    spec = StudentSpec(input_shape=(3, 32, 32), outputs=10, layout="channels-first")
    rng = random.Random(0)
    for family in ("resnet", "mbconv"):
        space = space_of(family, spec)
        genome = space.draw(rng)
        for _ in range(100):
            genome = space.cross(space.mutate(genome, rng), space.draw(rng), rng)
            for gene in space.genes:
                assert gene.read(genome) in gene.choices
            widths = genome["widths"]
            assert isinstance(widths, tuple)
            assert all(a <= b <= 2 * a for a, b in pairwise(widths))
