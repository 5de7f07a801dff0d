"""Which nodes stay float because somebody said so: by name, by pattern, or by operator."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase

import onnx_ir as ir

from squeeze.errors import ConfigError


def kept(model: ir.Model, patterns: Iterable[str]) -> frozenset[str]:
    """The first outputs of the nodes that `patterns` mean.

    A pattern is an operator ('Gemm'), or the name of a node or of one of its outputs, in which * and ? stand for any
    letters ('head.*'). Raises ConfigError, with names that come near, for a pattern that no node fits.
    """
    nodes = [node for node in model.graph if node.outputs]
    found: set[str] = set()
    for pattern in patterns:
        fitting = [node for node in nodes if _fits(node, pattern)]
        if not fitting:
            raise ConfigError(_unfit(pattern, nodes))
        found.update(str(node.outputs[0].name) for node in fitting)
    return frozenset(found)


def _fits(node: ir.Node, pattern: str) -> bool:
    return node.op_type == pattern or any(fnmatchcase(n, pattern) for n in _names(node))


def _names(node: ir.Node) -> list[str]:
    return [name for name in (node.name, *(v.name for v in node.outputs)) if name]


def _unfit(pattern: str, nodes: Collection[ir.Node]) -> str:
    operators = sorted({node.op_type for node in nodes})
    near = get_close_matches(pattern, [*operators, *(n for node in nodes for n in _names(node))], 3)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return (
        f"keep-float: no node is called '{pattern}'.{hint} Allowed: a name or a pattern such as 'head.*', or an "
        f"operator: {', '.join(operators)}"
    )
