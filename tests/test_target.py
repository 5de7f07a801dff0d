"""Target files: strict, and no number without its source."""

from __future__ import annotations

from pathlib import Path

import pytest

from squeeze.errors import ConfigError
from squeeze.target import load_target

PLAIN = 'schema = 2\nname = "board"\nsummary = "a board"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "board.toml"
    path.write_text(PLAIN + text)
    return path


def test_a_number_without_a_source_is_refused_with_its_key(tmp_path: Path) -> None:
    path = written(tmp_path, "[memory]\nram_bytes = 1024\n")
    with pytest.raises(ConfigError, match=r"\[sources\] has nothing for memory\.ram_bytes"):
        load_target(path)


def test_a_source_of_nothing_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, '[sources]\n"memory.ram_bytes" = "the data sheet"\n')
    with pytest.raises(ConfigError, match=r"names memory\.ram_bytes, which the file does not set"):
        load_target(path)


def test_sources_change_no_result(tmp_path: Path) -> None:
    text = '[memory]\nram_bytes = 1024\n[sources]\n"memory.ram_bytes" = "{}"\n'
    one = load_target(written(tmp_path, text.format("the data sheet")))
    other = load_target(written(tmp_path, text.format("measured")))
    assert one.key() == other.key()
    assert (
        load_target(written(tmp_path, text.format("x").replace("1024", "2048"))).key() != one.key()
    )


def test_an_unknown_key_of_a_part_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"key memory\.ram_byte: unknown 'ram_byte'. Did you mean 'ram_bytes'"
    ):
        load_target(written(tmp_path, "[memory]\nram_byte = 1024\n"))


def test_a_file_of_the_first_schema_says_which_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.toml"
    path.write_text('schema = 1\nname = "old"\nsummary = "s"\n')
    with pytest.raises(ConfigError, match=r"old\.toml: schema"):
        load_target(path)
