"""Names beside the marks of a chart, where they cover neither a mark nor each other."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from squeeze.report import axes

LINE = 15.0  # from one line of text to the next
_WIDTH = 7.6  # of a letter, generously: fonts differ, and letters are larger on a phone
_AWAY = 13.0
_MOST_LINES = 4


@dataclass(frozen=True)
class Box:
    """A rectangle that is taken, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def covers(self, other: Box) -> bool:
        """Whether the two have a common place."""
        beside = self.right <= other.left or other.right <= self.left
        above = self.bottom <= other.top or other.bottom <= self.top
        return not (beside or above)


def around(x: float, y: float, half: float = 6.0) -> Box:
    """The place of a mark."""
    return Box(x - half, y - half, x + half, y + half)


def text_box(x: float, y: float, lines: list[str], anchor: str) -> Box:
    """The place of lines of text, the first with its base line at `y`."""
    width = _WIDTH * max(map(len, lines))
    left = {"start": x, "end": x - width, "middle": x - width / 2}[anchor]
    return Box(left, y - 12, left + width, y - 12 + LINE * len(lines))


def beside(
    x: float, y: float, names: list[str], taken: list[Box], lines_of_chart: list[Box], kind: str
) -> Markup:
    """The names of a mark at a free place around it, which is taken then: in lines, else in one line, else
    the first alone; nothing where no place is free.

    lines_of_chart: what names keep off where there is room, and else lie on."""
    lines = names if len(names) <= _MOST_LINES else [*names[: _MOST_LINES - 1], "…"]
    for shown in (lines, [", ".join(lines)], names[:1]):
        for kept_off in ([*taken, *lines_of_chart], taken):
            for at, base, anchor in _places(x, y, len(shown)):
                place = text_box(at, base, shown, anchor)
                if _is_inside(place) and not any(place.covers(other) for other in kept_off):
                    taken.append(place)
                    return text(at, base, shown, anchor, kind)
    return Markup("")


def _places(x: float, y: float, lines: int) -> list[tuple[float, float, str]]:
    """Where the text may begin, end or have its middle, and its first base line: beside the mark first."""
    more = LINE * (lines - 1)
    above, middle, below = y - 10 - more, y + 4 - more / 2, y + 19
    right, left = (x + _AWAY, "start"), (x - _AWAY, "end")
    return [
        (at, base, anchor)
        for (at, anchor), bases in (
            (right, [middle]),
            (left, [middle]),
            (right, [above, below]),
            (left, [above, below]),
            ((x, "middle"), [above, below]),
        )
        for base in bases
    ]


def text(x: float, y: float, lines: list[str], anchor: str, kind: str) -> Markup:
    """Lines of text, the first with its base line at `y`."""
    shown = Markup("").join(
        Markup('<tspan x="{:.1f}" y="{:.1f}">{}</tspan>').format(x, y + LINE * i, line)
        for i, line in enumerate(lines)
    )
    return Markup('<text class="{}" text-anchor="{}">{}</text>').format(kind, anchor, shown)


def _is_inside(box: Box) -> bool:
    within = box.left >= axes.LEFT and box.right <= axes.WIDTH
    return within and box.top >= 0 and box.bottom <= axes.HEIGHT - axes.BOTTOM
