"""Answers in few bytes: what is stored, what it takes, and what a student then learns from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from squeeze.errors import ConfigError
from squeeze.guides import cache_answers, open_answers
from squeeze.guides.codec import bytes_of, codec_of
from squeeze.guides.views import Views
from squeeze.progress import Progress
from tests.train import samples

IMAGENET, CROPS = 1_281_167, 500


@pytest.mark.parametrize("name", ["hard", "smooth-1", "smooth-5", "renorm-1", "renorm-5"])
def test_rows_of_probabilities_sum_to_one(name: str) -> None:
    logits = (6 * np.random.default_rng(0).normal(size=(50, 100))).astype(np.float32)
    # Sure of one, and of none.
    logits[0, 3], logits[1] = 200, 0
    codec = codec_of(name, 100)
    decoded = codec.decode(*codec.encode(logits))
    np.testing.assert_allclose(softmax(decoded.astype(np.float64), 1).sum(1), 1, rtol=1e-12)
    np.testing.assert_allclose(np.exp(decoded.astype(np.float64)).sum(1), 1, rtol=1e-5)
    assert decoded.dtype == np.float32
    assert np.isfinite(decoded).all()
    np.testing.assert_array_equal(decoded.argmax(1), logits.argmax(1))


def test_each_codec_is_its_formula() -> None:
    p = np.array([[0.5, 0.05, 0.2, 0.25]])
    logits = np.log(p).astype(np.float32)
    expected = {
        "hard": [1, 0, 0, 0],
        "smooth-1": [0.5, 0.5 / 3, 0.5 / 3, 0.5 / 3],
        "smooth-2": [0.5, 0.125, 0.125, 0.25],
        "renorm-2": [2 / 3, 0, 0, 1 / 3],
        "renorm-3": [0.5 / 0.95, 0, 0.2 / 0.95, 0.25 / 0.95],
    }
    for name, row in expected.items():
        codec = codec_of(name, 4)
        found = softmax(codec.decode(*codec.encode(logits)), axis=1)
        np.testing.assert_allclose(found, [row], atol=3e-4, err_msg=name)  # float16 has 11 bits


def test_bytes_are_those_of_the_papers() -> None:
    # Fast knowledge distillation: five of 1,000 classes, beside four float16 of a crop's place and one bit.
    top5 = codec_of("renorm-5", 1000)
    assert top5.bytes_per_answer + 4 * 2 + 1 / 8 == 28.125
    place = (4 * 2 + 1 / 8) * IMAGENET * CROPS
    assert (bytes_of(top5, IMAGENET, CROPS) + place) / 1e9 == pytest.approx(18.0, abs=0.05)
    full = codec_of("full", 1000)
    assert bytes_of(full, IMAGENET, CROPS) / 1e12 == pytest.approx(1.281, abs=5e-4)
    assert codec_of("hard", 1000).bytes_per_answer == 2
    assert codec_of("smooth-10", 21_841).bytes_per_answer == 40
    # Numbers of classes that two bytes do not hold.
    assert codec_of("smooth-10", 40_000).bytes_per_answer == 60


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("top-5", "got 'top-5', allowed: full, hard, smooth-K or renorm-K"),
        ("renorm-0", "got 'renorm-0'"),
        ("renorm", "got 'renorm'"),
        ("smooth-10", "'smooth-10' keeps 10 of 10 classes; take fewer, or 'full'"),
    ],
)
def test_a_codec_that_is_none_or_keeps_everything_is_refused(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        codec_of(name, 10)


def test_what_is_on_disk_is_what_was_counted_and_reads_as_logits(tmp_path: Path) -> None:
    data, shape = samples.calib(), (1, 8, 8)
    teacher = samples.linear_teacher(tmp_path, shape, 6)
    rows, folder = np.arange(len(data.fit)), tmp_path / "answers"
    digests = set()
    for name in ("full", "smooth-2", "hard", "renorm-2"):
        part = samples.part(codec=name)
        views, codec = Views(data, part, 0), codec_of(name, 6)
        cache_answers(teacher, data, part, seed=0, threads=1, folder=folder, progress=Progress())
        guide = open_answers(views, folder=folder)
        logits = teacher.outputs(views.at(rows, 1).x).logits
        expected = logits if name == "full" else codec.decode(*codec.encode(logits))
        found = guide.at(rows, np.ones_like(rows)).logits
        np.testing.assert_allclose(softmax(found, 1), softmax(expected, 1), atol=2e-3)
        stored = [
            np.load(folder / f"view_{v:02}{kind}.npy").nbytes
            for v in range(views.count)
            for kind in (("",) if name == "full" else ("", "_classes"))
        ]
        assert sum(stored) == bytes_of(codec, len(rows), views.count)
        digests.add(guide.digest)
        # The training is still watched by what the teacher says, not by what is left of it.
        np.testing.assert_allclose(
            guide.plain, teacher.outputs(data.inputs(data.calibrate)).logits, atol=2e-2
        )
    assert len(digests) == 4
    with pytest.raises(ConfigError, match="these answers are for other data, views or seed"):
        open_answers(Views(data, samples.part(), 0), folder=folder)


def test_a_codec_is_for_classes_of_samples(tmp_path: Path) -> None:
    values = samples.calib("vector", classes=None, metric="mse")
    teacher = samples.linear_teacher(tmp_path, samples.SHAPES["vector"])
    with pytest.raises(ConfigError, match=r"'hard' is for classes, and .* gives logits float32"):
        cache_answers(
            teacher,
            values,
            samples.part(codec="hard"),
            seed=0,
            threads=1,
            folder=tmp_path / "answers",
            progress=Progress(),
        )


def test_answers_that_the_disk_has_no_room_for_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil
    from types import SimpleNamespace

    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=100))
    teacher = samples.linear_teacher(tmp_path, (1, 8, 8))
    with pytest.raises(ConfigError, match=r"take 0.0 GB, and 0.0 GB are free; take fewer distill"):
        cache_answers(
            teacher,
            samples.calib(),
            samples.part(),
            seed=0,
            threads=1,
            folder=tmp_path / "answers",
            progress=Progress(),
        )


def test_a_reinforced_set_takes_less_than_published_for_what_was_changed_takes_nothing() -> None:
    # Published: 33.4 GB for 400 views of ImageNet with ten probabilities each, 4.7 GB for 100 with five.
    top10, top5 = codec_of("renorm-10", 1000), codec_of("renorm-5", 1000)
    for codec, views, published_gb, record_bytes, ours_gb in (
        (top10, 400, 33.4, 65, 20.5),
        (top5, 100, 4.7, 37, 2.56),
    ):
        assert published_gb * 1e9 / (IMAGENET * views) == pytest.approx(record_bytes, abs=0.5)
        assert bytes_of(codec, IMAGENET, views) / 1e9 == pytest.approx(ours_gb, abs=0.01)
        # What is left is the place and the rest of what was changed.
        assert record_bytes - codec.bytes_per_answer == pytest.approx(21, abs=4)
    assert bytes_of(top5, IMAGENET, CROPS) / 1e9 == pytest.approx(12.8, abs=0.02)
