"""What ONNX Runtime says of a model that it does not take, in one line, and the node that it is about."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_NAMED = (
    r"node with name '([^']*)'",
    r"\bName:'([^']*)'",
    r"\bIn Node, \(\"([^\"]*)\"",
    r"\bNode \(([^)]*)\)",
    r"\bNode:\s*([^\s,]+)",
)
_UNKNOWN_OP = r"([\w.]*):(\w+)\(-?\d+\) is not a registered function/op"
_WRAPPING = r"^.*?ERROR_MESSAGE:\s*"


def plain_reason(message: str) -> str:
    """A message without the numbers that the runtime wraps it in."""
    return re.sub(_WRAPPING, "", " ".join(message.split())).removeprefix("Fatal error: ")


def blamed_node(messages: Iterable[str], model: Path) -> str:
    """The node of the file `model` that the first message to name one is about; "" where none does."""
    for message in messages:
        for pattern in _NAMED:
            if (found := re.search(pattern, message)) and found.group(1):
                return found.group(1)
        if found := re.search(_UNKNOWN_OP, message):
            return _first_of(model, found.group(1), found.group(2))
    return ""


def _first_of(model: Path, domain: str, op: str) -> str:
    """The name of the first node of an operator that the runtime does not know; the operator where it has none."""
    import onnx

    for node in onnx.load(model, load_external_data=False).graph.node:
        if node.op_type == op and node.domain in (domain, "" if domain == "ai.onnx" else domain):
            return node.name or op
    return ""
