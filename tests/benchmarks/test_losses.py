"""The table of losses: paired by seed, with the interval of the difference."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from benchmarks.cases import ROOT
from benchmarks.losses import RESULTS, SETTINGS, compared, fitting, overall, page, setting_of
from squeeze.losses import LOSSES, refuse
from squeeze.losses.situations import SITUATIONS
from squeeze.spec import DistillPart


def test_losses_are_compared_seed_by_seed() -> None:
    usual, other = [80.0, 82.0, 81.0], [80.5, 83.0, 81.3]
    rows = [
        {"pair": "p", "loss": loss, "seed": seed, "metric": metric}
        for loss, metrics in (("kd", usual), ("dist", other), ("at", [70.0]))
        for seed, metric in enumerate(metrics)
    ]
    best, kd, worst = compared(rows)
    assert (best["loss"], kd["loss"], worst["loss"]) == ("dist", "kd", "at")
    gains = np.subtract(other, usual)
    assert best["gain"] == pytest.approx(gains.mean())
    # 4.303: Student's t for two degrees of freedom.
    assert best["half"] == pytest.approx(4.303 * gains.std(ddof=1) / 3**0.5, rel=1e-3)
    assert (kd["gain"], kd["half"]) == (0, 0)
    assert (worst["gain"], worst["half"], worst["seeds"]) == (-10, None, 1)


def test_over_all_pairs_each_run_is_compared_with_its_own_and_p_is_corrected() -> None:
    random = np.random.default_rng(0)
    usual = random.normal(50, 5, (2, 3))
    gains = {"dist": random.normal(1, 0.5, (2, 3)), "at": random.normal(0, 1, (2, 3))}
    metrics = {"kd": usual, **{name: usual + gain for name, gain in gains.items()}}
    rows = [
        {"pair": f"p{pair}", "loss": loss, "seed": seed, "metric": metric[pair, seed]}
        for loss, metric in metrics.items()
        for pair in range(2)
        for seed in range(3)
    ]
    best, worst = overall(rows)
    assert (best["loss"], worst["loss"]) == ("dist", "at")
    assert (best["runs"], best["wins"]) == (6, (gains["dist"] > 0).sum())
    assert best["gain"] == pytest.approx(gains["dist"].mean())
    single = {name: stats.ttest_rel(metrics[name].ravel(), usual.ravel()).pvalue for name in gains}
    small, large = sorted(single.values())
    assert sorted((best["p"], worst["p"])) == pytest.approx([2 * small, max(2 * small, large)])
    (alone,) = overall([row for row in rows if row["seed"] == 0 and row["pair"] == "p0"][:2])
    assert (alone["runs"], alone["p"]) == (1, None)


def test_the_page_has_what_was_measured() -> None:
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"]
    told = (ROOT / "docs/losses.md").read_text(encoding="utf-8")
    for steps in {row["steps"] for row in rows}:
        assert "\n".join(page([row for row in rows if row["steps"] == steps])) in told


def test_what_situations_say_is_what_was_measured() -> None:
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"]
    found = {row["loss"]: row for row in overall(rows)}
    teachers = {name: row for name, row in found.items() if not name.startswith(("kd", "labels"))}
    said = {s.when: s.measured for s in SITUATIONS}
    assert said["classes, and nothing else is known"].startswith("none of nine others")
    assert len(teachers) == 9
    assert not any(row["gain"] > 0 and row["p"] < 0.05 for row in teachers.values())
    assert abs(found["dist"]["gain"]) < found["dist"]["half"]  # as good, not better
    assert found["pld"]["gain"] < 0
    assert found["ssld"]["gain"] < 0
    assert found["ssld"]["p"] < 0.05


def test_without_the_usual_loss_nothing_is_compared() -> None:
    (row,) = compared([{"pair": "p", "loss": "pld", "seed": 0, "metric": 90.0}])
    assert (row["metric"], row["gain"], row["half"]) == (90.0, None, None)


def test_only_losses_of_classes_and_features_are_trained() -> None:
    others = {"bce", "bpkd", "cosine", "cwd", "mse", "pixel_kd"}
    assert set(LOSSES) - set(fitting()) == others
    assert set(fitting()) - set(LOSSES) == {"kd-1", "kd-unlabelled", "labels"}


@pytest.mark.parametrize("name", fitting())
def test_every_setting_is_a_loss_of_a_recipe(name: str) -> None:
    part = DistillPart.model_validate({"loss": setting_of(name)})
    refuse(part.loss)
    assert (name in SETTINGS) == (part.loss != name)
