"""Reads JSON of a .pt2 archive strictly by torch's own schema: declared types only, unknown fields dropped.

torch's reader takes most values as they come (a text where a size is declared goes on to sympy, which evaluates it;
names go into generated Python source). Here each value is checked, and a new clean structure is returned.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import re
import types
import typing
from collections.abc import Callable
from typing import Any, cast

from torch._export.serde import schema
from torch._export.serde.union import _Union

from squeeze.errors import ConfigError
from squeeze.teacher.pt2.expression import check_expression
from squeeze.teacher.pt2.targets import check_target

# Any, in this module: JSON, and types that are only known at run time.
Json = dict[str, Any]

_NAME = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]{0,500}")
_PATH = re.compile(r"((?!__)[A-Za-z0-9_\-]+)(\.(?!__)[A-Za-z0-9_\-]+)*")
_PAYLOAD = re.compile(r"[A-Za-z0-9_]{1,100}")
_SYMBOL = re.compile(r"[A-Za-z_]{0,8}\d{1,6}")
_DEVICES = {"cpu", "cuda", "mps", "xpu"}
_TO_FLOAT32 = {schema.ScalarType.HALF, schema.ScalarType.DOUBLE, schema.ScalarType.BFLOAT16}

# Texts that torch puts into generated source, or resolves, or splits into attribute names.
_TEXT_RULES: dict[tuple[str, str], re.Pattern[str]] = {
    ("CustomObjArgument", "name"): _NAME,
    ("GraphArgument", "name"): _NAME,
    ("InputToBufferSpec", "buffer_name"): _PATH,
    ("InputToConstantInputSpec", "name"): _NAME,
    ("InputToParameterSpec", "parameter_name"): _PATH,
    ("InputToTensorConstantSpec", "tensor_constant_name"): _PATH,
    ("NamedArgument", "name"): re.compile(rf"{_NAME.pattern}|"),
    ("Node", "name"): _NAME,
    ("PayloadMeta", "path_name"): _PAYLOAD,
    ("SymBoolArgument", "as_name"): _NAME,
    ("SymFloatArgument", "as_name"): _NAME,
    ("SymIntArgument", "as_name"): _NAME,
    ("TensorArgument", "name"): _NAME,
}
_KEY_RULES: dict[tuple[str, str], re.Pattern[str]] = {
    ("Argument", "as_string_to_argument"): _NAME,
    ("ExportedProgram", "range_constraints"): _SYMBOL,
    ("Graph", "sym_bool_values"): _NAME,
    ("Graph", "sym_float_values"): _NAME,
    ("Graph", "sym_int_values"): _NAME,
    ("Graph", "tensor_values"): _NAME,
    ("PayloadConfig", "config"): _PATH,
}
_CALLED = {("Argument", "as_operator"), ("Node", "target")}


def read_json(data: bytes, where: str) -> Any:
    """The JSON in `data`. Raises ConfigError."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as e:
        raise ConfigError(f"{where}: not valid JSON, the archive is damaged: {e}") from e


def conform(kind: type, value: Any, where: str) -> Any:
    """`value` as clean JSON of the schema class `kind`: float32 for other floats, device cpu, no metadata.

    Raises ConfigError for a wrong type, a name that is no identifier, a size that is no arithmetic, and a call of
    anything but a tensor operator; UnsupportedError for an operator of another library.
    """
    try:
        return _typed(kind, value, where, ("", ""))
    except RecursionError as e:
        raise ConfigError(f"{where}: nested too deeply, the archive is damaged") from e


def _typed(kind: Any, value: Any, where: str, field: tuple[str, str]) -> Any:
    if isinstance(kind, typing.ForwardRef):
        kind = kind.__forward_arg__
    if isinstance(kind, str):
        kind = getattr(schema, kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _typed(arguments[0], value, where, field)
    if origin is list:
        _require(isinstance(value, list), where, field, "a list", value)
        return [_typed(arguments[0], item, where, field) for item in value]
    if origin is dict:
        _require(isinstance(value, dict), where, field, "a table", value)
        for key in value if field in _KEY_RULES else ():
            _require(bool(_KEY_RULES[field].fullmatch(key)), where, field, "a plain name", key)
        return {key: _typed(arguments[1], item, where, field) for key, item in value.items()}
    if issubclass(kind, _Union):
        return _union(kind, value, where)
    if dataclasses.is_dataclass(kind):
        return _record(cast("type", kind), value, where)
    return _plain(kind, value, where, field)


def _record(kind: type, value: Any, where: str) -> Json:
    name = kind.__name__
    _require(isinstance(value, dict), where, (name, ""), "a table", value)
    if kind is schema.Device:
        device = value.get("type")
        _require(device in _DEVICES, where, (name, "type"), "a device", device)
        return {"type": "cpu", "index": None}
    hints = typing.get_type_hints(kind, globalns=vars(schema))
    clean = {}
    for field in dataclasses.fields(kind):
        if field.name in _DROPPED.get(name, {}):
            clean[field.name] = _DROPPED[name][field.name]()
        elif field.name in value:
            clean[field.name] = _typed(
                hints[field.name], value[field.name], where, (name, field.name)
            )
        else:
            missing = dataclasses.MISSING
            has_default = field.default is not missing or field.default_factory is not missing
            _require(has_default, where, (name, field.name), "a value", "nothing")
    return clean


def _union(kind: type, value: Any, where: str) -> Json:
    name = kind.__name__
    one = isinstance(value, dict) and len(value) == 1
    _require(one, where, (name, ""), "a table of one key", value)
    ((key, item),) = value.items()
    hints = typing.get_type_hints(kind, globalns=vars(schema))
    _require(key in hints, where, (name, ""), "a known kind of value", key)
    return {key: _typed(hints[key], item, where, (name, key))}


def _plain(kind: type, value: Any, where: str, field: tuple[str, str]) -> Any:
    if issubclass(kind, enum.IntEnum):
        _require(type(value) is int and value in set(kind), where, field, "a known number", value)
        return (
            int(schema.ScalarType.FLOAT)
            if value in _TO_FLOAT32 and kind is schema.ScalarType
            else value
        )
    if kind is float:
        # Infinity and NaN are written as texts by torch.
        special = isinstance(value, str) and value in {"Infinity", "-Infinity", "NaN"}
        _require(special or type(value) in (int, float), where, field, "a number", value)
        return value
    _require(type(value) is kind, where, field, kind.__name__, value)
    if kind is str:
        if field in _CALLED:
            check_target(value, where)
        elif field == ("SymExpr", "expr_str"):
            check_expression(value, where)
        elif field in _TEXT_RULES:
            _require(bool(_TEXT_RULES[field].fullmatch(value)), where, field, "a plain name", value)
    return value


# Said about the model's source, or compiled to Python when the module is made; neither is needed.
_DROPPED: dict[str, dict[str, Callable[[], Any]]] = {
    "ExportedProgram": {"guards_code": list},
    "GraphModule": {
        "metadata": dict,
        "treespec_namedtuple_fields": dict,
        "module_call_graph": list,
    },
    "Node": {"metadata": dict},
}


def _require(true: bool, where: str, field: tuple[str, str], wanted: str, got: Any) -> None:
    if not true:
        place = ".".join(part for part in field if part)
        raise ConfigError(
            f"{where}: {place}: got {str(got)[:60]!r}, wanted {wanted}; the archive is damaged or altered, "
            "save it again with torch.export.save"
        )
