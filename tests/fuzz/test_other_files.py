"""Damaged and hostile files beside models: each is refused in two lines at most, or read."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from squeeze import calib, paths, verification
from squeeze.cli.options import settings
from squeeze.spec import load_recipe, names
from squeeze.target import load_target
from tests.fuzz import other_files
from tests.fuzz.one_file import outcome

FILES = int(os.environ.get("SQUEEZE_FUZZ_FILES") or 10_000) // 20
SHIPPED = {
    (folder, name): (paths.shipped(folder) / f"{name}.toml").read_text(encoding="utf-8")
    for folder in ("recipes", "targets", "calib")
    for name in names(folder)
}
READERS = {
    "recipes": load_recipe,
    "targets": load_target,
    "calib": lambda path: calib.load(str(path)),
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("squeeze")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


@pytest.mark.parametrize("folder", READERS)
def test_toml_is_read_or_refused(folder: str, tmp_path: Path) -> None:
    texts = [text for (kind, _), text in SHIPPED.items() if kind == folder]
    faults = []
    for seed in range(FILES):
        random = Random(seed)
        path = tmp_path / "f.toml"
        path.write_bytes(other_files.toml(random.choice(texts), random))
        faults += _fault(seed, lambda path=path: READERS[folder](path))
    assert not faults, faults[:3]


def test_settings_are_taken_or_refused() -> None:
    faults = []
    for seed in range(FILES):
        text = other_files.setting(Random(seed))

        def work(text: str = text) -> None:
            load_recipe("ptq", settings(None, None, (text,)))  # type: ignore[arg-type]

        faults += _fault(seed, work)
    assert not faults, faults[:3]


def test_arrays_are_read_or_refused(tmp_path: Path) -> None:
    faults = []
    for seed in range(FILES):
        path = tmp_path / "d.npz"
        path.write_bytes(other_files.arrays(Random(seed)))
        faults += _fault(seed, lambda path=path: calib.load(str(path)))
    assert not faults, faults[:3]


def test_packages_are_checked_or_refused(tmp_path: Path) -> None:
    faults = []
    for seed in range(FILES // 2):
        path = other_files.package(tmp_path / str(seed), Random(seed))
        faults += _fault(seed, lambda path=path: verification.verify(path))
    assert not faults, faults[:3]


def test_a_package_that_nobody_changed_is_verified(tmp_path: Path) -> None:
    class Nothing(Random):
        def randrange(self, *limits: int) -> int:  # type: ignore[override]
            return 9

        def random(self) -> float:
            return 1.0

    checks = verification.verify(other_files.package(tmp_path / "p", Nothing(0)))
    assert [check.ok for check in checks] == [True] * 4


def _fault(seed: int, work: object) -> list[tuple[int, str]]:
    def done() -> str:
        work()  # type: ignore[operator]
        return ""

    word, told = outcome(done)
    return [(seed, told[:600])] if word == "fault" or len(told) > 2000 else []
