"""Reads a page the way a browser does: its elements, and the text that a person sees."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img", "hr", "input", "base", "embed", "source", "track", "wbr"}


class Page(HTMLParser):
    """`tags` are (name, attributes); `text` is what is shown or hovered; `rows` are the cells of tables.

    `unclosed` must be empty at the end.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.unclosed: list[str] = []
        self.text = ""
        self.rows: list[list[str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.unclosed.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.unclosed
        assert self.unclosed[-1] == tag
        self.unclosed.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self.unclosed:
            self.text += data
        if {"td", "th"} & set(self.unclosed):
            self.rows[-1][-1] += data

    def row(self, start: str) -> list[str]:
        """The cells of the first row whose first cell starts so."""
        return next(row for row in self.rows if row and row[0].startswith(start))

    def count(self, tag: str, kind: str = "") -> int:
        """How many elements have this name, and this class."""
        return sum(
            1 for t, a in self.tags if t == tag and (not kind or kind in a.get("class", "").split())
        )
