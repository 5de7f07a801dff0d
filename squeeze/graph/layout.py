"""Puts planned nodes into the graph, and decides for each tensor between them whether it is channels-last.

A convolution or a pool reads and writes either layout, at the cost of a conversion inside; a sum or a concatenation
wants one layout for all of its tensors. Tensors tied so form a group. A group is channels-last when that takes fewer
Transposes, at borders to operators that are not ours, than it saves conversions. A Flatten behind a 1x1 image reads
either layout, because both hold the same numbers in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from squeeze import ops
from squeeze.graph.values import add_constant, integer, is_op, known_dims, rank

Array = NDArray[Any]  # Any: constants of several element types
Attributes = Mapping[str, Sequence[int] | int | float | str]

TO_LAST = {3: (0, 2, 1), 4: (0, 2, 3, 1)}
TO_FIRST = {3: (0, 2, 1), 4: (0, 3, 1, 2)}
SAME = {3: (0, 1, 2), 4: (0, 1, 2, 3)}


@dataclass(frozen=True)
class Planned:
    """A node to be made before `last`, whose output `y` (or a new value) it gives.

    `inputs`: name of the input -> a tensor of the graph, or a constant; for our ops in any order, for others in
    theirs. `free`: the input that x_perm brings into shape, with y_perm for y; "" where all image tensors, `tied`,
    have the layout of y. `formula`: the function of a lookup, of which its table is made. `further`: what the outputs
    behind y give; their readers come after `last`. `flat`: attention that weighs all keys of a query alike,
    which is what the quantisers of its file leave of it.
    """

    family: str
    op_type: str
    name: str
    last: ir.Node
    y: ir.Value
    inputs: Mapping[str, ir.Value | Array]
    attributes: Attributes = field(default_factory=dict)
    free: str = ""
    tied: tuple[str, ...] = ()
    domain: str = ops.DOMAIN
    rounded_bias: bool = False
    flat: bool = False
    formula: ops.Formula | None = None
    further: tuple[ir.Value, ...] = ()

    @property
    def ends(self) -> list[ir.Value]:
        """Tensors of the graph that this node can read or write in either layout."""
        return [self._tensor(self.free), self.y] if self.free else []

    @property
    def alike(self) -> list[ir.Value]:
        """Tensors that have to have the layout of y, y first."""
        return [self.y, *(self._tensor(name) for name in self.tied)]

    def tensors(self) -> list[ir.Value]:
        """The tensors of the graph that it reads."""
        return [v for v in self.inputs.values() if isinstance(v, ir.Value)]

    def _tensor(self, name: str) -> ir.Value:
        value = self.inputs[name]
        assert isinstance(value, ir.Value)
        return value


# Nodes that only make sense together, in order: each reads what those before it make, and the last gives the result.
# Whoever leaves one out leaves all of them out.
Unit = tuple[Planned, ...]


def emit(graph: ir.Graph, planned: Sequence[Planned]) -> None:
    """Makes the nodes, in the order given, in which each comes after those it reads."""
    _Emission(graph, planned).run()


class _Emission:
    def __init__(self, graph: ir.Graph, planned: Sequence[Planned]) -> None:
        self.graph, self.planned = graph, planned
        self.last = _channels_last(graph, planned)
        self.twins: dict[ir.Value, ir.Value] = {}  # channels-last forms, by the old tensor
        self.planes: dict[ir.Value, ir.Value] = {}  # what replaces the old tensor
        self.shared: dict[tuple[str, bytes], ir.Value] = {}

    def run(self) -> None:
        for plan in self.planned:
            self._make(plan)

    def _make(self, plan: Planned) -> None:
        old = plan.y
        planes = ir.Value(type=old.type, shape=old.shape)
        is_last = old in self.last
        result = planes
        if is_last:
            result = self.twins[old] = _twin(old)
        inputs = {name: self._input(plan, name, value) for name, value in plan.inputs.items()}
        ours = plan.domain == ops.DOMAIN
        further = [ir.Value(type=v.type, shape=v.shape) for v in plan.further]
        node = ir.Node(
            plan.domain,
            plan.op_type,
            ops.SIGNATURES[plan.op_type].ordered(inputs) if ours else list(inputs.values()),
            ir.convenience.convert_attributes(self._attributes(plan)),
            outputs=[result, *further],
            name=plan.name,
        )
        self.graph.insert_before(plan.last, node)
        for before, made in zip(plan.further, further, strict=True):
            self._replace(before, made)
        if is_last:  # unused, and removed later, where all readers are ours
            perm = TO_FIRST[rank(old) or 4]
            self.graph.insert_before(plan.last, _transpose(result, planes, perm))
        self._replace(old, planes)
        if is_last:
            for user, index in tuple(planes.uses()):
                if _reads_either(user, old):
                    user.replace_input_with(index, result)

    def _replace(self, old: ir.Value, new: ir.Value) -> None:
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        new.name, old.name = old.name, None
        self.planes[old] = new

    def _input(self, plan: Planned, name: str, value: ir.Value | Array) -> ir.Value:
        if not isinstance(value, ir.Value):
            return self._constant(f"{plan.name}.{name}", value)
        is_image = name == plan.free or name in plan.tied
        if not is_image or value not in self.last:
            return self.planes.get(value, value)
        if value not in self.twins:
            self.twins[value] = _twin(value)
            node = _transpose(value, self.twins[value], TO_LAST[rank(value) or 4])
            made = value.producer()
            if made is not None:
                self.graph.insert_after(made, node)
            else:
                self.graph.insert_before(self.graph[0], node)
        return self.twins[value]

    def _constant(self, name: str, array: Array) -> ir.Value:
        if array.size > 1:
            return add_constant(self.graph, name, array)
        key = (str(array.dtype), array.tobytes())
        if key not in self.shared:
            self.shared[key] = add_constant(self.graph, name, array)
        return self.shared[key]

    def _attributes(self, plan: Planned) -> dict[str, Sequence[int] | int | float | str]:
        found = dict(plan.attributes)
        if plan.free:
            x, dims = plan.ends[0], rank(plan.y) or 4
            found["x_perm"] = (TO_FIRST if x in self.last else SAME)[dims]
            found["y_perm"] = (TO_LAST if plan.y in self.last else SAME)[dims]
        axis = found.get("axis")
        if plan.y in self.last and isinstance(axis, int):
            found["axis"] = TO_LAST[rank(plan.y) or 4].index(axis)
        return found


def _channels_last(graph: ir.Graph, planned: Sequence[Planned]) -> set[ir.Value]:
    """The tensors that are held channels-last."""
    groups = _groups(planned)
    made = {p.y for p in planned}
    alive = _surviving(graph, planned)
    ends = [value for p in planned for value in p.ends]
    # Matrix products write no other layout, even where their results look like images.
    rigid = {p.y for p in planned if not p.free and not p.tied}
    found: set[ir.Value] = set()
    for group in groups:
        if group & rigid or any(rank(value) not in TO_LAST for value in group):
            continue
        transposes = sum(
            (value not in made) + _has_foreign_reader(value, graph, alive) for value in group
        )
        conversions = sum(ends.count(value) for value in group)
        if transposes < conversions:
            found |= group
    return found


def _groups(planned: Sequence[Planned]) -> list[set[ir.Value]]:
    groups: list[set[ir.Value]] = []
    for plan in planned:
        for together in [{v} for v in plan.ends] + ([set(plan.alike)] if plan.tied else []):
            _merge(groups, together)
    return groups


def _merge(groups: list[set[ir.Value]], together: set[ir.Value]) -> None:
    for group in [g for g in groups if g & together]:
        together |= group
        groups.remove(group)
    groups.append(together)


def _surviving(graph: ir.Graph, planned: Sequence[Planned]) -> set[ir.Node]:
    """The nodes of the graph whose results are still needed when the planned ones are there."""
    plans = {p.y: p for p in planned}
    alive: set[ir.Node] = set()
    seen: set[ir.Value] = set()
    waiting: list[ir.Value | None] = list(graph.outputs)
    while waiting:
        value = waiting.pop()
        if value is None or value in seen:
            continue
        seen.add(value)
        if (plan := plans.get(value)) is not None:
            waiting.extend(plan.tensors())
        elif (node := value.producer()) is not None and node not in alive:
            alive.add(node)
            waiting.extend(node.inputs)
    return alive


def _has_foreign_reader(value: ir.Value, graph: ir.Graph, alive: set[ir.Node]) -> bool:
    if value.is_graph_output():
        return True
    return any(
        # What is in no set but in a nested graph is never replaced.
        (user in alive or user.graph is not graph) and not _reads_either(user, value)
        for user, _ in value.uses()
    )


def _reads_either(node: ir.Node, image: ir.Value) -> bool:
    dims = known_dims(image, 2)
    one = dims is not None and all(d == 1 for d in dims)
    return one and is_op(node, "Flatten") and integer(node, "axis", 1) == 1


def _twin(value: ir.Value) -> ir.Value:
    shape = None
    if value.shape is not None:
        shape = ir.Shape([value.shape[axis] for axis in TO_LAST[len(value.shape)]])
    return ir.Value(name=f"{value.name}_nhwc", type=value.type, shape=shape)


def _transpose(value: ir.Value, output: ir.Value, perm: tuple[int, ...]) -> ir.Node:
    return ir.Node("", "Transpose", [value], [ir.AttrInt64s("perm", perm)], outputs=[output])
