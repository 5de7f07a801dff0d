"""Sizes are arithmetic on symbols, and nothing else gets through to an evaluator."""

from __future__ import annotations

import pytest

from squeeze.errors import ConfigError
from squeeze.teacher.pt2.expression import check_expression

GOOD = [
    "s0",
    "s77 + 1",
    "2*s0 // 3",
    "-u0 % 4",
    "Symbol('s77', integer=True, positive=True)",
    "Add(Mul(Integer(2), Symbol('s0', integer=True)), Integer(-1))",
    "FloorDiv(Add(Symbol('s1', integer=True, nonnegative=True), Integer(1)), Integer(2))",
    "Pow(Symbol('s0', integer=True, positive=True), Integer(2))",
    "Pow(Symbol('s0'), Integer(-1))",
    "Max(1, s0)",
    "StrictGreaterThan(Symbol('s0', integer=True), Integer(0))",
    "Float('0.5', precision=53)",
    "true",
]
BAD = [
    "",
    "s0 +",
    "__import__('os').system('x')",
    "().__class__",
    "s0.__class__",
    "lambda: 1",
    "[s0 for s0 in (1,)]",
    "open('x')",
    "Symbol('s0; import os')",
    "Symbol('s0', __class__=1)",
    "Symbol('s0', integer=open('x'))",
    "Symbol(s0)",
    "Integer('__import__(\"os\")')",
    "Function('f')(s0)",
    "eval('1')",
    "'text'",
    "s0 if s0 else 1",
    "s0 ** s1",
    "9**9**9**9",
    "Pow(Integer(9), Integer(999999999))",
    "Pow(s0, s1)",
    "Pow(Integer(9), Max(9, 99))",
    "Pow(s0)",
    "99999999999999999999999",
    "(" * 300 + "1" + ")" * 300,
    "-" * 300 + "1",
    "s0+" * 900 + "s0",
    "x",
    "os0x",
    "f'{s0}'",
    "s0\n\nimport os",
    "s0 := 1",
    "*s0",
    "Max(*s0)",
    "Max(**s0)",
    "1j",
    "b'1'",
]


@pytest.mark.parametrize("text", GOOD)
def test_arithmetic_passes(text: str) -> None:
    check_expression(text, "net.pt2")


@pytest.mark.parametrize("text", BAD, ids=[str(i) for i in range(len(BAD))])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"net\.pt2.*not plain arithmetic"):
        check_expression(text, "net.pt2")
