"""Decoders that take what they have seen before: texts begin with nothing, and what is written goes on from more."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from squeeze.verification import verify
from tests.calib.text.conftest import Write
from tests.started import run as squeeze

pytest.importorskip("tokenizers", reason="tokenizers: pip install squeeze[hf]")

from tests.calib.text.small import WIDTH, decoder

PAST = ("past_key_values.0.key", "past_key_values.0.value")


@pytest.fixture
def texts(write: Write) -> Path:
    """Texts of up to nine words, beside a decoder and its tokenizer."""
    dice = random.Random(0)
    lines = [" ".join(dice.choices("abcdefgh", k=dice.randint(2, 9))) for _ in range(40)]
    path = write("d.txt", "\n".join(lines))
    decoder(path.parent / "m.onnx")
    return path


def test_texts_calibrate_a_decoder_from_an_empty_past(texts: Path) -> None:
    model, out = texts.parent / "m.onnx", texts.parent / "out"
    done = squeeze("compile", model, "--calib", texts, "--recipe", "ptq", "--drop", "20", "-o", out)
    assert done.returncode == 0, done.stderr
    for name in PAST:
        assert f"assumed state '{name}' begins empty" in done.stderr
    checks = verify(out)
    assert all(check.ok for check in checks), checks
    # The written file takes a past, as an app gives it for the next word.
    rng = np.random.default_rng(0)
    feed = {
        "input_ids": np.array([[4, 5]]),
        "attention_mask": np.ones((1, 5), np.int64),
        **{name: rng.standard_normal((1, 3, WIDTH)).astype(np.float32) for name in PAST},
    }
    exact, found = (ort.InferenceSession(f).run(None, feed) for f in (model, out / "model.onnx"))
    for wanted, got in zip(exact, found, strict=True):
        assert got.shape == wanted.shape
        # Which file is picked is timed; an empty past in place of this one gives a correlation below 0.9.
        assert np.corrcoef(got.ravel(), wanted.ravel())[0, 1] > 0.99
    # And it is timed on what the data had: nothing before it.
    done = squeeze("profile", out, "--runs", "10")
    assert done.returncode == 0, done.stderr
    assert "past_key_values.0.key 1x0x64" in done.stdout


def test_an_array_of_no_past_is_no_empty_array(texts: Path) -> None:
    ids = np.random.default_rng(0).integers(4, 12, (12, 6))
    arrays = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    arrays |= {name: np.zeros((12, 0, WIDTH), np.float32) for name in PAST}
    model, out = texts.parent / "m.onnx", texts.parent / "q.onnx"
    np.savez(texts.parent / "a.npz", **arrays)
    done = squeeze("quantize", model, "--calib", texts.parent / "a.npz", "-o", out)
    assert done.returncode == 0, done.stderr
    np.savez(texts.parent / "b.npz", **{**arrays, "input_ids": ids[:, :0]})
    done = squeeze("quantize", model, "--calib", texts.parent / "b.npz", "-o", out)
    assert done.returncode == 2
    assert "array 'input_ids': is empty (shape [12, 0])" in done.stderr
