"""This machine as a device: files, processes, and what they are measured by."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from squeeze.errors import MeasureError
from squeeze.transports.local import Local, succeeded
from squeeze.transports.transport import Ran


def test_files_go_there_and_back_and_go_with_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"from a file")
    with Local() as device:
        folder = device.folder
        device.put(tmp_path / "a", "one")
        device.put(b"from memory", "two")
        ran = device.run(["sh", "-c", "cat one > three; cat two; echo said >&2; exit 3"], 60)
        assert ran == Ran(3, "from memory", "said\n")
        assert device.get("three") == b"from a file"
        with pytest.raises(MeasureError, match="no file 'four'"):
            device.get("four")
    assert not folder.exists()


def test_a_command_that_does_not_end_is_ended_with_its_children() -> None:
    with Local() as device:
        with pytest.raises(MeasureError, match=r"sh: not done within 0\.2 s"):
            device.run(["sh", "-c", "sleep 1000 & echo $! > child; wait"], 0.2)
        child = int(device.get("child"))
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_command_that_is_not_there_is_named() -> None:
    with Local() as device, pytest.raises(MeasureError, match="no-such-program: cannot be started"):
        device.run(["no-such-program"], 60)


def test_commands_take_turns() -> None:
    with Local() as device:
        say = "echo {0} >> order; echo 1{0}; echo 2{0}"
        commands = {name: ["sh", "-c", say.format(name)] for name in "12"}
        taken = device.time(commands, 3, 60)
        assert device.get("order").split() == [b"1", b"2", b"2", b"1", b"1", b"2"]
    assert taken == {"1": [(11, 21)] * 3, "2": [(12, 22)] * 3}


def test_a_command_that_fails_while_it_is_timed_says_why() -> None:
    with Local() as device, pytest.raises(MeasureError, match="slow: no such model"):
        device.time({"slow": ["sh", "-c", "echo no such model >&2; exit 1"]}, 3, 60)


def test_memory_is_what_the_process_held() -> None:
    held = "x = b'1' * {}"
    with Local() as device:
        small, large = (
            device.memory([sys.executable, "-S", "-c", held.format(count)], 60)
            for count in (1, 100_000_000)
        )
    assert 95e6 < large - small < 110e6


def test_a_crash_is_said_by_its_signal() -> None:
    with pytest.raises(MeasureError, match=r"model: it crashed \(SIGSEGV\)"):
        succeeded("model", Ran(-11, "", ""))
