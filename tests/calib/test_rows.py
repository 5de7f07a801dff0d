"""Large sets stay on disk: the same samples, and memory that does not grow with them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from squeeze import calib
from squeeze.calib import Rows
from squeeze.calib import read as calib_read
from squeeze.calib.rows import Spool, chunks, select, value_range
from squeeze.errors import ConfigError

X = np.random.default_rng(0).normal(size=(50, 4, 3)).astype(np.float32)


@pytest.fixture(params=["npy", "npy-fortran", "npz", "npz-compressed", "npz-fortran"])
def rows(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rows:
    """X in a file, too large for memory."""
    monkeypatch.setattr(calib_read, "SMALL_BYTES", 100)
    form = str(request.param)
    x = np.asfortranarray(X) if form.endswith("fortran") else X
    path = tmp_path / f"x.{form[:3]}"
    if form.startswith("npy"):
        np.save(path, x)
    else:
        (np.savez_compressed if form.endswith("compressed") else np.savez)(path, x=x)
    found = calib_read.members(path)["x"]()
    assert isinstance(found, Rows)
    return found


def test_rows_are_indexed_like_the_array(rows: Rows) -> None:
    assert (rows.shape, rows.ndim, rows.dtype, len(rows)) == (X.shape, 3, X.dtype, 50)
    assert rows.nbytes == X.nbytes
    for key in (slice(3, 9), slice(None), slice(40, 99), np.array([5, 1, 1, 49]), 7, -1):
        got = rows[key]
        np.testing.assert_array_equal(got, X[key])
        assert type(got) is np.ndarray
    np.testing.assert_array_equal(np.asarray(rows), X)
    assert np.asarray(rows, np.float64).dtype == np.float64


def test_selected_rows_are_still_on_disk_and_can_be_selected_again(rows: Rows) -> None:
    order = np.random.default_rng(1).permutation(50)
    chosen = select(rows, order)
    assert isinstance(chosen, Rows)
    np.testing.assert_array_equal(chosen[2:7], X[order[2:7]])
    again = select(chosen, np.arange(9, -1, -1))
    np.testing.assert_array_equal(np.asarray(again), X[order[9::-1]])
    assert again.nbytes == 10 * 48


def test_rows_cannot_change_the_file(rows: Rows) -> None:
    rows[0:2][:] = 0
    np.testing.assert_array_equal(rows[0:2], X[0:2])


def test_rows_are_read_in_chunks(rows: Rows) -> None:
    assert np.concatenate([block for _, block in chunks(rows)]).tobytes() == X.tobytes()
    assert value_range([rows]) == (float(X.min()), float(X.max()))


def test_set_on_disk_is_the_set_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "d.npz"
    np.savez_compressed(path, x=X, y=np.arange(50) % 5)
    memory = calib.load(str(path))
    monkeypatch.setattr(calib_read, "SMALL_BYTES", 100)
    disk = calib.load(str(path))
    assert isinstance(disk.fit.x, Rows)
    assert disk.digest == memory.digest
    np.testing.assert_array_equal(disk.inputs(disk.fit), memory.inputs(memory.fit))
    for a, b in zip(disk.batches(disk.fit, 7), memory.batches(memory.fit, 7), strict=True):
        np.testing.assert_array_equal(a, b)


def test_truncated_large_array_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calib_read, "SMALL_BYTES", 100)
    path = tmp_path / "x.npy"
    np.save(path, X)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(
        ConfigError, match=r"truncated: float32 .* takes 2400 bytes, 2392 are there"
    ):
        calib.load(str(path))


def test_full_disk_is_said_with_what_to_do() -> None:
    # A file size limit of the process makes the write fail as a full disk does.
    code = (
        "import resource, signal; from squeeze.calib.rows import Spool; from squeeze.errors import ConfigError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: Spool().write(bytes(10000))\n"
        "except ConfigError as e: print(e)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "set TMPDIR to a larger folder" in done.stdout


def test_spool_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    spool = Spool()
    spool.write(b"1234")
    assert list(tmp_path.iterdir()) == []
    with spool.opened() as file:
        assert os.pread(file.fileno(), 9, 0) == b"1234"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("form", ["npy", "npz", "two.npz"])
def test_memory_does_not_grow_with_the_set(tmp_path: Path, form: str) -> None:
    """A set of 160 MB takes as much memory to check, split and go through as one of 20 MB."""
    # VmHWM, for ru_maxrss of a child starts at what its parent had.
    code = (
        "import re, sys, numpy as np; from pathlib import Path; from squeeze import calib\n"
        "d = calib.load(sys.argv[1], inputs=sys.argv[2:])\n"
        "for s in d.splits.values():\n"
        "    for x in d.feeds(s, 32): pass\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    peaks = []
    for samples in (200, 1600):
        path = tmp_path / f"d{samples}.{form}"
        x = np.zeros((samples, 25_000), np.float32)
        x[:, 0] = np.arange(samples)
        names = ["x", "more"] if form == "two.npz" else ["x"]
        np.save(path, x) if form == "npy" else np.savez(path, **dict.fromkeys(names, x))
        done = subprocess.run(
            [sys.executable, "-c", code, str(path), *names],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(done.stdout))
    # The heap keeps one block of 8 MB more or less by chance; the set grows by 140 MB or more.
    assert peaks[1] < peaks[0] + 16_000


@pytest.mark.parametrize("before", [b"", b"another program wrote this first"])
def test_an_uncompressed_member_is_read_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bytes
) -> None:
    monkeypatch.setattr(calib_read, "SMALL_BYTES", 100)
    # Nothing can be unpacked.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    path = tmp_path / "d.npz"
    np.savez(path, first=X + 1, x=X, last=np.arange(99))
    path.write_bytes(before + path.read_bytes())
    rows = calib_read.members(path)["x"]()
    assert isinstance(rows, Rows)
    np.testing.assert_array_equal(rows[:], X)
    np.savez_compressed(path, x=X)
    with pytest.raises(ConfigError):
        calib_read.members(path)["x"]()


def test_damage_inside_of_an_uncompressed_member_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calib_read, "SMALL_BYTES", 100)
    path = tmp_path / "d.npz"
    np.savez(path, x=X)
    data = bytearray(path.read_bytes())
    place = data.index(X.tobytes()[400:440])
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="damaged: Bad CRC-32"):
        calib_read.members(path)["x"]()
