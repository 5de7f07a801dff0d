"""Two folders exchange their places, in one step where the system can, in two elsewhere; a failure changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from squeeze import exchange as exchanging
from squeeze.exchange import exchange


@pytest.fixture(params=["one step", "two steps"])
def folders(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path]:
    if request.param == "two steps":
        monkeypatch.setattr(exchanging, "_EXCHANGE", 1 << 20)  # a flag that no system knows
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "is").write_text(name)
    return tmp_path / "new", tmp_path / "old"


def test_each_is_what_the_other_was(folders: tuple[Path, Path]) -> None:
    new, old = folders
    exchange(new, old)
    assert (old / "is").read_text() == "new"
    assert (new / "is").read_text() == "old"
    assert sorted(p.name for p in new.parent.iterdir()) == ["new", "old"]


def test_where_the_new_one_cannot_move_the_old_one_stays(folders: tuple[Path, Path]) -> None:
    new, old = folders
    with pytest.raises(OSError, match="No such file"):
        exchange(new.with_name("absent"), old)
    assert (old / "is").read_text() == "old"
    assert sorted(p.name for p in new.parent.iterdir()) == ["new", "old"]
