"""Texts, from a file of sentences to a verified package with its tokenizer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

import squeeze
from squeeze import seal, verification
from squeeze.artifact import Artifact
from squeeze.errors import GoalMissed
from tests.calib.text.small import CLS, ID, SEP, encoder, tokenizer_json

pytest.importorskip("tokenizers", reason="tokenizers: pip install squeeze[hf]")

RNG = np.random.default_rng(0)


def embedded(model: Path, words: list[list[str]]) -> np.ndarray:
    """[n, width], each sentence by itself, by the stock runtime."""
    opened = ort.InferenceSession(model)
    found = []
    for sentence in words:
        ids = np.array([[CLS, *(ID[w] for w in sentence), SEP]])
        found.append(
            opened.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0]
        )
    return np.stack(found)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A package of an encoder; pairs are scored by its own cosines, and a little noise."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "tokenizer.json").write_text(tokenizer_json())
    encoder(folder / "model.onnx")
    letters = list("abcdefgh")
    one, other = (
        [list(RNG.choice(letters, RNG.integers(1, 9))) for _ in range(150)] for _ in range(2)
    )
    a, b = (embedded(folder / "model.onnx", side) for side in (one, other))
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    scores = cosines + 0.02 * RNG.standard_normal(150)
    rows = [f"{' '.join(p)},{' '.join(q)},{s}" for p, q, s in zip(one, other, scores, strict=True)]
    (folder / "pairs.csv").write_text("\n".join(["one,other,score", *rows]))
    try:
        found = squeeze.compile(
            str(folder / "model.onnx"),
            str(folder / "pairs.csv"),
            out=folder / "out",
            recipe="ptq",
            text={"columns": ["one", "other"], "label": "score"},
            threads=1,
            cache=folder / "cache",
        )
    except GoalMissed as missed:
        found = squeeze.open(missed.packages[0])
    assert isinstance(found, Artifact)
    return found


def test_pairs_are_judged_by_their_cosines(made: Artifact) -> None:
    teacher = made.manifest["measurements"]["teacher"]
    assert teacher["metric_name"] == "pair_spearman"
    assert 80 < teacher["metric"] < 100
    assert made.manifest["drops"][made.manifest["verdict"]["picked"]]["evaluate"] < 3


def test_package_says_how_text_becomes_ids(made: Artifact) -> None:
    assert (made.path / seal.TOKENIZER).read_text() == tokenizer_json()
    assert seal.TOKENIZER in made.manifest["files"]
    told = made.manifest["signature"]["text"]
    assert told["length"] == 10  # eight words and the special tokens
    assert told["tokenizer"] == made.manifest["files"][seal.TOKENIZER]["digest"].split(":")[-1]
    assert told["inputs"] == {"input_ids": "ids", "attention_mask": "mask"}


def test_length_stays_free_in_the_file(made: Artifact) -> None:
    opened = ort.InferenceSession(made.model)
    assert [type(size) for size in opened.get_inputs()[0].shape] == [str, str]


def test_verify_makes_the_ids_of_the_golden_texts_again(made: Artifact) -> None:
    checks = verification.verify(made.path)
    assert all(check.ok for check in checks)
    assert [c.found for c in checks if c.what == "tokenizer.json on 8 texts"] == ["the same ids"]
    with np.load(made.path / seal.GOLDEN, allow_pickle=False) as stored:
        texts = json.loads(stored["texts"].tobytes())
        ids = stored["inputs/input_ids"]
    for text, row in zip(texts, ids, strict=True):
        assert row[row != 0].tolist() == [CLS, *(ID[word] for word in text.split()), SEP]


def test_another_tokenizer_is_found(made: Artifact, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(made.path, other)
    changed = json.loads(tokenizer_json())
    vocabulary = changed["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (other / seal.TOKENIZER).write_text(json.dumps(changed))
    assert not all(check.ok for check in verification.verify(other))
    with np.load(made.path / seal.GOLDEN, allow_pickle=False) as stored:
        known = verification.Golden.read(stored)
    (check,) = verification.tokenise_again(
        known, other / seal.TOKENIZER, made.manifest["signature"]["text"]
    )
    assert not check.ok
    assert "input_ids: other values" in check.found


def test_without_the_package_verify_says_that_nobody_looked(
    made: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("squeeze.calib.text.again.find_spec", lambda _name: None)
    checks = verification.verify(made.path)
    assert all(check.ok for check in checks)
    assert any("pip install tokenizers" in check.found for check in checks)


def test_tagger_is_judged_by_its_spans(tmp_path: Path) -> None:
    names = ("O", "B-X", "I-X", "B-Y", "I-Y")
    (tmp_path / "tokenizer.json").write_text(tokenizer_json())
    (tmp_path / "config.json").write_text(json.dumps({"id2label": dict(enumerate(names))}))
    encoder(tmp_path / "model.onnx", classes=len(names))
    opened = ort.InferenceSession(tmp_path / "model.onnx")
    rows = []
    for _ in range(120):
        words = RNG.choice(list("abcdefgh"), RNG.integers(2, 7)).tolist()
        ids = np.array([[CLS, *(ID[word] for word in words), SEP]])
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        given = {i.name: feed[i.name] for i in opened.get_inputs()}
        answers = opened.run(None, given)[0][0].argmax(axis=1)[1:-1]
        rows.append({"tokens": words, "tags": [names[answer] for answer in answers]})
    rows[0]["tags"] = list(reversed(rows[0]["tags"]))
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
    try:
        found = squeeze.compile(
            str(tmp_path / "model.onnx"),
            str(tmp_path / "d.jsonl"),
            out=tmp_path / "out",
            recipe="ptq",
            text={"label": "tags"},
            threads=1,
            cache=tmp_path / "cache",
        )
    except GoalMissed as missed:
        found = squeeze.open(missed.packages[0])
    assert isinstance(found, Artifact)
    teacher = found.manifest["measurements"]["teacher"]
    assert (teacher["metric_name"], teacher["metric"] > 95) == ("span_f1", True)
    assert found.manifest["measurements"]["student"]["metric"] > 80
    assert found.manifest["calib"]["class_names"] == list(names)
    assert all(check.ok for check in verification.verify(found.path))
