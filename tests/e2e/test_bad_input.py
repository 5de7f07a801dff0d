"""Bad input gets one or two lines and an exit code, never a traceback, and leaves nothing half-written."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests import started

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.conftest import Trained


def squeeze(*arguments: str | Path, limit: int | None = None) -> tuple[int, str]:
    """Exit code and standard error of a real process; `limit` bytes is the largest file that it may write."""
    done = started.run(*arguments, file_bytes=limit)
    return done.returncode, done.stderr


def refused(code: int, found: tuple[int, str], *words: str) -> None:
    assert found[0] == code, found
    assert "Traceback" not in found[1]
    message = [line for line in found[1].splitlines() if not line.startswith("WARNING")]
    assert 1 <= len(message) <= 3, found[1]
    for word in words:
        assert word in found[1], (word, found[1])


@pytest.fixture
def compile_it(vector_teacher: Trained, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Compiles with everything right but what the test changes, and checks that nothing was left."""

    def run(
        *more: str | Path,
        teacher: str | Path | None = None,
        calib: str | Path | None = None,
        limit: int | None = None,
    ) -> tuple[int, str]:
        source = vector_teacher.pt2 if teacher is None else teacher
        data = vector_teacher.data if calib is None else calib
        out = tmp_path / "package"
        arguments = (
            "compile",
            source,
            "--calib",
            data,
            "--recipe",
            "ptq",
            "--threads",
            "1",
            "-o",
            out,
            *more,
        )
        found = squeeze(*arguments, limit=limit)
        if found[0] != 4:
            assert not out.exists()
            assert not list(tmp_path.glob(".*"))
        return found

    return run


def test_missing_teacher(compile_it: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    refused(2, compile_it(teacher=tmp_path / "none.pt2"), "none.pt2")


@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
@pytest.mark.parametrize("content", [b"", b"garbage" * 100, "truncated"])
def test_unreadable_teacher(
    compile_it: Callable[..., tuple[int, str]],
    vector_teacher: Trained,
    tmp_path: Path,
    suffix: str,
    content: bytes | str,
) -> None:
    path = tmp_path / f"bad{suffix}"
    whole = vector_teacher.pt2.read_bytes()
    path.write_bytes(content if isinstance(content, bytes) else whole[: len(whole) // 2])
    refused(2, compile_it(teacher=path), path.name)


def test_pickle_teacher_is_not_executed(
    compile_it: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    marker = tmp_path / "executed"
    evil = b"cos\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR."
    for name in ("evil.pkl", "evil.pt", "evil.pt2", "evil.onnx"):
        (tmp_path / name).write_bytes(evil)
        refused(2, compile_it(teacher=tmp_path / name), name)
    assert not marker.exists()


def data_file(tmp_path: Path, **changed: np.ndarray) -> Path:
    rng = np.random.default_rng(0)
    arrays = {"x": rng.normal(size=(90, 16)).astype(np.float32), "y": np.arange(90) % 3}
    arrays.update(changed)
    np.savez(tmp_path / "data.npz", **arrays)
    return tmp_path / "data.npz"


def with_nan() -> np.ndarray:
    x = np.zeros((90, 16), np.float32)
    x[7, 3] = np.nan
    return x


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"x": np.zeros((90, 17), np.float32)}, ("17", "16")),
        ({"x": np.zeros((90, 16), np.complex64)}, ("complex64",)),
        ({"x": with_nan()}, ("NaN", "7")),
        ({"x": np.full((90, 16), np.inf, np.float32)}, ("1440 infinite",)),
        ({"y": np.arange(90) % 7}, ("6", "3")),
        ({"y": np.zeros(90, np.int64)}, ("all labels are 0",)),
        ({"x": np.zeros((0, 16), np.float32), "y": np.zeros(0, np.int64)}, ("is empty",)),
        ({"y": np.arange(50) % 3}, ("50", "90")),
    ],
    ids=["shape", "dtype", "nan", "inf", "label-range", "one-class", "zero-samples", "lengths"],
)
def test_wrong_data(
    compile_it: Callable[..., tuple[int, str]],
    tmp_path: Path,
    changed: dict[str, np.ndarray],
    words: tuple[str, ...],
) -> None:
    path = data_file(tmp_path, **changed)
    refused(2, compile_it(calib=path), *words)


def test_missing_data_and_unknown_names_suggest(compile_it: Callable[..., tuple[int, str]]) -> None:
    refused(2, compile_it(calib="fashoin"), "fashion")
    refused(2, compile_it("--target", "hots"), "Did you mean 'host'")
    refused(2, compile_it("--recipe", "blanced"), "Did you mean 'balanced'")
    refused(2, compile_it("--set", "distill.stpes=3"), "Did you mean 'steps'")
    refused(2, compile_it("--latency", "3"), "0.3ms")
    refused(2, compile_it("--metric", "top2"), "top1")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("distill.loss=dsit", ("distill.loss", "Did you mean 'dist'")),
        ("distill.loss.kdd=1", ("distill.loss", "Did you mean 'kd'")),
        ("distill.loss.dkd.betta=1", ("distill.loss.dkd", "Did you mean 'beta'")),
        ("distill.augment=imgae", ("distill.augment", "Did you mean 'image'")),
        ("search.proxy=diswott", ("search.proxy", "Did you mean 'diswot'")),
        ('search.families=["resnt"]', ("search.families", "Did you mean 'resnet'")),
        (f"seed={1 << 63}", ("seed", "less than")),
    ],
)
def test_unknown_names_are_refused_before_the_first_step(
    compile_it: Callable[..., tuple[int, str]],
    tmp_path: Path,
    setting: str,
    words: tuple[str, ...],
) -> None:
    cache = tmp_path / "cache"
    refused(2, compile_it("--set", setting, "--cache", cache), *words)
    assert not cache.exists()


def test_impossible_goal_says_the_best_reached(compile_it: Callable[..., tuple[int, str]]) -> None:
    refused(4, compile_it("--size", "1KB"), "goal missed", "goal 1 KB")


def test_unwritable_output(vector_teacher: Trained, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        found = squeeze("compile", vector_teacher.pt2, "--calib", vector_teacher.data, "-o", out)
        refused(2, found, str(tmp_path / "file"))


@pytest.mark.parametrize("limit", [2_000, 60_000])
def test_full_disk_is_said_and_nothing_is_left(
    compile_it: Callable[..., tuple[int, str]], limit: int
) -> None:
    refused(2, compile_it(limit=limit), "full")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_full_tmpfs_is_said_and_the_same_command_goes_on(
    vector_teacher: Trained, tmp_path: Path
) -> None:
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)]
    mounted = subprocess.run(mount, check=False, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    arguments = ("compile", vector_teacher.pt2, "--calib", vector_teacher.data, "--recipe", "ptq")
    try:
        refused(2, squeeze(*arguments, "-o", place / "out"), "the disk is full")
        assert list(place.iterdir()) == []
    finally:
        subprocess.run(["umount", str(place)], check=True)
    assert squeeze(*arguments, "-o", tmp_path / "out")[0] == 0


def test_package_with_a_changed_byte_is_refused_by_name(
    vector_teacher: Trained, tmp_path: Path
) -> None:
    arguments = ("compile", vector_teacher.pt2, "--calib", vector_teacher.data, "--recipe", "ptq")
    assert squeeze(*arguments, "-o", tmp_path / "out")[0] == 0
    model = tmp_path / "out" / "model.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    for look, code in (("verify", 7), ("inspect", 7), ("profile", 7)):
        refused(code, squeeze(look, tmp_path / "out"), "model.onnx")
