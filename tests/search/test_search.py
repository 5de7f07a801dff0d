"""The whole search on tiny teachers: bounds hold, equal seeds agree, noise changes little, and no case crashes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from squeeze import students
from squeeze.errors import ConfigError
from squeeze.progress import Progress
from squeeze.search import SearchResult, bounds, estimate, panel, search, shortlist
from squeeze.search.score import Candidate, combined, kendall_tau, ranks
from squeeze.spec import ArchSpec, Goal, SearchPart
from squeeze.students.student_spec import StudentSpec
from tests.search.problem import CLASSES, calibration, candidate, large_teacher

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from squeeze.calib import Calib
    from squeeze.teacher import Teacher

    Array = NDArray[np.generic]

TEACHER_MS = 1.0
LABELS = np.arange(80) % CLASSES
SMALL = SearchPart(evaluations=24, population=8, batch_size=16)


def as_guessed(factor: float = 1.0) -> Callable[[list[ArchSpec]], list[float]]:
    """A device on which every architecture takes `factor` times the guess."""

    def measure(archs: list[ArchSpec]) -> list[float]:
        return [factor * estimate.latency_ms(students.cost(a)) / TEACHER_MS for a in archs]

    return measure


def found(
    teacher: Teacher,
    calib: Calib,
    part: SearchPart = SMALL,
    goal: Goal | None = None,
    *,
    seed: int = 0,
    measure: Callable[[list[ArchSpec]], list[float]] | None = None,
) -> SearchResult:
    return search(
        teacher,
        calib,
        part,
        goal or Goal(),
        seed=seed,
        measure_latency=measure or as_guessed(),
        teacher_latency_ms=TEACHER_MS,
        progress=Progress(),
    )


CASES: dict[str, tuple[tuple[int, ...], str, dict[str, Any]]] = {
    "image": ((3, 16, 16), "image", {}),
    "depthwise-image": ((3, 16, 16), "image", {"census": {"Conv": 9, "DepthwiseConv": 4}}),
    "spectrogram": (
        (1, 25, 10),
        "spectrogram",
        {"census": {"Conv": 9, "DepthwiseConv": 4}},
    ),
    "signal": ((2, 64), "signal", {}),
    "vector": ((20,), "vector", {"census": {"Gemm": 3}}),
}


@pytest.mark.parametrize("case", CASES)
def test_pick_builds_and_is_inside_the_bounds(tmp_path: Path, case: str) -> None:
    shape, modality, changed = CASES[case]
    teacher = large_teacher(tmp_path, shape, **changed)
    result = found(teacher, calibration(shape, modality, LABELS))
    assert result.arch is not None, result.reason
    assert students.build(result.arch).eval()(torch.zeros(2, *shape)).shape == (2, CLASSES)
    picked = [c for c in result.candidates if c["picked"]]
    assert [c["params"] for c in picked] == [result.arch.params]
    assert picked[0]["measured_ratio"] <= 1 / SMALL.speedup
    for one in result.candidates:
        assert one["estimate_bytes"] <= 2_000_000 / SMALL.shrink
        assert one["macs"] <= 0.6 * 20_000_000
    measured = [c for c in result.candidates if c["measured_ratio"] is not None]
    assert 1 <= len(measured) <= SMALL.measured
    assert result.evaluated == len(result.candidates) <= SMALL.evaluations


def test_positions_and_normalisations_of_a_transformer_are_guessed_as_floats() -> None:
    spec = StudentSpec(input_shape=(1, 16, 16), outputs=4, layout="channels-first")
    sizes = {"convolutions": 0, "width": 32, "depth": 1, "heads": 1, "ratio": 1}
    small, large = (
        students.cost(students.arch_of("vit", spec, {**sizes, "patch": p, "class_tokens": 0}))
        for p in (4, 2)
    )
    # 64 positions instead of 16; patches of 4 pixels instead of 16.
    wanted = 4 * 32 * (64 - 16) - 32 * (16 - 4)
    assert estimate.file_bytes(large) - estimate.file_bytes(small) == wanted


def test_result_survives_json(tmp_path: Path) -> None:
    result = found(large_teacher(tmp_path, (3, 16, 16)), calibration((3, 16, 16), y=LABELS))
    text = json.dumps(result.to_json(), allow_nan=False)
    again = SearchResult.from_json(json.loads(text))
    assert again.arch == result.arch
    assert again.to_json() == json.loads(text)
    assert {"diswot~depth", "diswot~macs", "diswot~params"} <= set(result.taus)


def test_a_value_that_is_not_finite_becomes_null() -> None:
    result = SearchResult(None, "", [{"values": {"naswot": float("-inf")}}], 1, {}, {})
    assert result.to_json()["candidates"] == [{"values": {"naswot": None}}]


def test_equal_seeds_agree_and_leave_the_random_state(tmp_path: Path) -> None:
    teacher, calib = large_teacher(tmp_path, (3, 16, 16)), calibration((3, 16, 16), y=LABELS)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    one, two, other = (found(teacher, calib, seed=s) for s in (3, 3, 4))
    assert one == two
    assert one.candidates != other.candidates
    assert torch.get_rng_state().equal(before[0])
    assert (np.random.get_state()[1] == before[1]).all()


def test_noise_of_a_few_percent_does_not_change_what_is_evolved(tmp_path: Path) -> None:
    teacher, calib = large_teacher(tmp_path, (3, 16, 16)), calibration((3, 16, 16), y=LABELS)
    for factor in (0.3, 1.0, 3.0):
        runs = [found(teacher, calib, measure=as_guessed(factor * f)) for f in (0.98, 1.02)]
        params = [[c["params"] for c in r.candidates] for r in runs]
        assert params[0] == params[1]


@pytest.mark.parametrize("factor", [0.2, 0.5, 1.0, 2.0, 5.0])
def test_a_wrong_guess_is_corrected_by_measuring(tmp_path: Path, factor: float) -> None:
    teacher, calib = large_teacher(tmp_path, (3, 16, 16)), calibration((3, 16, 16), y=LABELS)
    result = found(teacher, calib, measure=as_guessed(factor))
    (picked,) = [c for c in result.candidates if c["picked"]]
    assert picked["measured_ratio"] <= shortlist.APART / SMALL.speedup
    assert f"measured {picked['measured_ratio']:.1%}" in result.reason


def test_fastest_measured_is_picked_when_none_is_fast_enough(tmp_path: Path) -> None:
    teacher, calib = large_teacher(tmp_path, (3, 16, 16)), calibration((3, 16, 16), y=LABELS)
    result = found(teacher, calib, measure=as_guessed(1000))
    measured = [c["measured_ratio"] for c in result.candidates if c["measured_ratio"]]
    (picked,) = [c for c in result.candidates if c["picked"]]
    assert picked["measured_ratio"] == min(measured)
    assert "none reached 12.5%" in result.reason


def test_a_teacher_that_no_student_can_undercut_gets_the_fastest(tmp_path: Path) -> None:
    teacher = large_teacher(tmp_path, (20,), census={"Gemm": 3})
    result = search(
        teacher,
        calibration((20,), "vector", LABELS),
        SMALL,
        Goal(),
        seed=0,
        measure_latency=lambda archs: [0.9 for _ in archs],
        teacher_latency_ms=0.003,
        progress=Progress(),
    )
    assert result.arch is not None
    assert "none reached 12.5%" in result.reason


def test_nothing_is_picked_when_the_smallest_is_too_large(tmp_path: Path) -> None:
    teacher = large_teacher(tmp_path, (3, 16, 16), file_bytes=1000, params=300, macs=5000)
    result = found(teacher, calibration((3, 16, 16), y=LABELS))
    assert result.arch is None
    assert "not even the smallest resnet is inside" in result.reason
    assert SearchResult.from_json(result.to_json()) == result


@pytest.mark.parametrize(
    ("modality", "changed"),
    [
        ("tokens", {"dtype": "int64"}),
        ("image", {"dtype": "int64"}),
        ("image", {"output_shape": (4, 16, 16)}),
        ("image", {"output_shape": ()}),
    ],
)
def test_teacher_is_kept_when_no_family_fits(
    tmp_path: Path, modality: str, changed: dict[str, Any]
) -> None:
    teacher = large_teacher(tmp_path, (3, 16, 16), **changed)
    result = found(teacher, calibration((3, 16, 16), modality, LABELS))
    assert result.arch is None
    assert result.reason.startswith("the teacher's architecture is kept: no family of")


def test_unknown_names_in_the_recipe_are_config_errors(tmp_path: Path) -> None:
    teacher, calib = large_teacher(tmp_path, (3, 16, 16)), calibration((3, 16, 16), y=LABELS)
    with pytest.raises(ConfigError, match=r"search.proxy.*Did you mean 'diswot'"):
        found(teacher, calib, SearchPart(proxy="diswott"))
    with pytest.raises(ConfigError, match=r"search\.families: unknown 'lstm'"):
        found(teacher, calib, SearchPart(families=("lstm",)))


@pytest.mark.parametrize("proxy", ["diswot", "naswot", "synflow"])
def test_a_transformer_is_picked_inside_the_bounds_where_it_is_asked_for(
    tmp_path: Path, proxy: str
) -> None:
    teacher = large_teacher(tmp_path, (3, 16, 16))
    part = SMALL.model_copy(update={"families": ("vit",), "proxy": proxy})
    result = found(teacher, calibration((3, 16, 16), y=LABELS), part)
    assert result.arch is not None, result.reason
    assert result.arch.family == "vit"
    (picked,) = [c for c in result.candidates if c["picked"]]
    assert picked["measured_ratio"] <= shortlist.APART / SMALL.speedup
    for one in result.candidates:
        assert one["estimate_bytes"] <= 2_000_000 / SMALL.shrink
        assert one["macs"] <= 0.6 * 20_000_000
    again = found(teacher, calibration((3, 16, 16), y=LABELS), part)
    assert again == result


@pytest.mark.parametrize(
    ("outputs", "y", "metric"),
    [
        (CLASSES, None, None),
        (1, np.arange(80) % 2, "auc"),
        (CLASSES, np.ones((80, CLASSES), np.float32), "mse"),
        (CLASSES, None, "cosine"),
        (CLASSES, np.zeros(80, np.int64), "top1"),
    ],
    ids=["no-labels", "one-logit", "regression", "cosine", "one-class"],
)
def test_search_works_for_every_kind_of_labels(
    tmp_path: Path, outputs: int, y: Array | None, metric: str | None
) -> None:
    teacher = large_teacher(tmp_path, (20,), outputs, census={"Gemm": 3})
    result = found(teacher, calibration((20,), "vector", y, metric))
    assert result.arch is not None
    assert all(np.isfinite(c["values"]["diswot"]) for c in result.candidates)


def test_panels_are_balanced_over_classes(tmp_path: Path) -> None:
    import random

    y = np.array([0] * 60 + [1] * 12 + [2] * 8)
    teacher = large_teacher(tmp_path, (3, 16, 16), 3)
    drawn = panel.draw(teacher, calibration((3, 16, 16), y=y), 48, rng=random.Random(0), threads=1)
    assert [len(b.x) for b in drawn] == [16, 16, 16]
    counts = sum(torch.bincount(b.y, minlength=3) for b in drawn if b.y is not None)
    assert isinstance(counts, torch.Tensor)
    assert counts.tolist() == [28, 12, 8]
    assert all(b.classes.tolist() == [0, 1, 2] for b in drawn)


def test_search_ends_early_when_the_space_is_used_up(tmp_path: Path) -> None:
    teacher = large_teacher(tmp_path, (20,), census={"Gemm": 3}, params=3000, macs=5000)
    part = SearchPart(evaluations=100_000, population=8, batch_size=16)
    result = found(teacher, calibration((20,), "vector", LABELS), part)
    assert result.arch is not None
    assert result.evaluated < 500


def test_goal_goes_before_speedup_and_shrink(tmp_path: Path) -> None:
    teacher = large_teacher(tmp_path, (3, 16, 16))
    part = SearchPart(speedup=8, shrink=10)
    plain = bounds.bounds_of(teacher, part, Goal(), 2.0)
    assert (plain.latency_ratio, plain.bytes) == (1 / 8, 200_000)
    goal = Goal(max_latency_ms=0.5, max_bytes=100_000)
    limited = bounds.bounds_of(teacher, part, goal, 2.0)
    assert limited.latency_ratio == pytest.approx(0.9 * 0.25)
    # Bits are shared out to what just fits; int8 must be inside by a guess.
    assert (limited.bytes, limited.bits, limited.fewer_bits) == (100_000, 4, (3, 2))
    assert (plain.bits, plain.fewer_bits) == (8, ())
    int8 = bounds.bounds_of(teacher, part.model_copy(update={"bits": 8}), goal, 2.0)
    assert (int8.bytes, int8.bits, int8.fewer_bits) == (95_000, 8, ())


def test_for_a_memory_limit_a_student_may_do_all_of_the_teachers_work(tmp_path: Path) -> None:
    teacher = large_teacher(tmp_path, (3, 16, 16))
    found = bounds.bounds_of(teacher, SearchPart(), Goal(max_ram_bytes=47_000), 2.0)
    assert (found.macs, found.params) == (teacher.macs, teacher.params)
    assert (found.ram_bytes, found.latency_ratio, found.demanded) == (47_000, 1.0, False)
    flash = bounds.bounds_of(teacher, SearchPart(), Goal(max_flash_bytes=10_000), 2.0)
    assert (flash.bytes, flash.latency_ratio) == (9_500, 1.0)


def test_wished_speedup_is_no_hard_edge_and_a_demanded_latency_is(tmp_path: Path) -> None:
    teacher = large_teacher(tmp_path, (3, 16, 16))
    wished = bounds.bounds_of(teacher, SearchPart(speedup=8), Goal(), 2.0)
    # One candidate measured at 0.122 to 0.141 of the teacher, by the CPU and what ran beside it: always picked.
    scores = [0.775, 0.437, 0.311]
    for close in (0.122, 0.1306, 0.1407):
        measured = {0: 0.34, 1: close, 2: 0.095}
        assert shortlist.pick(scores, measured, wished.latency_ratio, demanded=wished.demanded) == 1
    measured = {0: 0.34, 1: 0.2, 2: 0.095}
    assert shortlist.pick(scores, measured, wished.latency_ratio, demanded=wished.demanded) == 2
    limited = bounds.bounds_of(teacher, SearchPart(speedup=8), Goal(max_latency_ms=0.5), 2.0)
    measured = {0: 0.34, 1: 0.23, 2: 0.095}  # 0.9 of 0.5 ms are 0.225 of the teacher's 2 ms
    assert shortlist.pick(scores, measured, limited.latency_ratio, demanded=limited.demanded) == 2


def test_objective_shifts_work_against_bytes() -> None:
    def made(params: float, macs: float) -> Candidate:
        return candidate(values={"diswot": -1.0, "depth": 5.0, "params": params, "macs": macs})

    history = [made(200_000, 10e6), made(100_000, 20e6)]
    heavy, busy = combined(history, "diswot", "fastest")
    assert heavy > busy
    heavy, busy = combined(history, "diswot", "smallest")
    assert heavy < busy


def test_sizes_within_a_few_percent_rank_as_equal() -> None:
    def made(params: float) -> Candidate:
        return candidate(values={"diswot": -1.0, "depth": 5.0, "params": params, "macs": 1e6})

    history = [made(250_000), made(251_000), made(100_000)]
    one, two, three = combined(history, "diswot", "balanced")
    assert one == two > three


def test_ranks_put_ties_in_the_middle() -> None:
    assert ranks([5.0, 1.0, 5.0, 9.0]) == pytest.approx([0.5, 0, 0.5, 1])
    assert ranks([2.0]) == [0]


def test_kendall_tau_equals_hand_counts() -> None:
    # 6 pairs: 5 agree, 1 disagrees.
    assert kendall_tau([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(4 / 6)
    # tau-b with one tie in the first: 5 agreeing pairs of sqrt(5 * 6).
    assert kendall_tau([1, 1, 2, 3], [1, 2, 3, 4]) == pytest.approx(5 / np.sqrt(30))
    assert kendall_tau([1, 1], [1, 2]) is None


def guessed(ratio: float) -> Candidate:
    return candidate(ratio=ratio, layers=10)


def test_shortlist_takes_the_best_score_at_each_step_of_cost() -> None:
    history = [guessed(r) for r in (0.40, 0.38, 0.31, 0.30, 0.20, 0.24)]
    assert shortlist.best_by_cost(history, [9, 5, 7, 8, 4, 3]) == [0, 3, 4]


def test_first_batch_begins_at_the_bound_and_second_goes_where_the_corrected_guess_is() -> None:
    history = [guessed(0.4 / 1.3**k) for k in range(8)]
    steps = list(range(8))
    first = shortlist.first_batch(history, steps, 0.2, 3)
    assert first[:2] == [3, 0]
    # Half the guess everywhere: the top is now just inside nothing is left to ask.
    halved = {i: history[i].estimate_ratio / 2 for i in first}
    assert shortlist.second_batch(history, steps, halved, 0.2, 3) == []
    # Twice the guess: what is guessed at 0.1 is the one near the bound of 0.2.
    doubled = {i: history[i].estimate_ratio * 2 for i in first}
    guess = shortlist.corrected(history, doubled)
    near = shortlist.second_batch(history, steps, doubled, 0.2, 2)
    assert all(0.14 < guess(history[i]) < 0.3 for i in near)


def test_pick_is_the_best_score_inside_else_the_fastest() -> None:
    scores = [0.9, 0.8, 0.5]
    assert shortlist.pick(scores, {0: 0.3, 1: 0.2, 2: 0.1}, 0.25, demanded=True) == 1
    assert shortlist.pick(scores, {0: 0.3, 1: 0.2, 2: 0.1}, 0.05, demanded=True) == 2
