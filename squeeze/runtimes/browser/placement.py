"""Which nodes the graphics card runs and which the CPU, from what ONNX Runtime logs when it opens a model.

    All nodes placed on [WebGpuExecutionProvider]. Number of nodes: 18

or, for each provider,

    Node(s) placed on [CPUExecutionProvider]. Number of nodes: 1
      Det (its name)

Copies that the runtime puts between the two are no operators of the model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_PROVIDER = re.compile(r"placed on \[(\w+)\]\. Number of nodes: (\d+)")
_NODE = re.compile(r"\s(\w+) \(([^()]*)\)\s*$")
_CPU = "CPUExecutionProvider"


def placement(log: Sequence[str]) -> tuple[float | None, tuple[str, ...]]:
    """(share of operators on the card, names of the others); (None, ()) where the log says nothing of it."""
    on_card, on_cpu = 0, []
    provider = ""
    for line in log:
        if found := _PROVIDER.search(line):
            provider = found.group(1)
            if "All nodes" in line:
                on_card += int(found.group(2)) if provider != _CPU else 0
        elif provider and (node := _NODE.search(line)):
            op, name = node.groups()
            if op.startswith("Memcpy"):
                continue
            if provider == _CPU:
                on_cpu.append(name or op)
            else:
                on_card += 1
    if not provider:
        return None, ()
    whole = on_card + len(on_cpu)
    return (on_card / whole if whole else 0.0), tuple(on_cpu)
