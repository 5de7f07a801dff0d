from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import pages


def test_only_the_marked_part_of_a_page_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "before\n<!-- a -->\nold\n<!-- /a -->\nafter\n<!-- b --><!-- /b -->\n", encoding="utf-8"
    )
    pages.fill(page, "a", "new\n")
    assert page.read_text(encoding="utf-8") == (
        "before\n<!-- a -->\nnew\n<!-- /a -->\nafter\n<!-- b --><!-- /b -->\n"
    )


def test_a_page_without_the_marks_is_an_error_and_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- a --> never closed\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no <!-- a -->"):
        pages.fill(page, "a", "new")
    assert page.read_text(encoding="utf-8") == "<!-- a --> never closed\n"


def test_the_page_of_the_kernels_has_its_marks() -> None:
    text = pages.KERNELS.read_text(encoding="utf-8")
    for name in ("kernels", "lowering"):
        assert text.count(f"<!-- {name} -->") == text.count(f"<!-- /{name} -->") == 1


def test_each_machine_has_its_own_table() -> None:
    facts = {"isa": ["x"], "versions": {"onnxruntime": "1.31.1", "numpy": "2"}, "command": "make"}
    peaks = [
        {"threads": 1, "gmacs": [{"instruction": "dot", "gmacs": 99.6}], "copy_gbs": {"l2": 5.0}}
    ]
    document = {
        "hosts": {"a": {**facts, "run": {"peaks": peaks}}, "b": facts},
        "rows": [{"host": "a", "us": 1}, {"host": "b", "us": 2}],
    }
    text = pages.by_host(document, lambda rows: " ".join(str(row["us"]) for row in rows))
    assert text == (
        "**a** (x); onnxruntime 1.31.1; made by `make`.\n"
        "Peak of 1 thread: dot 100 GMAC/s; copy 5 GB/s in l2.\n\n1\n\n"
        "**b** (x); onnxruntime 1.31.1; made by `make`.\n\n2"
    )
