"""What cannot be seen is written out; everything else stays."""

from __future__ import annotations

import pytest

from squeeze.errors import ConfigError, GoalMissed
from squeeze.plain_text import printable


@pytest.mark.parametrize("text", ["", "conv_1", "/head/Gemm·é中 [n, 3]", r"C:\new", "a  b"])
def test_what_can_be_seen_stays(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("\x08\n", r"\x08\n"),
        ("a\r\tb", r"a\r\tb"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("gpj.\u202exe", r"gpj.\u202exe"),
        ("\u2028\x85", r"\u2028\x85"),
        ("\udc80", r"\udc80"),
    ],
)
def test_what_cannot_be_seen_is_written_as_python_does(text: str, wanted: str) -> None:
    assert printable(text) == wanted
    assert printable(wanted) == wanted


def test_an_error_is_one_line_whatever_it_names_and_more_where_it_is_given_more() -> None:
    assert str(ConfigError("node '\x08\n': no")) == r"node '\x08\n': no"
    assert str(ConfigError("a\nb", "run(x)")) == "a\\nb\nrun(x)"
    assert str(GoalMissed("beyond '\n'")) == r"beyond '\n'"
