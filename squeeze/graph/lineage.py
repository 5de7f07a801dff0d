"""What the nodes of a graph became when passes rewrote it: marks that nodes carry, and that follow them.

A mark is an origin, the first output of a node as it was, with words that somebody wants to find again. A node that
takes the place of others takes their marks (`hand_on`); what a pass lost in another way goes to the node that makes the
same value now, or else to the nearest behind it (`recover`). Marks live in the metadata of nodes, so that files keep
them; a graph in which nobody marked anything has none.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

import onnx_ir as ir

_KEY = "squeeze.stands_for"

Marks = dict[str, list[str]]


def marks(node: ir.Node) -> Marks:
    """Origin -> words."""
    found: Marks = json.loads(node.metadata_props.get(_KEY, "{}"))
    return found


def mark(node: ir.Node, found: Mapping[str, Sequence[str]]) -> None:
    """Adds to the marks of `node`."""
    if found:
        known = {origin: list(words) for origin, words in (marks(node) | dict(found)).items()}
        node.metadata_props[_KEY] = json.dumps(known, sort_keys=True)


def fold_into(node: ir.Node, other: ir.Node) -> None:
    """The marks of `node`, which is about to go, are those of `other`."""
    mark(other, marks(node))
    node.metadata_props.pop(_KEY, None)


def hand_on(old: ir.Value, new: ir.Value) -> None:
    """The marks of all that nobody reads since `new` took the place of `old` go to what was made for that."""
    gone = _unread(old)
    found: Marks = {}
    for node in gone:
        found |= marks(node)
    if found:
        ends = {v for n in gone for v in n.inputs if v is not None and v.producer() not in gone}
        for node in _made_for(new, ends):
            mark(node, found)


def recover(before: ir.Graph, after: ir.Graph) -> None:
    """Marks of `before` that no node of `after` has go to the node there that makes the same value, or else to the
    nearest behind it; those of a node behind which nothing is left are dropped."""
    has = {origin for node in after for origin in marks(node)}
    makers = {str(value.name): node for node in after for value in node.outputs}
    for node in before:
        lost = {origin: words for origin, words in marks(node).items() if origin not in has}
        maker = _nearest(node, makers) if lost else None
        if maker is not None:
            mark(maker, lost)


def _unread(value: ir.Value) -> list[ir.Node]:
    """The node that makes `value` and those in front of it whose outputs nobody reads but these."""
    gone: list[ir.Node] = []
    queue = deque([value.producer()])
    while queue:
        node = queue.popleft()
        if node is None or node in gone or not _only_for(node, gone):
            continue
        gone.append(node)
        queue.extend(v.producer() for v in node.inputs if v is not None)
    return gone


def _made_for(value: ir.Value, ends: Iterable[ir.Value]) -> list[ir.Node]:
    """The node that makes `value`, and those in front of it that are for it alone, up to `ends`."""
    stop = set(ends)
    last = value.producer()
    made = [] if last is None else [last]
    if value in stop:
        return made
    for node in made:
        for source in node.inputs:
            before = None if source is None or source in stop else source.producer()
            if before is not None and before not in made and _only_for(before, made):
                made.append(before)
    return made


def _only_for(node: ir.Node, readers: Sequence[ir.Node]) -> bool:
    """Whether nobody but `readers` reads what `node` makes."""
    return all(
        not value.is_graph_output() and all(use.node in readers for use in value.uses())
        for value in node.outputs
    )


def _nearest(node: ir.Node, makers: Mapping[str, ir.Node]) -> ir.Node | None:
    queue, seen = deque([node]), {node}
    while queue:
        one = queue.popleft()
        for value in one.outputs:
            if (maker := makers.get(str(value.name))) is not None:
                return maker
        for reader in (use.node for value in one.outputs for use in value.uses()):
            if reader not in seen:
                seen.add(reader)
                queue.append(reader)
    return None
