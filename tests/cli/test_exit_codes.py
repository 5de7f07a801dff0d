"""One table of exit codes: in the code, in `squeeze --help` and in the docs; and each error has its line of it."""

from __future__ import annotations

import re
from pathlib import Path

import squeeze
from squeeze.errors import EXIT_CODES
from tests.started import run

DOCS = Path(__file__).resolve().parents[2] / "docs"
PACKAGE = Path(squeeze.__file__).parent


def test_help_shows_the_table() -> None:
    shown = run("--help").stdout.partition("Exit codes:\n")[2]
    rows = [re.fullmatch(r"  (\d+) +(.+)", line) for line in shown.splitlines() if line]
    assert {int(row[1]): row[2] for row in rows if row} == EXIT_CODES
    assert all(rows)
    assert max(map(len, shown.splitlines())) < 80


def test_docs_have_the_table_once() -> None:
    text = (DOCS / "command-line.md").read_text(encoding="utf-8")
    table = text.partition("| exit code | |\n| --- | --- |\n")[2].partition("\n\n")[0]
    rows = [re.fullmatch(r"\| (\d+) \| (.+) \|", line) for line in table.splitlines()]
    assert {int(row[1]): row[2] for row in rows if row} == EXIT_CODES
    assert all(rows)
    assert [path.name for path in DOCS.glob("*.md") if "| exit code |" in path.read_text()] == [
        "command-line.md"
    ]


def test_each_code_of_an_error_is_in_the_table_and_the_table_has_no_other() -> None:
    sources = (path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    used = {int(code) for text in sources for code in re.findall(r"\bexit_code = (\d+)", text)}
    assert used == set(EXIT_CODES) - {0}
