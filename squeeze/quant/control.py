"""Accuracy control: which nodes of an int8 graph cost most, and how few of them in float are enough.

A node is freed, which means that it stays float while all others are int8, and the outputs are compared with those of
the float graph. What freeing it alone wins back is its rank. Neighbours are tried together first, and one by one only
in the groups that win most, so that a large graph takes some dozens of files and not one for each node. How few of the
ranked nodes are enough is asked of the caller, who knows the metric.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import onnx_ir as ir

from squeeze.quant.keep import kept
from squeeze.quant.output_error import Expected, enough, together
from squeeze.quant.place import PASSING, place
from squeeze.quant.prepared import Prepared, build, observed_ranges, prepare
from squeeze.quant.ranges.floors import grids
from squeeze.quant.ranges.grid import Grid
from squeeze.quant.repair.equalise import equalise
from squeeze.quant.weights.weighted import Known, read_all

if TYPE_CHECKING:
    from squeeze.feed import Passes
    from squeeze.spec import QuantPart

# Samples that a ranking looks at; the fewest where outputs are dense.
SAMPLES, FEWEST_SAMPLES = 16, 4
GROUPS = 16
# Groups in which every node is tried alone.
EXPANDED = 4

Error = Callable[[frozenset[str]], float]


@dataclass(frozen=True)
class Freed:
    """A node by its first output and by what people call it; `gain`: of the error of the outputs when it alone, or its
    group, is float, as a share of their deviation."""

    output: str
    name: str
    gain: float


class Trials:
    """int8 forms of one float graph, each with other nodes in float; rounded to nearest, without repairs.

    store_float: the nodes in float have their weights in int8.
    """

    def __init__(
        self,
        model: ir.Model,
        passes: Passes,
        part: QuantPart,
        *,
        activations: Literal["uint8", "int8"],
        reduce_range: bool,
        store_float: bool = True,
    ) -> None:
        self._passes, self._part, self._stores = passes, part, store_float
        self._stay = kept(model, part.keep_float)
        few = enough(passes.interface, min(SAMPLES, part.samples), FEWEST_SAMPLES)
        self._expected = Expected(model, passes, few)
        if part.equalise:
            model, _ = equalise(model, passes, part.samples, functions=False)
        self._known: Known = {}  # weights are read and rounded once, not for every trial
        self._whole = prepare(
            model,
            passes,
            part.samples,
            grid=Grid.of(activations, safe=reduce_range),
            observer=part.observer,
            tick=lambda count: None,
            float_outputs=self._stay,
            exact=self._stay,
            activation_products=part.activation_products,
            integer_outputs=part.integer_outputs,
        )
        self._stay = self._whole.float_outputs  # and what 8 bits are too few for

    @property
    def nodes(self) -> dict[str, str]:
        """Nodes that can be freed, in order: first output -> what people call it. Those that only move integers are
        float where their neighbours are; one that computes on the way, a Resize that interpolates, is not of them."""
        placement = self._whole.placement
        return {
            str(node.outputs[0].name): str(node.name or node.outputs[0].name)
            for node in placement.nodes
            if node.op_type not in PASSING or node in placement.stretches
        }

    def built(self, float_outputs: Collection[str]) -> ir.Model:
        """The graph with these nodes in float."""
        return build(self._prepared(self._stay | frozenset(float_outputs)), {}).model

    def error(self, float_outputs: Collection[str]) -> float:
        """Of the outputs on a few samples, with these nodes in float."""
        (found,) = self._expected.errors(self.built(float_outputs))
        return together(found)

    def _prepared(self, float_outputs: frozenset[str]) -> Prepared:
        """With the ranges that are known; values that become an end of int8 only now are observed."""
        copy = self._whole.model.clone()
        placement = place(
            copy.graph,
            float_outputs,
            activation_products=self._whole.activation_products,
            integer_outputs=self._whole.integer_outputs,
        )
        names = {str(root.name) for root in placement.roots.values()}
        if missing := sorted(names - self._whole.observed.keys()):
            # All that other trials may ask for are looked at in the same pass.
            missing = sorted({*missing, *self._between()} - self._whole.observed.keys())
            more = observed_ranges(
                self._whole.model,
                missing,
                self._passes,
                self._part.samples,
                observer=self._whole.observer,
                tick=lambda count: None,
            )
            self._whole = replace(self._whole, observed=self._whole.observed | more)
        observed = {name: self._whole.observed[name] for name in names}
        ranges = grids(placement, observed, self._whole.grid)
        layers = read_all(placement, ranges, self._known)
        return replace(
            self._whole,
            model=copy,
            placement=placement,
            observed=observed,
            ranges=ranges,
            layers=layers,
            float_outputs=float_outputs,
            exact=self._whole.exact if self._stores else float_outputs,
        )

    def _between(self) -> set[str]:
        """The float values that nodes in int8 read or give: where int8 may end once others of them are float."""
        values = {v for node in self._whole.placement.nodes for v in (*node.inputs, *node.outputs)}
        return {
            str(v.name)
            for v in values
            if v is not None and v.dtype == ir.DataType.FLOAT and v.const_value is None
        }


def ranked(nodes: Mapping[str, str], error: Error, tick: Callable[[int, int], None]) -> list[Freed]:
    """All nodes, the one first that wins most; `error` is that of the outputs with some of them freed. tick: is told
    how many files of how many were tried."""
    outputs = list(nodes)
    if not outputs:
        return []
    whole = error(frozenset())
    groups = [list(g) for g in np.array_split(np.asarray(outputs, object), GROUPS) if len(g)]
    expanded_count = sum(sorted((len(g) for g in groups), reverse=True)[:EXPANDED])
    done, total = 0, len(groups) + (0 if len(groups) == len(outputs) else expanded_count)

    def gain(freed: Sequence[str]) -> float:
        nonlocal done
        found = whole - error(frozenset(freed))
        done += 1
        tick(done, total)
        return found

    gains = [gain(group) for group in groups]
    found: list[Freed] = []
    for rank, index in enumerate(sorted(range(len(groups)), key=lambda i: -gains[i])):
        group = groups[index]
        if rank < EXPANDED and len(group) > 1:
            each = [gain([one]) for one in group]
        else:  # of a group that is not taken apart every node counts for its share
            each = [gains[index] / len(group)] * len(group)
        found += [Freed(o, nodes[o], g) for o, g in zip(group, each, strict=True)]
    return sorted(found, key=lambda f: -f.gain)


def fewest(count: int, holds: Callable[[int], bool]) -> int | None:
    """The least number of nodes, of the first `count`, with which `holds`; None when not even all are enough.

    Doubles until it holds, then halves the step: `holds` is taken to stay true once it is.
    """
    if count < 1:
        return None
    low, high = 0, 1
    while high < count and not holds(high):
        low, high = high, high * 2
    if high >= count:
        high = count
        if not holds(high):
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
