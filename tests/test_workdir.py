"""Steps are found by what went into them, survive a kill, and are redone when their bytes are damaged."""

from __future__ import annotations

import hashlib
import logging
import stat
from pathlib import Path

import pytest

from squeeze.errors import ConfigError
from squeeze.workdir import Workdir, digest_file, digest_json, write_atomic


def finished(root: Path, value: int = 1) -> Path:
    step = Workdir(root).step("train", {"seed": value})
    (step.partial / "weights.bin").write_bytes(b"weights")
    step.finish({"loss": 0.5})
    return step.path


def test_step_is_found_again_with_equal_inputs_only(tmp_path: Path) -> None:
    finished(tmp_path)
    again = Workdir(tmp_path).step("train", {"seed": 1})
    assert again.done
    assert again.result == {"loss": 0.5}
    assert (again.path / "weights.bin").read_bytes() == b"weights"
    assert not Workdir(tmp_path).step("train", {"seed": 2}).done
    assert not Workdir(tmp_path).step("search", {"seed": 1}).done


def test_partial_work_survives_when_the_process_stops_before_finish(tmp_path: Path) -> None:
    first = Workdir(tmp_path).step("train", {"seed": 1})
    (first.partial / "checkpoint").write_bytes(b"half")
    second = Workdir(tmp_path).step("train", {"seed": 1})
    assert not second.done
    assert (second.partial / "checkpoint").read_bytes() == b"half"


@pytest.mark.parametrize("victim", ["weights.bin", "step.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_damage_is_said_and_redone_when_a_byte_changed(
    tmp_path: Path, victim: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = finished(tmp_path) / victim
    data = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    elif damage == "truncate":
        path.write_bytes(data[:-1])
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        step = Workdir(tmp_path).step("train", {"seed": 1})
    assert not step.done
    assert "damaged" in caplog.text
    finished(tmp_path)
    assert Workdir(tmp_path).step("train", {"seed": 1}).done


def test_result_is_equal_to_its_json_when_it_was_just_made(tmp_path: Path) -> None:
    step = Workdir(tmp_path).step("train", {})
    step.finish({"shape": (1, 2)})
    assert step.result == {"shape": [1, 2]}


def test_atomic_write_keeps_the_old_bytes_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(TypeError):
        write_atomic(path, "text")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_digests_agree_with_hashlib(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 700_000)
    assert digest_file(path) == hashlib.sha256(b"abc" * 700_000).hexdigest()
    assert digest_json({"b": 1, "a": [2]}) == hashlib.sha256(b'{"a":[2],"b":1}').hexdigest()


def test_cache_folder_is_refused_when_it_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(ConfigError, match=r"cache folder .*--cache"):
        Workdir(tmp_path / "cache")


def test_lock_lets_the_second_find_the_work_of_the_first(tmp_path: Path) -> None:
    first = Workdir(tmp_path).step("train", {"seed": 1})
    second = Workdir(tmp_path).step("train", {"seed": 1})
    with first.alone():
        first.finish({"loss": 1})
    with second.alone():
        assert second.done
    assert second.result == {"loss": 1}
    assert stat.S_ISDIR(second.path.stat().st_mode)
