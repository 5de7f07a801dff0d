"""Which nodes stay float because somebody said so: by name, by pattern, or by operator.

People name what they see in their own file, and passes rewrite it. So nodes are marked before passes run (`remember`),
and whatever they became stays float; names and operators of the rewritten graph are understood too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

import onnx_ir as ir

from squeeze.errors import ConfigError, hint
from squeeze.graph.lineage import mark, marks
from squeeze.graph.values import is_op


@dataclass(frozen=True)
class Words:
    """What the nodes of a graph can be called by."""

    operators: frozenset[str] = frozenset()
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, nodes: Iterable[ir.Node]) -> Words:
        """Of these nodes, names in their order."""
        nodes = list(nodes)
        return cls(frozenset(n.op_type for n in nodes), tuple(w for n in nodes for w in _names(n)))

    def has(self, pattern: str) -> bool:
        """Whether a node is called so."""
        return pattern in self.operators or any(fnmatchcase(name, pattern) for name in self.names)


def remember(model: ir.Model, patterns: Collection[str]) -> Words:
    """Marks in place, before any pass, the nodes that `patterns` mean, for `kept` to find what they became; what nodes
    are called in this graph. Constants are no nodes that compute."""
    nodes = [n for n in _all(model.graph) if n.outputs and not is_op(n, "Constant")]
    for node in nodes:
        fitting = [pattern for pattern in patterns if _is_called(node, pattern)]
        mark(node, {str(node.outputs[0].name): fitting} if fitting else {})
    return Words.of(nodes)


def kept(model: ir.Model, patterns: Iterable[str], before: Words | None = None) -> frozenset[str]:
    """The first outputs of the nodes that `patterns` mean, and of all in bodies of those that have one (If, Loop).

    A pattern is an operator ('Gemm'), or the name of a node or of one of its outputs, in which * and ? stand for any
    letters ('head.*'); of `model`, or of the graph that it was when `remember` saw it, which is `before`. Raises
    ConfigError, with names that come near, for a pattern that no node fits.
    """
    nodes = [node for node in _all(model.graph) if node.outputs]
    found: set[str] = set()
    for pattern in patterns:
        fitting = [node for node in nodes if _fits(node, pattern)]
        if not fitting:
            raise ConfigError(_unfit(pattern, before or Words.of(nodes)))
        found.update(str(n.outputs[0].name) for node in fitting for n in _with_bodies(node))
    return frozenset(found)


def _all(graph: ir.Graph) -> Iterator[ir.Node]:
    """The nodes of the graph and of all bodies in it, which are stored in int8 as well."""
    return iter(ir.traversal.RecursiveGraphIterator(graph))


def _with_bodies(node: ir.Node) -> Iterator[ir.Node]:
    """The node itself, and what is in its bodies and gives anything."""
    yield node
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield from (inner for inner in _all(attribute.as_graph()) if inner.outputs)


def _fits(node: ir.Node, pattern: str) -> bool:
    return _is_called(node, pattern) or any(pattern in words for words in marks(node).values())


def _is_called(node: ir.Node, pattern: str) -> bool:
    return node.op_type == pattern or any(fnmatchcase(n, pattern) for n in _names(node))


def _names(node: ir.Node) -> list[str]:
    return [name for name in (node.name, *(v.name for v in node.outputs)) if name]


def _unfit(pattern: str, words: Words) -> str:
    operators = sorted(words.operators)
    near = hint(pattern, [*operators, *words.names], spelled=3)
    return (
        f"keep-float: no node is called '{pattern}'.{near} Allowed: a name or a pattern such as 'head.*', or an "
        f"operator: {', '.join(operators)}"
    )
