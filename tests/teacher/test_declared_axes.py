"""What a model declares of its axes is believed: time is no batch, and a vector is one sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from squeeze import runtimes, teacher
from squeeze.errors import ConfigError
from tests.teacher.conftest import load
from tests.teacher.graphs import model, run, saved, value

RNG = np.random.default_rng(0)
STEPS = RNG.normal(size=(20, 3, 16)).astype(np.float32)  # [t, 3, 16]


def recurrent(time: str) -> onnx.ModelProto:
    """An LSTM over [time, 3, 16], as ONNX has it."""
    weights = {
        "w": RNG.normal(size=(1, 32, 16)).astype(np.float32),
        "r": RNG.normal(size=(1, 32, 8)).astype(np.float32),
    }
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=8)
    ends = [value("x", [time, 3, 16])], [value("y", [time, 1, 3, 8])]
    return model([node], *ends, weights)


def vector(*sizes: int | str) -> onnx.ModelProto:
    """The sum over a vector, of which no part is a sample."""
    node = helper.make_node("ReduceSum", ["x"], ["y"], keepdims=1)
    return model([node], [value("x", list(sizes))], [value("y", [1] * len(sizes))], {})


@pytest.mark.parametrize("time", ["T", "time", "seq_len", "points"])
def test_axis_of_another_name_that_mixes_is_refused_by_its_name(time: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as e:
        load(saved(recurrent(time), tmp_path), tmp_path, STEPS)
    said = str(e.value)
    assert f"axis 0 ('{time}') of input 'x' [{time}, 3, 16] is no batch" in said
    assert f"[n, {time}, 3, 16]" in said
    assert "\n" not in said


def test_samples_that_nobody_gave_say_nothing_of_axes(tmp_path: Path) -> None:
    path = saved(recurrent("points"), tmp_path)
    folder = tmp_path / "teacher"
    given = {"weights": None, "example": {"x": STEPS}, "folder": folder}
    found = teacher.load(str(path), **given, made_up=True)
    assert found.interface.batch_size == 1
    assert "(axis 0 of input 'x')" in found.changes[0]


@pytest.mark.parametrize("steps", [20, 1], ids=["twenty-steps", "one-step"])
def test_time_stays_free_where_samples_are_as_the_model_takes_them(
    steps: int, tmp_path: Path
) -> None:
    path = saved(recurrent("T"), tmp_path)
    samples = np.stack([STEPS[:steps], STEPS[:steps] + 1, STEPS[:steps] - 1])
    found = load(path, tmp_path, samples)
    assert found.input.batch_axis is None
    assert found.interface.free == {"T": steps}
    opened = runtimes.session(found.model)
    for length in (20, 7):  # one that the data has not
        got = opened.run(["y"], {"x": STEPS[:length]})[0]
        np.testing.assert_allclose(got, run(path, {"x": STEPS[:length]})["y"], atol=1e-5)


@pytest.mark.parametrize("name", ["batch", "unk__6"])
def test_batch_and_what_nobody_named_stay_one_sample_a_run(name: str, tmp_path: Path) -> None:
    found = load(saved(recurrent(name), tmp_path), tmp_path, STEPS)
    assert found.interface.batch_size == 1
    assert "the batch is fixed to 1 (axis 0 of input 'x')" in found.changes[0]


def test_frames_that_do_not_mix_are_samples_whatever_the_axis_is_called(tmp_path: Path) -> None:
    weights = {"w": RNG.normal(size=(16, 4)).astype(np.float32)}
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    made = model([node], [value("x", ["T", 16])], [value("y", ["T", 4])], weights)
    found = load(saved(made, tmp_path), tmp_path, STEPS[:, 0])
    assert (found.input.batch_axis, found.interface.batch_size) == (0, None)


@pytest.mark.parametrize("count", [40, 400])
def test_numbers_are_no_samples_of_a_vector(count: int, tmp_path: Path) -> None:
    numbers = RNG.normal(size=count).astype(np.float32)
    with pytest.raises(ConfigError, match=r"\[40\], which has no batch.* as \[n, 40\]") as e:
        load(saved(vector(40), tmp_path), tmp_path, numbers)
    assert "\n" not in str(e.value)


def test_vectors_are_samples_of_a_vector(tmp_path: Path) -> None:
    samples = RNG.normal(size=(5, 40)).astype(np.float32)
    found = load(saved(vector(40), tmp_path), tmp_path, samples)
    assert (found.input.batch_axis, found.input.shape) == (None, (40,))
    got = runtimes.infer(runtimes.session(found.model), {"x": samples}, found.interface)["y"]
    np.testing.assert_allclose(got[:, 0], samples.sum(axis=1), atol=1e-4)


@pytest.mark.parametrize("size", [1, "n", "k"])
def test_numbers_are_samples_of_one_number(size: int | str, tmp_path: Path) -> None:
    node = helper.make_node("Add", ["x", "x"], ["y"])
    made = model([node], [value("x", [size])], [value("y", [size])], {})
    found = load(saved(made, tmp_path), tmp_path, np.arange(5, dtype=np.float32))
    assert (found.input.batch_axis, found.input.shape) == (0, ())
