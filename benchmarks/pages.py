"""Fills the generated parts of a documentation page: what stands between <!-- NAME --> and <!-- /NAME -->."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Json = dict[str, Any]  # Any: JSON
KERNELS = Path(__file__).resolve().parent.parent / "docs" / "kernels.md"


def by_host(document: Json, table: Callable[[list[Json]], str]) -> str:
    """A part for each machine of a results file: what it is, and the table of its rows."""
    parts = []
    for name, facts in document["hosts"].items():
        rows = [row for row in document["rows"] if row["host"] == name]
        tools = ("onnxruntime", "openvino", "nncf")
        used = ", ".join(f"{t} {facts['versions'][t]}" for t in tools if t in facts["versions"])
        about = f"**{name}** ({', '.join(facts['isa'])}); {used}; made by `{facts['command']}`."
        peaks = facts.get("run", {}).get("peaks", [])
        about += "".join(f"\n{_peaks(one)}" for one in peaks)
        parts.append(f"{about}\n\n{table(rows)}")
    return "\n\n".join(parts)


def _peaks(measured: Json) -> str:
    rates = "; ".join(
        f"{one['instruction']} {one['gmacs']:.0f} GMAC/s" for one in measured["gmacs"]
    )
    copies = ", ".join(f"{gbs:.0f} GB/s in {where}" for where, gbs in measured["copy_gbs"].items())
    threads = measured["threads"]
    return f"Peak of {threads} thread{'' if threads == 1 else 's'}: {rates}; copy {copies}."


def fill(path: Path, name: str, text: str) -> None:
    """Puts `text` between the marks of `name`. Raises ValueError when the page has no such marks."""
    page = path.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{path}: no {begin} ... {end}")
    path.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", encoding="utf-8")
