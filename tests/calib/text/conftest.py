"""Files of text beside a tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.calib.text.small import tokenizer_json

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """write(name, text, **beside) writes a file, and a tokenizer.json beside it."""
    pytest.importorskip("tokenizers", reason="tokenizers: pip install squeeze[hf]")
    (tmp_path / "tokenizer.json").write_text(tokenizer_json())

    def to_file(name: str, text: str | bytes, **beside: Any) -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        for other, value in beside.items():
            (tmp_path / f"{other}.json").write_text(json.dumps(value))
        return path

    return to_file
