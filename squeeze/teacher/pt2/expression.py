"""The grammar of symbolic sizes in a .pt2 archive; torch hands these strings to sympy, which evaluates them as Python.

Read: numbers, names of symbols (s77, u0), + - * / // %, comparisons, and calls of the listed functions, in the form
that torch writes (`Add(Symbol('s77', integer=True), Integer(1))`) or plain (`s77 + 1`).
Refused: everything else, and numbers or powers large enough to make the evaluation itself the attack.
"""

from __future__ import annotations

import ast
import re

from squeeze.errors import ConfigError

_LONGEST = 2000
_DEEPEST = 40
_LARGEST = 2**63
_HIGHEST_POWER = 8
_SYMBOL = re.compile(r"[A-Za-z_]{0,8}\d{1,6}")
_NUMBER = re.compile(r"-?\d{1,19}(\.\d{1,30})?(e-?\d{1,2})?")
_CONSTANTS = {"False", "True", "false", "true"}
_NUMBERS = {"Float", "Integer", "Rational"}
_POWERS = {"FloatPow", "Pow", "PowByNatural"}
_FUNCTIONS = {
    "Abs",
    "Add",
    "And",
    "CeilDiv",
    "CeilToInt",
    "CleanDiv",
    "Eq",
    "Equality",
    "FloatTrueDiv",
    "FloorDiv",
    "FloorToInt",
    "Ge",
    "GreaterThan",
    "Gt",
    "Identity",
    "IntTrueDiv",
    "IsNonOverlappingAndDenseIndicator",
    "Le",
    "LessThan",
    "Lt",
    "Max",
    "Min",
    "Mod",
    "ModularIndexing",
    "Mul",
    "Ne",
    "Not",
    "Or",
    "PythonMod",
    "RoundToInt",
    "StrictGreaterThan",
    "StrictLessThan",
    "ToFloat",
    "TruncToFloat",
    "TruncToInt",
    "Unequality",
    "Where",
    "ceiling",
    "floor",
}
_ASSUMPTIONS = {
    "commutative",
    "extended_real",
    "finite",
    "integer",
    "nonnegative",
    "nonzero",
    "positive",
    "precision",
    "real",
    "zero",
}
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod)
_SIGNS = (ast.UAdd, ast.USub)


def check_expression(text: str, where: str) -> None:
    """Raises ConfigError when `text` is anything but arithmetic on sizes; nothing is evaluated."""
    try:
        if len(text) > _LONGEST:
            raise ValueError("too long")
        _check(ast.parse(text, mode="eval").body, 0)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as e:
        shown = text if len(text) <= 60 else text[:60] + "..."
        raise ConfigError(
            f"{where}: the size {shown!r} is not plain arithmetic, so it is not evaluated; "
            "export the model again with torch.export.save"
        ) from e


def _check(node: ast.expr, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError("too deep")
    if isinstance(node, ast.Constant):
        if not isinstance(node.value, (bool, int, float)) or abs(node.value) > _LARGEST:
            raise ValueError("not a number")
    elif isinstance(node, ast.Name):
        if node.id not in _CONSTANTS and not _SYMBOL.fullmatch(node.id):
            raise ValueError("not a symbol")
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, _SIGNS):
        _check(node.operand, depth + 1)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, _OPERATORS):
        _check(node.left, depth + 1)
        _check(node.right, depth + 1)
    elif isinstance(node, ast.Compare):
        for side in (node.left, *node.comparators):
            _check(side, depth + 1)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        _check_call(node.func.id, node, depth)
    else:
        raise ValueError("not arithmetic")


def _check_call(name: str, node: ast.Call, depth: int) -> None:
    for keyword in node.keywords:
        value = keyword.value
        if keyword.arg not in _ASSUMPTIONS or not isinstance(value, ast.Constant):
            raise ValueError("not an assumption")
        if type(value.value) is not bool and not (type(value.value) is int and value.value < 100):
            raise ValueError("not an assumption")
    if name == "Symbol" or name in _NUMBERS:
        wanted = _SYMBOL if name == "Symbol" else _NUMBER
        if not node.args or (name == "Symbol" and len(node.args) > 1):
            raise ValueError("wrong number of arguments")
        for argument in node.args:
            text = argument.value if isinstance(argument, ast.Constant) else None
            if isinstance(text, str) and wanted.fullmatch(text):
                continue
            if name == "Symbol":
                raise ValueError("not the name of a symbol")
            _check(argument, depth + 1)
    elif name in _POWERS:
        base, power = node.args
        _check(base, depth + 1)
        if abs(_plain_integer(power)) > _HIGHEST_POWER:
            raise ValueError("power too high")
    elif name in _FUNCTIONS:
        for argument in node.args:
            _check(argument, depth + 1)
    else:
        raise ValueError("not a known function")


def _plain_integer(node: ast.expr) -> int:
    """The integer that `3`, `-3` or `Integer(-3)` writes. Raises ValueError for anything else."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 1:
        if node.func.id != "Integer":
            raise ValueError("not an integer")
        return _plain_integer(node.args[0])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_plain_integer(node.operand)
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    raise ValueError("not an integer")
