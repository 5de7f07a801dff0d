"""Runs the passes over a float graph until none finds work, and checks after each that all outputs stayed.

The check runs ONNX Runtime with its own optimisations off, so that a defect of ours is not hidden by them, for one
sample and, where the model takes any number, for two at once; and for one in other sizes, where the model has free axes
and takes others than the data's. A pass that breaks the graph or changes an output is undone, and the rest goes on.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from squeeze import runtimes
from squeeze.errors import MeasureError
from squeeze.feed import joined, part
from squeeze.graph import lineage
from squeeze.graph.files import to_bytes
from squeeze.graph.inference import forget_others, infer_sizes, named_sizes
from squeeze.graph.passes import PASSES
from squeeze.graph.values import tell_apart
from squeeze.note import NOTHING, Note
from squeeze.other_sizes import other_sizes, resized

if TYPE_CHECKING:
    from squeeze.feed import Array, Feed
    from squeeze.interface import Interface
    from squeeze.other_sizes import Sizes

logger = logging.getLogger(__name__)

# Folding changes the order of float32 sums; as a share of the largest number of an output.
RELATIVE_TOLERANCE = 1e-4
ABSOLUTE_TOLERANCE = 1e-6
# What such a change may tip over, where an output of integers is decided by which of two numbers is larger.
INTEGERS_CHANGED = 1e-3
MAX_ROUNDS = 5


@dataclass(frozen=True)
class Optimised:
    """The passes that changed something, in order, each once; and those that were undone, with the reason."""

    changed: list[str]
    undone: dict[str, str]

    @property
    def notes(self) -> list[Note]:
        """What is told of them."""
        kept = Note("passes", True, ", ".join(self.changed) or NOTHING)
        return [
            kept,
            *(Note(f"pass {n}", False, f"undone: {why}") for n, why in self.undone.items()),
        ]


def optimise(model: ir.Model, feed: Feed, interface: Interface) -> Optimised:
    """Rewrites `model` in place.

    feed: one sample or more, of which the first is tried. A second call on the result changes nothing. A pass is undone
    when it breaks the graph, changes an output by more than 1e-4 of its largest number (by its last digit for half
    precision), or more than one in a thousand of the elements of an output of integers.
    """
    known, given = _Known.of(model, feed, interface), named_sizes(model)
    changed: list[str] = []
    undone: dict[str, str] = {}
    before: ir.Model | None = None
    for _ in range(MAX_ROUNDS):
        done: list[str] = []
        for name in [name for name in PASSES if name not in undone]:
            if before is None:  # shapes and the copy hold until a pass changes something
                infer_sizes(model)
                before = model.clone()
            if _run(name, model, before, known, undone):
                done.append(name)
            if name in done or name in undone:
                before = None
        if not done:
            break
        changed += done
    forget_others(model, given)
    return Optimised(list(dict.fromkeys(changed)), undone)


@dataclass(frozen=True)
class _Known:
    """Feeds, and what the model gave for each before any pass."""

    interface: Interface
    feeds: list[Feed]
    outputs: list[dict[str, Array]]

    @classmethod
    def of(cls, model: ir.Model, feed: Feed, interface: Interface) -> _Known:
        """One sample, then two at once, then one in other sizes that the model takes. Raises MeasureError."""
        session = runtimes.session(to_bytes(model), optimise=False)
        one = part(feed, 0, 1)
        feeds: list[Feed] = [one, joined([one, one])]
        outputs = [runtimes.infer(session, x, interface) for x in feeds]

        def takes(sizes: Sizes) -> bool:
            other = resized(one, interface, sizes)
            try:
                outputs.append(runtimes.infer(session, other, interface))
            except MeasureError:
                return False
            feeds.append(other)
            return True

        other_sizes(interface.free, takes)
        return cls(interface, feeds, outputs)

    def why_not(self, model: ir.Model) -> str | None:
        """What is wrong with the model now; None when it computes what it did."""
        try:
            session = runtimes.session(to_bytes(model), optimise=False)
            got = [runtimes.infer(session, x, self.interface) for x in self.feeds]
        except MeasureError as e:
            return f"the graph is no longer valid: {e}"
        for expected, found in zip(self.outputs, got, strict=True):
            for output, wanted in expected.items():
                if why := _changed(wanted, found[output]):
                    return f"output '{output}' {why}"
        return None


def _run(
    name: str, model: ir.Model, before: ir.Model, known: _Known, undone: dict[str, str]
) -> bool:
    """Whether the pass changed `model`; one that must be undone makes it `before`."""
    try:
        if not PASSES[name](model):
            return False
        lineage.recover(before.graph, model.graph)
        tell_apart(model)
        why = known.why_not(model)
    # A defect of ours in one pass must not stop the others.
    except Exception as e:
        why = f"{type(e).__name__}: {e}"
    if why is None:
        logger.info("pass %s changed the graph; its outputs stayed", name)
        return True
    undone[name] = why.strip().splitlines()[0]
    logger.warning("pass %s is undone: %s; please report this", name, undone[name])
    model.graph = before.graph
    model.functions.clear()
    model.functions.update(before.functions)
    return False


def _changed(expected: Array, got: Array) -> str | None:
    """What is wrong with `got`; None when it is as near to `expected` as it must be."""
    if (got.shape, got.dtype) != (expected.shape, expected.dtype):
        return f"is {got.dtype} {list(got.shape)}, it was {expected.dtype} {list(expected.shape)}"
    same = (got == expected) | ((got != got) & (expected != expected))  # NaN is not itself
    if got.dtype.kind != "f":
        share = float(1 - same.mean()) if same.size else 0.0
        words = (
            f"changed in {100 * share:.3g} % of its elements, allowed {100 * INTEGERS_CHANGED:g} %"
        )
        return words if share > INTEGERS_CHANGED else None
    wide, wide_got = (np.where(same, 0, x).astype(np.float64) for x in (expected, got))
    difference = float(np.abs(wide_got - wide).max(initial=0.0))
    finite = np.where(np.isfinite(expected), expected, 0).astype(np.float64)
    share = max(RELATIVE_TOLERANCE, float(np.finfo(expected.dtype).eps))
    allowed = ABSOLUTE_TOLERANCE + share * float(np.abs(finite).max(initial=0.0))
    if difference <= allowed:
        return None
    return f"changed by {difference:.3g} at most, allowed {allowed:.3g}"
