"""A float graph with fewer channels: into torch, rounds of pruning with training in between, and out again.

The graph becomes a torch network once, and after each training. What is exported for the timing of a round is the very
graph that is trained and shipped when the round is kept, so that nothing crosses the door for its own sake.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import torch

from squeeze import graph
from squeeze.errors import UnsupportedError
from squeeze.prune.counting import macs
from squeeze.prune.importances import importance
from squeeze.prune.rounds import in_rounds
from squeeze.prune.structured import prune_once
from squeeze.spec import ArchSpec
from squeeze.students import network, shapes
from squeeze.students.imported import check_samples_first, imported
from squeeze.workdir import digest_bytes

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray
    from torch import nn

    from squeeze.feed import Feed
    from squeeze.interface import Interface
    from squeeze.note import Note
    from squeeze.prune.making import Making
    from squeeze.prune.rounds import Smaller
    from squeeze.prune.structured import Pruned
    from squeeze.prune.units import Bundle, Samples, Scores
    from squeeze.spec import PrunePart
    from squeeze.students import Network

# Of the key of a training, in names of files.
_DIGITS = 24

Made = TypeVar("Made", bound="nn.Module")


@dataclass(frozen=True)
class Kind(Generic[Made]):
    """What a float graph is in torch. read: its module; described: what that is made from again; macs: of one
    inference."""

    read: Callable[[ir.Model], Made]
    described: Callable[[Made], ArchSpec]
    macs: Callable[[Made], int]


@dataclass(frozen=True)
class Reduced:
    """What became of a float graph. why: in one line, what was reached or why nothing was.

    model: the pruned and trained float graph; None where pruning is impossible or no round was kept. arch, weights: the
    network of `model`, which `students.rebuild` makes again.
    """

    why: str
    notes: tuple[Note, ...] = ()
    model: ir.Model | None = None
    arch: ArchSpec | None = None
    weights: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)


def refusal(model: ir.Model, interface: Interface, example: Feed) -> str:
    """Why `model` cannot be pruned, in one line; "" when it can. Cheap: nothing is scored or trained."""
    try:
        checked_network(model, interface, example)
    except UnsupportedError as e:
        return str(e)
    return ""


def reduce(
    model: ir.Model,
    interface: Interface,
    example: Feed,  # two or more samples
    part: PrunePart,
    making: Making,
    *,
    samples: Callable[[], Sequence[Samples]],
) -> Reduced:
    """`model`, an optimised float graph with this interface, with about `part.ratio` of its MACs fewer.

    samples(): what importance is taken from; asked once, and only when the graph can be pruned. making.recover is not
    called when part.steps is 0.

    A graph that torch cannot train is no error: the reason is in `why`. Raises ConfigError when the importance wants
    labels or answers that the samples lack, and what the functions raise.
    """
    try:
        whole = checked_network(model, interface, example)
    except UnsupportedError as e:
        return Reduced(f"cannot be pruned: {e}")
    x = torch.from_numpy(example[interface.only_input.name])
    by, batches = importance(part.importance), samples()

    def score(module: nn.Module, bundles: Sequence[Bundle]) -> Scores:
        return by(module, bundles, batches)

    def cut(module: nn.Module, share: float) -> Pruned:
        return prune_once(module, x, ratio=share, score=score, scope=part.scope, align=part.align)

    def described(module: Network) -> ArchSpec:
        return ArchSpec(family=network.FAMILY, params=module.description())

    return reduce_by(
        Kind(imported, described, lambda module: macs(module, x)),
        whole,
        model,
        cut,
        part,
        making,
    )


def reduce_by(
    kind: Kind[Made],
    whole: Made,
    model: ir.Model,
    cut: Callable[[nn.Module, float], Smaller],
    part: PrunePart,
    making: Making,
) -> Reduced:
    """`reduce` of `model`, which is the module `whole` of this kind, by `cut` (see `in_rounds`)."""
    with tempfile.TemporaryDirectory(dir=making.folder) as scratch:
        forms = _Forms(kind.read, whole, model, making, Path(scratch))

        def train(module: nn.Module) -> nn.Module:
            return module if part.steps == 0 else forms.trained(module)

        found = in_rounds(
            whole,
            cut,
            rounds=part.rounds,
            ratio=1 - (1 - part.ratio) ** (1 / part.rounds),
            train=train,
            measure=lambda after, before: making.measure(forms.file(after), forms.file(before)),
            what=making.what,
        )
        kept = forms.graphs[found.module]
    for path in making.folder.glob("trained-*.onnx"):
        path.unlink()
    if found.module is whole:
        better = "faster" if making.what == "latency" else "cheaper"
        return Reduced(f"no round made it {better} here", found.notes)
    last = kind.read(kept)
    return Reduced(
        f"{1 - kind.macs(last) / kind.macs(whole):.0%} fewer MACs",
        found.notes,
        kept,
        kind.described(last),
        {name: value.numpy() for name, value in last.state_dict().items()},
    )


class _Forms:
    """The graph of each module and the file that would be shipped of it, each made once."""

    def __init__(
        self,
        read: Callable[[ir.Model], nn.Module],
        whole: nn.Module,
        model: ir.Model,
        making: Making,
        scratch: Path,
    ) -> None:
        self.read, self.making, self.scratch = read, making, scratch
        self.graphs: dict[nn.Module, ir.Model] = {whole: model}
        self.files: dict[nn.Module, Path] = {}

    def file(self, module: nn.Module) -> Path:
        """The file to be timed."""
        if module not in self.files:
            path = self.scratch / f"{len(self.files)}.onnx"
            self.making.ship(self.graph(module), path)
            self.files[module] = path
        return self.files[module]

    def graph(self, module: nn.Module) -> ir.Model:
        """The float graph."""
        if module not in self.graphs:
            self.graphs[module] = self.making.export(module)
        return self.graphs[module]

    def trained(self, module: nn.Module) -> nn.Module:
        """The module after training, which changes no shape: what is timed of it stays."""
        plain = self.graph(module)
        key = digest_bytes(graph.to_bytes(plain))[:_DIGITS]
        folder = self.making.folder
        path, place = folder / f"trained-{key}.onnx", folder / f"training-{key}"
        if not path.is_file():
            graph.save(self.making.recover(plain, place), path)
        shutil.rmtree(place, ignore_errors=True)
        # Read back whether it was there or not, so that a run that was killed ends with the same bytes.
        model = graph.load(path)
        found = self.read(model)
        self.graphs[found], self.files[found] = model, self.file(module)
        return found


def checked_network(model: ir.Model, interface: Interface, example: Feed) -> Network:
    """The torch network of a float graph that can be pruned. Raises UnsupportedError for others."""
    check_samples_first(interface)
    found = imported(graph.with_sizes(model, interface.free))
    for node in found.nodes:
        if node["op"] in shapes.FUNCTIONS:
            name = f"{node['op']} '{node['outputs'][0]}'"
            raise UnsupportedError(f"{name}: channels are not followed through sizes and indices")
    x = torch.from_numpy(example[interface.only_input.name])
    try:
        with torch.no_grad():
            output = found(x)
    except (RuntimeError, ValueError, IndexError, TypeError) as e:
        said = str(e).strip().split("\n")[0]
        raise UnsupportedError(f"torch cannot run it on {len(x)} samples at once: {said}") from e
    if len(output) != len(x):
        raise UnsupportedError(
            f"torch made {len(output)} outputs of {len(x)} samples; it mixes samples"
        )
    return found
