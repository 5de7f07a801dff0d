"""Sizes between a teacher and a student, and networks of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from squeeze import students
from squeeze.search import gap
from squeeze.search.gap import Gap
from squeeze.spec import ArchSpec
from squeeze.teacher import Teacher
from tests.train import samples


def a_teacher(folder: Path, arch: ArchSpec, *, params: float, macs: float) -> Teacher:
    """So many times as large as a student."""
    cost = students.cost(arch)
    known = samples.linear_teacher(folder, samples.SHAPES["image"])
    return replace(known, params=round(params * cost.params), macs=round(macs * cost.macs))


def test_nobody_teaches_what_is_less_than_two_fifths_of_it() -> None:
    # By hand: 2.5 ** 1, 2, 3 are 2.5, 6.25, 15.625.
    for ratio, times in ((1.1, 1), (2.5, 1), (2.51, 2), (6.25, 2), (6.3, 3), (15.625, 3), (40, 5)):
        assert gap.teachings(ratio) == times


def test_sizes_are_geometric_and_without_the_ends() -> None:
    assert gap.sizes(1, 16, 3) == pytest.approx([8, 4, 2])
    assert gap.sizes(1, 16, 1) == pytest.approx([4])
    assert gap.sizes(1, 16, 0) == []


def test_a_gap_is_wide_by_parameters_or_by_multiplications() -> None:
    for params, macs, wide, by_macs, between in (
        (5, 10, False, False, 0),
        (6, 1, True, False, 1),
        (40, 100, True, False, 4),
        (2, 11, True, True, 2),
    ):
        one = Gap(params, macs)
        assert (one.wide, one.by_macs, one.assistants) == (wide, by_macs, between)
    assert Gap(40, 100).words().startswith("40.0x fewer parameters and 100.0x fewer MACs")
    assert "distill.assistants = 'auto' trains 4" in Gap(40, 100).words()


@pytest.mark.parametrize("family", ["mlp", "resnet"])
def test_assistants_are_of_the_family_and_get_smaller(family: str, tmp_path: Path) -> None:
    arch = samples.arch(samples.SHAPES["image"], family=family)
    own = students.cost(arch).params
    teacher = a_teacher(tmp_path, arch, params=64, macs=64)
    made = gap.assistants(teacher, arch, 2)
    ratios = [students.cost(one).params / own for one in made]
    # 64 to a third and two thirds, as near as whole channels are.
    assert ratios == pytest.approx([16, 4], rel=0.3)
    for one in made:
        assert one.family == family
        students.build(one)
    if family == "resnet":  # what costs no parameters stays as it is
        assert {one.params["stem_stride"] for one in made} == {arch.params["stem_stride"]}
        assert {tuple(one.params["strides"]) for one in made} == {(1, 2)}


def test_where_only_multiplications_are_apart_sizes_are_those(tmp_path: Path) -> None:
    arch = samples.arch(samples.SHAPES["image"])
    teacher = a_teacher(tmp_path, arch, params=2, macs=16)
    (one,) = gap.assistants(teacher, arch, 1)
    assert students.cost(one).macs / students.cost(arch).macs == pytest.approx(4, rel=0.3)


def test_a_family_that_ends_below_a_size_gives_fewer(tmp_path: Path) -> None:
    arch = samples.arch(samples.SHAPES["image"], family="mlp")
    teacher = a_teacher(tmp_path, arch, params=1e6, macs=1e6)
    made = gap.assistants(teacher, arch, 4)
    sizes = [students.cost(one).params for one in made]
    assert 0 < len(made) < 4
    assert sizes == sorted(set(sizes), reverse=True)
