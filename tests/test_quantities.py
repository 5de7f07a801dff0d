"""Numbers with units as people write them."""

from __future__ import annotations

import pytest

from squeeze.errors import ConfigError
from squeeze.quantities import (
    byte_count,
    milliseconds,
    show_bytes,
    show_ms,
    show_seconds,
    show_times,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.3ms", 0.3), ("300us", 0.3), ("2 s", 2000.0), (".5MS", 0.5), ("1e-1ms", 0.1)],
)
def test_latency_is_read_with_its_unit(text: str, value: float) -> None:
    assert milliseconds(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "value"), [("200KB", 200_000), ("64KiB", 65_536), ("1.5mb", 1_500_000), ("12 B", 12)]
)
def test_size_is_read_with_its_unit(text: str, value: int) -> None:
    assert byte_count(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "ms",
        "-1ms",
        "0ms",
        "3 parsecs",
        "1,5ms",
        "nan ms",
        "inf ms",
        "infms",
        "1e999ms",
        "1e306s",
    ],
)
def test_latency_is_refused_when_it_is_not_a_positive_number_with_a_unit(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--latency: got .* such as 0\.3ms"):
        milliseconds(text)


@pytest.mark.parametrize("text", ["1e999KB", "0.4B"])
def test_size_is_refused_when_it_is_no_number_of_bytes(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--size: got "):
        byte_count(text)


def test_size_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(ConfigError, match=r"--size: got '20X'.*KB.*KiB"):
        byte_count("20X")


def test_numbers_are_shown_with_digits_that_mean_something() -> None:
    assert show_bytes(4_341_934) == "4.34 MB"
    assert show_bytes(141_000) == "141 KB"
    assert show_bytes(12) == "12 B"
    assert show_bytes(999_400) == "999 KB"
    assert show_bytes(999_600) == "1 MB"
    assert show_bytes(1_234_000_000_000) == "1234 GB"
    assert show_ms(0.06214) == "0.0621 ms"
    assert show_ms(999.4) == "999 ms"
    assert show_ms(999.7) == "1 s"
    assert show_ms(1234.0) == "1.23 s"
    assert show_ms(123_456.0) == "123 s"
    assert show_seconds(75.2) == "1:15"


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (1.83, "1.8x faster"),
        (1.04, "as fast"),
        (0.97, "as fast"),
        (0.8, "1.2x slower"),
        (26.0, "26.0x faster"),
    ],
)
def test_times_are_said_as_more_less_or_the_same(ratio: float, words: str) -> None:
    assert show_times(ratio, "faster", "slower", "as fast") == words
