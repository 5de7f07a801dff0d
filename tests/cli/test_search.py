"""What `squeeze search` says to type next is the compile of the same problem."""

from __future__ import annotations

import shlex

import pytest

from squeeze.cli import search


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        (
            "m.onnx --supernet --calib t.csv --text text --label label --space tiny -o net --threads 1",
            "m.onnx --calib t.csv --text text --label label --threads 1",
        ),
        (
            "m.onnx -q -onet --calib 'my texts.npz' --out=net --space=base --set supernet.steps=9 --supernet",
            "m.onnx --calib 'my texts.npz' --set supernet.steps=9",
        ),
    ],
)
def test_next_command_repeats_what_was_typed_but_for_what_search_alone_takes(
    typed: str, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["squeeze", "search", *shlex.split(typed)])
    assert search._next("net") == f"squeeze compile {wanted} --from net -o OUT"
