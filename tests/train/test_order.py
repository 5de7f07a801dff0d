"""Which views are seen: several of a sample at once, a share of the samples, and those that the guide is sure of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from squeeze.guides import cache_answers, open_answers, sureness
from squeeze.guides.views import Views
from squeeze.outputs import Outputs
from squeeze.progress import Progress
from squeeze.train.order import ALL, Order
from squeeze.train.schedule import picks
from tests.train import samples

N, VIEWS = 40, 4


def drawn(order: Order, steps: int, batch_size: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Samples and views of all steps, [steps * batch_size] each."""
    made = [order.at(s, n=N, batch_size=batch_size, views=VIEWS, seed=3) for s in range(steps)]
    found, views = zip(*made, strict=True)
    return np.concatenate(found), np.concatenate(views)


def test_without_more_it_is_the_usual_order() -> None:
    for step in range(7):
        usual = picks(step, n=N, batch_size=8, views=VIEWS, seed=3)
        found = ALL.at(step, n=N, batch_size=8, views=VIEWS, seed=3)
        for one, other in zip(found, usual, strict=True):
            np.testing.assert_array_equal(one, other)


def test_views_of_a_sample_stand_side_by_side_and_the_next_ones_come_later() -> None:
    found, views = drawn(Order(crops=2), steps=20)
    pairs = found.reshape(-1, 2)
    assert (pairs[:, 0] == pairs[:, 1]).all()
    assert (views[0::2] != views[1::2]).all()
    # 80 pairs of 40 samples: each comes twice, and then every view was seen once.
    for sample in range(N):
        assert sorted(views[found == sample]) == [0, 1, 2, 3]


def test_an_epoch_of_a_share_has_other_samples_each_time() -> None:
    found, _ = drawn(Order(share=0.25), steps=20, batch_size=10)  # 10 of 40 samples an epoch
    epochs = found.reshape(20, 10)
    for epoch in epochs:
        assert len(set(epoch)) == 10
    assert len({tuple(sorted(epoch)) for epoch in epochs}) == 20
    assert set(found) == set(range(N))


def test_shares_of_views_are_those_asked_for() -> None:
    confidence = np.random.default_rng(0).permutation(N * VIEWS).reshape(N, VIEWS) / (N * VIEWS)
    found = sureness.sort(confidence.astype(np.float32), drop=0.1, label=0.2, thin=0.25, seed=0)
    least, sure = confidence < 0.1, confidence >= 0.75
    assert not found.kept[least].any()
    np.testing.assert_array_equal(found.labelled, (confidence >= 0.1) & (confidence < 0.3))
    assert found.kept[~least & ~sure].all()
    # Of 40 the half, by chance: 4 standard deviations are 13.
    assert 7 <= found.kept[sure].sum() <= 33
    again = sureness.sort(confidence.astype(np.float32), drop=0.1, label=0.2, thin=0.25, seed=0)
    np.testing.assert_array_equal(found.kept, again.kept)


def test_equal_ones_are_left_out_in_their_order_and_never_more_than_asked() -> None:
    found = sureness.sort(np.ones((5, 2), np.float32), drop=0.2, label=0.0, thin=0.0, seed=0)
    assert not found.kept[0].any()
    assert found.kept[1:].all()


def test_only_views_that_are_left_are_drawn_and_all_of_them() -> None:
    kept = np.random.default_rng(1).random((N, VIEWS)) < 0.6
    kept[5] = False
    order = Order(sorted=sureness.Sorted(kept, np.zeros_like(kept)))
    found, views = drawn(order, steps=40)
    assert kept[found, views].all()
    seen = np.zeros_like(kept)
    seen[found, views] = True
    np.testing.assert_array_equal(seen, kept)


def test_a_softened_label_by_hand() -> None:
    found = softmax(sureness.softened(np.array([2]), 5).astype(np.float64), axis=1)
    np.testing.assert_allclose(found, [[0.02, 0.02, 0.92, 0.02, 0.02]], rtol=1e-6)
    shares = softmax(sureness.softened(np.array([[0.75, 0.25]]), 2).astype(np.float64), axis=1)
    np.testing.assert_allclose(shares, [[0.725, 0.275]], rtol=1e-6)


def test_what_misleads_is_taught_by_its_label() -> None:
    labelled = np.zeros((3, 2), bool)
    labelled[1, 1] = True
    order = Order(sorted=sureness.Sorted(np.ones((3, 2), bool), labelled))
    given = Outputs(np.zeros((2, 2), np.float32))
    rows, views = np.array([1, 1]), np.array([0, 1])
    found = order.taught(given, rows, views, np.array([1, 1])).logits
    np.testing.assert_allclose(softmax(found, 1), [[0.5, 0.5], [0.05, 0.95]], rtol=1e-5)
    assert order.taught(given, rows, views, None) is given
    assert ALL.taught(given, rows, views, np.array([1, 1])) is given


@pytest.mark.parametrize("codec", ["full", "renorm-2"])
def test_how_sure_a_guide_is_comes_from_its_answers(codec: str, tmp_path: Path) -> None:
    data = samples.calib("vector")
    part = samples.part(codec=codec, drop_unsure=0.3)
    teacher = samples.linear_teacher(tmp_path, samples.SHAPES["vector"], gain=3.0)
    folder = tmp_path / "answers"
    cache_answers(teacher, data, part, seed=0, threads=1, folder=folder, progress=Progress())
    views = Views(data, part, 0)
    order = Order.of(part, open_answers(views, folder=folder), views)
    rows = np.arange(len(data.fit))
    sure = [
        softmax(teacher.outputs(views.at(rows, v).x).logits.astype(np.float64), 1).max(1)
        for v in range(2)
    ]
    limit = np.quantile(sure, 0.3)
    expected = np.stack(sure, 1) > limit
    assert order.sorted is not None
    # float16 and what a codec leaves away move a few across the bound.
    assert (order.sorted.kept == expected).mean() > (0.99 if codec == "full" else 0.9)
    assert order.sorted.kept.mean() == pytest.approx(0.7, abs=0.01)
