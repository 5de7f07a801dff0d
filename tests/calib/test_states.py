"""Inputs without arrays: states are zeros until the model is asked, constants and lengths the same in all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from squeeze import calib
from squeeze.calib.states import fills
from squeeze.end import End
from squeeze.errors import ConfigError

X = End("x", "float32", ("batch", 8))
STATE = End("state", "float32", (2, "batch", 16))
RATE = End("sr", "int64", ())
OUT = End("output", "float32", ("batch", 1))
NEXT = End("stateN", "float32", (2, "batch", 16))


def ends(*names: str, sizes: tuple[int | str, ...] = ("batch", 4)) -> tuple[End, ...]:
    return tuple(End(name, "float32", sizes) for name in names)


@pytest.mark.parametrize(
    ("taken", "given"),
    [
        ("state", "stateN"),
        ("h", "hn"),
        ("h0", "hn"),
        ("h0", "h_n"),
        ("h", "h_out"),
        ("h_in", "h_out"),
        ("input_state", "output_state"),
        ("prev_hidden", "next_hidden"),
        ("past_key_values.3.key", "present.3.key"),
        ("past_3", "present_3"),
        ("cache_in", "cache_out"),
    ],
)
def test_names_of_old_and_new_values_pair(taken: str, given: str) -> None:
    found = fills(ends("x", taken), ends("y", given), {}, {}, "")
    assert dict(found.states) == {taken: given}


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        (ends("input"), ends("output")),
        (ends("x", "input"), ends("output")),
        (ends("x", "past.0"), ends("present.1")),
        (ends("x", "mask"), ends("y")),
        (ends("x", "h"), ends("hn", sizes=("batch", 5))),
        (ends("x", "h"), (End("hn", "float16", ("batch", 4)),)),
        (ends("h"), ends("hn")),
    ],
)
def test_what_is_no_state_does_not_pair(inputs: tuple[End, ...], outputs: tuple[End, ...]) -> None:
    assert not fills(inputs, outputs, {}, {}, "").states


def load(source: Path, model: tuple[tuple[End, ...], tuple[End, ...]]) -> calib.Calib:
    return calib.load(str(source), inputs=[end.name for end in model[0]], ends=model)


MODEL = ((X, STATE, RATE), (OUT, NEXT))


def test_states_begin_at_zero_and_one_number_is_for_all_samples(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((30, 8)).astype(np.float32)
    for rate in (np.array(16000), np.array([16000]), np.full(30, 16000)):
        np.savez(tmp_path / "d.npz", x=x, sr=rate)
        data = load(tmp_path / "d.npz", MODEL)
        assert dict(data.states) == {"state": "stateN"}
        assert any("state 'state' begins at zero" in text for text in data.assumed)
        feed = data.feed(data.fit)
        assert feed["sr"].shape == (len(data.fit),)
        assert set(feed["sr"]) == {16000}
        assert feed["state"].shape == (len(data.fit), 2, 16)
        assert not feed["state"].any()


def test_states_with_arrays_are_those_of_the_data(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, state = (rng.standard_normal((30, *s)).astype(np.float32) for s in ((8,), (2, 16)))
    np.savez(tmp_path / "d.npz", x=x, state=state, sr=np.array(8000))
    data = load(tmp_path / "d.npz", MODEL)
    assert not data.states
    assert data.feed(data.fit)["state"].any()


def test_a_toml_names_constants_states_and_single_samples(tmp_path: Path) -> None:
    np.save(tmp_path / "clips.npy", np.ones((30, 8), np.float32))
    other = ((X, End("memory", "float32", ("batch", 4)), RATE), (OUT, *ends("y")))
    text = 'schema = 1\nname = "clips"\ndata = "clips.npy"\n'
    (tmp_path / "d.toml").write_text(text + '[constants]\nsr = 8000\n[states]\ny = "memory"\n')
    data = load(tmp_path / "d.toml", other)
    assert dict(data.states) == {"memory": "y"}
    assert set(data.feed(data.fit)["sr"]) == {8000}
    assert data.feed(data.fit)["x"].shape == (len(data.fit), 8)
    (tmp_path / "d.toml").write_text(
        text + 'sequence = false\n[constants]\nsr = 8000\n[states]\ny = "memory"\n'
    )
    assert not load(tmp_path / "d.toml", other).states
    for table, words in (
        ("[constants]\nrate = 1", "constants: input of the model: unknown 'rate'"),
        ('[states]\nz = "memory"', "states: output of the model: unknown 'z'"),
        ('[states]\ny = "memory"\n[constants]\nsr = 0.5', "whole number"),
    ):
        (tmp_path / "d.toml").write_text(f"{text}{table}\n")
        with pytest.raises(ConfigError, match=words):
            load(tmp_path / "d.toml", other)


def test_a_constant_has_the_sizes_that_the_model_calls_alike(tmp_path: Path) -> None:
    ids, types = (End(name, "int64", ("batch", "t")) for name in ("ids", "types"))
    np.save(tmp_path / "ids.npy", np.ones((30, 7), np.int64))
    text = 'schema = 1\nname = "d"\ndata = "ids.npy"\n[constants]\ntypes = 2\n'
    (tmp_path / "d.toml").write_text(text)
    data = load(tmp_path / "d.toml", ((ids, types), (OUT,)))
    found = data.feed(data.fit)["types"]
    assert found.shape == (len(data.fit), 7)
    assert (found == 2).all()


def test_an_input_that_is_none_of_these_still_needs_an_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.ones((30, 8), np.float32))
    with pytest.raises(ConfigError, match=r"no array for input 'sr'.*\[constants\]"):
        load(tmp_path / "d.npz", MODEL)


def test_lengths_are_those_of_the_axis_that_may_vary(tmp_path: Path) -> None:
    model = (
        (
            End("audio", "float32", ("batch", 80, "frames")),
            End("audio_lengths", "int64", ("batch",)),
        ),
        (OUT,),
    )
    np.savez(tmp_path / "d.npz", audio=np.ones((30, 80, 17), np.float32))
    data = load(tmp_path / "d.npz", model)
    feed = data.feed(data.fit)
    assert data.fit.arrays["audio_lengths"].dtype == np.int64
    assert set(feed["audio_lengths"]) == {17}
