"""What each layer minds: how far the outputs move when that layer alone has fewer bits, and the bytes it then takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from squeeze.report import words

Json = dict[str, Any]  # Any: JSON

WIDTHS = ("8", "4", "3", "2")
_FEW = WIDTHS[1:]


@dataclass(frozen=True)
class Layer:
    """A line of the table: `moved` at 4, 3 and 2 bits, `bytes` at 8, 4, 3 and 2, `shipped` the bits in the file."""

    name: str
    weights: str
    moved: list[str]
    bytes: list[str]
    shipped: str
    worst: bool


@dataclass(frozen=True)
class Table:
    """The lines, the name of what was measured, the same for all layers at 8 bits, and the layer that minds most."""

    layers: list[Layer]
    measure: str
    int8: str
    worst: str
    has_shipped: bool


def table(manifest: Json) -> Table | None:
    """The layers in the order they run; None when nothing was measured."""
    rows: list[Json] = manifest.get("sensitivity") or []
    if not rows:
        return None
    # The softmax of one output is always 1: there the divergence is 0 and the error says more.
    key = "divergence" if any(_values(r, "divergence") for r in rows) else "error"
    show = words.share if key == "error" else _number
    top = max(rows, key=lambda r: max(_values(r, key), default=0.0))
    worst = str(top.get("name", "")) if _values(top, key) else ""
    picked = (manifest.get("verdict") or {}).get("picked", "")
    bits = (manifest.get("rung_bits") or {}).get(picked)
    return Table(
        layers=[
            Layer(
                name=str(r.get("name", "")),
                weights=words.count(r.get("weights")),
                moved=[show((r.get(key) or {}).get(b)) for b in _FEW],
                bytes=[words.byte_size((r.get("bytes") or {}).get(b)) for b in WIDTHS],
                shipped="" if bits is None else words.plain(bits.get(r.get("name"), 8)),
                worst=str(r.get("name", "")) == worst,
            )
            for r in rows
        ],
        measure=(
            "KL divergence of the outputs, in nats"
            if key == "divergence"
            else "error of the outputs, in percent of their deviation"
        ),
        int8=show((rows[0].get(key) or {}).get("8")),
        worst=worst,
        has_shipped=bits is not None,
    )


def _values(row: Json, key: str) -> list[float]:
    found = [(row.get(key) or {}).get(b) for b in _FEW]
    return [v for v in found if v]


def _number(value: float | None) -> str:
    """Four decimals and no exponent: what is larger is seen at a glance."""
    if value is None:
        return words.MISSING
    return "< 0.0001" if 0 < value < 1e-4 else f"{value:.4f}"
