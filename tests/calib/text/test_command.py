"""Texts as people give them on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.calib.text.conftest import Write
from tests.started import run as squeeze

pytest.importorskip("tokenizers", reason="tokenizers: pip install squeeze[hf]")

from tests.calib.text.small import WORDS, encoder


@pytest.fixture
def pairs(write: Write) -> Path:
    """Pairs beside a model and its tokenizer."""
    path = write("pairs.csv", "\n".join(["one,other,score", *(f"a,b,{i / 3}" for i in range(12))]))
    encoder(path.parent / "m.onnx")
    return path


def test_tokenizer_is_found_beside_the_model(pairs: Path) -> None:
    model = pairs.parent / "m.onnx"
    given = ("calib", pairs, "--model", model, "--text", "one,other", "--label", "score")
    shown = json.loads(squeeze(*given, "--max-length", "9", "--json").stdout)
    assert shown["metric"] == "pair_spearman"
    assert shown["text"]["length"] == 3
    assert shown["text"]["inputs"] == {"input_ids": "ids", "attention_mask": "mask"}
    assert shown["splits"]["fit"]["samples"] % 2 == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--text", "one,other,third"), "--text: got 'one,other,third'; a column, or two"),
        (("--text", "two"), "no column 'two'; there are: 'one', 'other', 'score'"),
        (("--text", "one", "--tokenizer", "none.json"), "none.json: no such file"),
        (("--text", "one", "--max-length", "2"), "2 tokens have no room for text"),
        ((), "which column has the text? There are: 'one', 'other', 'score'"),
    ],
    ids=["three", "unknown", "tokenizer", "short", "none"],
)
def test_what_is_wrong_is_one_line(pairs: Path, given: tuple[str, ...], said: str) -> None:
    done = squeeze("calib", pairs, "--model", pairs.parent / "m.onnx", *given)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_tokenizer_of_more_tokens_than_the_model_has_is_told(pairs: Path) -> None:
    model, data = pairs.parent / "m.onnx", pairs.parent / "d.txt"
    known = json.loads((pairs.parent / "tokenizer.json").read_text())
    known["model"]["vocab"]["z"] = len(WORDS)
    (pairs.parent / "tokenizer.json").write_text(json.dumps(known))
    data.write_text("a\nb\nc\nd\n")  # none of these is beyond
    assert squeeze("calib", data, "--model", model).returncode == 0
    data.write_text("a\nb z\nc\nd\n")
    done = squeeze("calib", data, "--model", model)
    assert done.returncode == 2
    assert f"'input_ids' has the id {len(WORDS)} (token 'z')" in done.stderr
    assert f"table ends at {len(WORDS) - 1}" in done.stderr


def test_options_of_texts_without_data_are_refused(pairs: Path) -> None:
    model, out = pairs.parent / "m.onnx", pairs.parent / "o.onnx"
    for command in (("quantize", model, "-o", out), ("profile", model)):
        done = squeeze(*command, "--text", "one")
        assert done.returncode == 2
        assert "add --calib" in done.stderr or "give --calib" in done.stderr
        assert not out.exists()
