"""Writes averages over all of space as GlobalAveragePool, which runtimes compute in int8.

Cases: ReduceMean over every axis behind the channels (rank 3 and 4; axes as attribute or input, negative or not); with
       keepdims=0 a Flatten follows. AveragePool whose window is the whole input and that pads nothing.
Left:  averages over other axes, varying spatial dimensions for AveragePool, noop_with_empty_axes.
"""

from __future__ import annotations

import onnx_ir as ir

from squeeze.graph.values import axes_of, integer, integers, is_op, known_dims, rank, replace


def fuse_global_pool(model: ir.Model) -> bool:
    """True when a node was replaced."""
    changed = [_replace(model.graph, n) for n in tuple(model.graph) if _is_global(n)]
    return any(changed)


def _is_global(node: ir.Node) -> bool:
    source = node.inputs[0] if node.inputs else None
    dims = rank(source)
    if dims not in (3, 4):
        return False
    if is_op(node, "ReduceMean"):
        axes = axes_of(node)
        return axes is not None and sorted(a % dims for a in axes) == list(range(2, dims))
    if is_op(node, "AveragePool"):
        spatial = known_dims(source, 2)
        padded = any(integers(node, "pads") or []) or "auto_pad" in node.attributes
        wide = any(d != 1 for d in integers(node, "dilations") or [])
        return (
            spatial is not None
            and integers(node, "kernel_shape") == spatial
            and not (padded or wide)
        )
    return False


def _replace(graph: ir.Graph, node: ir.Node) -> bool:
    source, old = node.inputs[0], node.outputs[0]
    channels = source.shape[:2] if source is not None and source.shape is not None else [None, None]
    dims = rank(source) or 4
    pool = ir.Node("", "GlobalAveragePool", [source], name=f"{node.name}_pool")
    pool.outputs[0].name, pool.outputs[0].type = f"{old.name}_pool", old.type
    pool.outputs[0].shape = ir.Shape([*channels, *[1] * (dims - 2)])
    new = [pool]
    if is_op(node, "ReduceMean") and not integer(node, "keepdims", 1):
        flat = ir.Node("", "Flatten", [pool.outputs[0]], [ir.AttrInt64("axis", 1)], name=node.name)
        flat.outputs[0].name = f"{old.name}_flat"
        flat.outputs[0].type, flat.outputs[0].shape = old.type, old.shape
        new.append(flat)
    graph.insert_before(node, new)
    replace(old, new[-1].outputs[0])
    graph.remove(node, safe=True)
    return True
