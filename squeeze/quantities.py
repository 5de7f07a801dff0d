"""Numbers with units, as people write and read them: '0.3ms', '200KB', 1.61 ms, 4.34 MB."""

from __future__ import annotations

import math
import re

from squeeze.errors import ConfigError

_MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_BYTES = {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
# From here on three digits are those of the next unit: 999.6 KB are 1 MB.
_ROUNDED_UP = 0.9995


def milliseconds(text: str) -> float:
    """'0.3ms', '300us' or '0.1s' in milliseconds. Raises ConfigError."""
    return _read(text, _MILLISECONDS, "--latency", "0.3ms")


def byte_count(text: str, option: str = "--size") -> int:
    """'200KB' (1000 bytes), '1.5MB' or '64KiB' (1024 bytes) in bytes. Raises ConfigError."""
    count = int(_read(text, _BYTES, option, "200KB"))
    if count < 1:
        raise ConfigError(f"{option}: got {text!r}; at least 1 B")
    return count


def duration(text: str) -> float:
    """'90s', '30m' or '2h' in seconds. Raises ConfigError."""
    return _read(text, _SECONDS, "--time", "30m")


def show_bytes(count: float) -> str:
    """4340000 -> '4.34 MB'."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= _ROUNDED_UP * size:
            return f"{_digits(count / size)} {unit}"
    return f"{count:.0f} B"


def show_macs(count: float) -> str:
    """25300000 -> '25.3 MMACs'; 40000 -> '40.0 k MACs'."""
    return f"{count / 1e6:,.1f} MMACs" if count >= 1e6 else f"{count / 1e3:,.1f} k MACs"


def show_ms(value: float) -> str:
    """0.0621 -> '0.0621 ms'; 1234 -> '1.23 s'."""
    if value >= _ROUNDED_UP * 1e3:
        return f"{_digits(value / 1e3)} s"
    return f"{value:.3g} ms"


def show_seconds(seconds: float) -> str:
    """75.2 -> '1:15'."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def show_times(ratio: float, more: str, less: str, same: str) -> str:
    """1.83, 'faster', 'slower', 'as fast' -> '1.8x faster'; `same` where one digit shows no difference."""
    word, times = (more, ratio) if ratio >= 1 else (less, 1 / ratio)
    shown = f"{times:.1f}"
    return same if shown == "1.0" else f"{shown}x {word}"


def _digits(value: float) -> str:
    """Three digits; more where a number has more before its point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _read(text: str, units: dict[str, float], flag: str, example: str) -> float:
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:e-?\d+)?)\s*([a-zA-Z]+)\s*", text)
    known = {u.lower(): size for u, size in units.items()}
    value = float(match[1]) * known.get(match[2].lower(), 0.0) if match else 0.0
    if not 0 < value < math.inf:
        shown = ", ".join(u.replace("IB", "iB") for u in units)
        raise ConfigError(
            f"{flag}: got {text!r}; a positive number with a unit ({shown}), such as {example}"
        )
    return value
