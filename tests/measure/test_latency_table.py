from __future__ import annotations

import json
import logging
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from squeeze.measure import Comparison, LatencyTable

KEY = {"models": ["a" * 64, "b" * 64], "threads": 1}
HERE = {
    "host": "Some CPU, 2 cores",
    "isa": ["x86_avx2"],
    "isa_limit": "",
    "library": "c" * 64,
    "runtime": "onnxruntime",
    "runtime_version": "1.31.1",
}
FOUND = Comparison(0.25, 0.24, 0.27, 0.5, 2.0, 20, steady=True)


def table(folder: Path, **other: Any) -> LatencyTable:
    return LatencyTable(folder, {**HERE, **other})


def test_get_is_none_for_what_was_never_put(tmp_path: Path) -> None:
    assert table(tmp_path / "state").get(KEY) is None


def test_get_gives_the_whole_comparison_also_to_another_table(tmp_path: Path) -> None:
    assert table(tmp_path / "state").put(KEY, FOUND) == FOUND
    assert table(tmp_path / "state").get(dict(reversed(KEY.items()))) == FOUND
    assert table(tmp_path / "state").get({**KEY, "threads": 2}) is None


def test_compare_measures_what_is_not_known_and_nothing_twice(tmp_path: Path) -> None:
    measured = []

    def work() -> Comparison:
        measured.append(1)
        return FOUND

    assert [table(tmp_path).compare(KEY, work) for _ in range(3)] == [FOUND] * 3
    assert len(measured) == 1


def test_compare_keeps_nothing_that_is_not_steady(tmp_path: Path) -> None:
    # What a busy machine gave, then what the quiet one gave.
    busy = Comparison(7.9, 7.1, 8.6, 18.6, 2.36, 20, steady=False)
    assert table(tmp_path).compare(KEY, lambda: busy) == busy
    assert table(tmp_path).compare(KEY, lambda: FOUND) == FOUND
    assert table(tmp_path).compare(KEY, lambda: busy) == FOUND


def test_put_keeps_the_first_value(tmp_path: Path) -> None:
    second = replace(FOUND, ratio=0.26)
    table(tmp_path).put(KEY, FOUND)
    assert table(tmp_path).put(KEY, second) == FOUND
    assert table(tmp_path).get(KEY) == FOUND


@pytest.mark.parametrize(
    "other",
    [
        {"host": "Another CPU, 2 cores"},
        {"isa": ["x86_avx2", "x86_amx"]},
        {"isa_limit": "portable"},
        {"library": ""},
        {"runtime": "other"},
        {"runtime_version": "1.32.0"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_get_is_none_in_another_environment(tmp_path: Path, other: dict[str, Any]) -> None:
    table(tmp_path).put(KEY, FOUND)
    assert table(tmp_path, **other).get(KEY) is None
    assert table(tmp_path).get(KEY) == FOUND


def test_file_is_that_of_the_processor(tmp_path: Path) -> None:
    assert table(tmp_path, library="").path == table(tmp_path).path
    assert table(tmp_path, host="Another CPU").path != table(tmp_path).path
    assert table(tmp_path, isa=[]).path != table(tmp_path).path


@pytest.mark.parametrize(
    "damage", ["cut", "garbage", "empty", "altered", "list", "schema", "a lone ratio"]
)
def test_get_warns_and_begins_anew_when_the_file_is_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    own = table(tmp_path)
    own.put(KEY, FOUND)
    whole = own.path.read_text()
    older = {"schema": 1, "entries": {"key": {"key": KEY, "value": {"ratio": 0.25}}}, "digest": ""}
    own.path.write_text(
        {
            "cut": whole[:-20],
            "garbage": "\x00\x01",
            "empty": "",
            "altered": whole.replace("0.25", "0.35"),
            "list": "[]",
            "schema": json.dumps({**json.loads(whole), "schema": 99}),
            "a lone ratio": json.dumps(older),
        }[damage]
    )
    with caplog.at_level(logging.WARNING):
        assert own.get(KEY) is None
    assert "made anew" in caplog.text
    assert str(own.path) in caplog.text
    again = replace(FOUND, ratio=0.26)
    assert own.put(KEY, again) == again
    assert own.get(KEY) == again


def test_put_warns_and_goes_on_when_the_folder_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        assert table(tmp_path / "file" / "state").put(KEY, FOUND) == FOUND
    assert "not remembered" in caplog.text


def test_put_loses_nothing_when_several_put_at_once(tmp_path: Path) -> None:
    def put(worker: int) -> None:
        for i in range(5):
            table(tmp_path).put({"worker": worker, "i": i}, replace(FOUND, ratio=worker + i / 10))

    workers = [threading.Thread(target=put, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for n in range(4):
        for i in range(5):
            found = table(tmp_path).get({"worker": n, "i": i})
            assert found is not None
            assert found.ratio == n + i / 10
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".part"] == []
