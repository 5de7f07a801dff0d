from __future__ import annotations

import json
import logging
import threading
from pathlib import Path

import pytest

from squeeze import ops
from squeeze.measure import LatencyTable

KEY = {"models": ["a" * 64, "b" * 64], "threads": 1}


def test_get_is_none_for_what_was_never_put(tmp_path: Path) -> None:
    assert LatencyTable(tmp_path / "state").get(KEY) is None


def test_get_gives_what_was_put_also_to_another_table(tmp_path: Path) -> None:
    assert LatencyTable(tmp_path / "state").put(KEY, {"ratio": 0.125}) == {"ratio": 0.125}
    assert LatencyTable(tmp_path / "state").get(dict(reversed(KEY.items()))) == {"ratio": 0.125}
    assert LatencyTable(tmp_path / "state").get({**KEY, "threads": 2}) is None


def test_put_keeps_the_first_value(tmp_path: Path) -> None:
    table = LatencyTable(tmp_path)
    table.put(KEY, {"ratio": 1.0})
    assert table.put(KEY, {"ratio": 2.0}) == {"ratio": 1.0}
    assert table.get(KEY) == {"ratio": 1.0}


def test_get_is_none_when_the_library_or_the_instruction_sets_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LatencyTable(tmp_path).put(KEY, {"ratio": 1.0})
    other = tmp_path / "other.so"
    other.write_bytes(b"another library")
    with monkeypatch.context() as patch:
        patch.setattr(ops, "library_path", lambda: other)
        assert LatencyTable(tmp_path).get(KEY) is None
    monkeypatch.setenv("SQUEEZE_ISA", "portable")
    assert LatencyTable(tmp_path).get(KEY) is None
    monkeypatch.delenv("SQUEEZE_ISA")
    assert LatencyTable(tmp_path).get(KEY) == {"ratio": 1.0}


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "altered", "list", "schema"])
def test_get_warns_and_begins_anew_when_the_file_is_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    table = LatencyTable(tmp_path)
    table.put(KEY, {"ratio": 0.25})
    whole = table.path.read_text()
    table.path.write_text(
        {
            "cut": whole[:-20],
            "garbage": "\x00\x01",
            "empty": "",
            "altered": whole.replace("0.25", "0.35"),
            "list": "[]",
            "schema": json.dumps({**json.loads(whole), "schema": 99}),
        }[damage]
    )
    with caplog.at_level(logging.WARNING):
        assert table.get(KEY) is None
    assert "damaged" in caplog.text
    assert str(table.path) in caplog.text
    assert table.put(KEY, {"ratio": 0.5}) == {"ratio": 0.5}
    assert table.get(KEY) == {"ratio": 0.5}


def test_put_warns_and_goes_on_when_the_folder_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    table = LatencyTable(tmp_path / "file" / "state")
    with caplog.at_level(logging.WARNING):
        assert table.put(KEY, {"ratio": 1.0}) == {"ratio": 1.0}
    assert "not remembered" in caplog.text


def test_put_loses_nothing_when_several_put_at_once(tmp_path: Path) -> None:
    def put(worker: int) -> None:
        for i in range(5):
            LatencyTable(tmp_path).put({"worker": worker, "i": i}, {"ratio": worker + i / 10})

    workers = [threading.Thread(target=put, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    table = LatencyTable(tmp_path)
    for n in range(4):
        for i in range(5):
            assert table.get({"worker": n, "i": i}) == {"ratio": n + i / 10}
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".part"] == []
