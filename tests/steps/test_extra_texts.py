"""Texts that only train come from files of texts, too, and are read as the set's own are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from squeeze import steps
from tests.calib.text.small import encoder, tokenizer_json
from tests.steps.conftest import a_run

pytest.importorskip("tokenizers", reason="tokenizers: pip install squeeze[hf]")

LETTERS = list("abcdefgh")


@pytest.mark.parametrize("name", ["more.txt", "more.csv", "more.jsonl"])
def test_file_of_texts_is_added_to_what_trains(name: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    (tmp_path / "tokenizer.json").write_text(tokenizer_json())
    encoder(tmp_path / "model.onnx")
    own = [" ".join(random.choice(LETTERS, 6)) for _ in range(120)]
    (tmp_path / "texts.csv").write_text("\n".join(["text", *own]))
    more = [" ".join(random.choice(LETTERS, 9)) for _ in range(30)]
    form = {
        ".txt": more,
        ".csv": ["text", *more],
        ".jsonl": [f'{{"text": "{text}"}}' for text in more],
    }
    (tmp_path / name).write_text("\n".join(form[Path(name).suffix]))
    case = steps.load(
        a_run(tmp_path / "work"),
        str(tmp_path / "model.onnx"),
        None,
        str(tmp_path / "texts.csv"),
        None,
        text={"columns": ["text"]},
        extra=[str(tmp_path / name)],
    )
    fit = case.data.fit
    assert fit.extra == 30
    # As long as the set's own texts, of which the longest has six words and two tokens around them.
    rows = np.asarray(fit.arrays["input_ids"])
    assert rows.shape == (len(fit), 8)
    assert (rows[-30:, 0] == 2).all()
    assert np.asarray(fit.arrays["attention_mask"])[-30:].all()
