"""One model as targets are asked about it: a file, tensors of a run, and the form that a device takes.

Cases: a device that runs float (the file as it is); one that runs integers alone, and a float file (int8 by the ranges
of made-up inputs, whose answers mean nothing, or of data where there are some); a file that is quantised already (as it
is).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from squeeze import teacher
from squeeze.account.sizes import is_float
from squeeze.account.weigh import complexity
from squeeze.device import Numerics
from squeeze.machine.facts import facts_of_this_machine
from squeeze.quant.rough import rough_int8
from squeeze.runtimes.inference import one_run
from squeeze.runtimes.made_feed import made_sample
from squeeze.runtimes.ort import session
from squeeze.runtimes.shapes import shapes_of
from squeeze.runtimes.signature import generate, signature
from squeeze.teacher.sized import samples_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from squeeze.feed import Array, Feed, Passes
    from squeeze.target import Target
    from squeeze.teacher import Teacher

MADE_UP = "int8 by the ranges of made-up inputs: cost alone, its answers mean nothing"


@dataclass(frozen=True)
class Asked:
    """called: as the user called it. inputs: of one run, by name. sample: of the float network `network`, [1, ...]
    each; both None for a file that is quantised already. assumed: sizes that nobody said. ranges: samples for those of
    int8, instead of the one sample; made: what int8 is called. writing: held while a form is made."""

    called: str
    file: Path
    inputs: Mapping[str, Array]
    params: int
    macs: int
    folder: Path
    network: Teacher | None = None
    sample: Feed | None = None
    assumed: tuple[str, ...] = ()
    ranges: Passes | None = None
    made: str = MADE_UP
    writing: Lock = field(default_factory=Lock, repr=False, compare=False)

    def form(self, target: Target) -> tuple[Path, str]:
        """The file that the device is given, and what was done to it; "" for nothing."""
        if not target.integers_only or self.network is None or self.sample is None:
            return self.file, ""
        activations = Numerics.of(target, facts_of_this_machine()).activations
        path = self.folder / f"{activations}.onnx"
        with self.writing:
            if not path.is_file():
                rough_int8(
                    self.file,
                    self.sample,
                    self.network.interface,
                    path,
                    activations=activations,
                    ranges=self.ranges,
                )
        return path, self.made


def ask(called: str, file: Path, shapes: Mapping[str, Sequence[int]], folder: Path) -> Asked:
    """The self-contained ONNX file `file`, taken in. shapes: of inputs that leave sizes open, batch included, by name,
    or under "" for all. Raises ConfigError, UnsupportedError or MeasureError for what is no model or does not open."""
    if not is_float(file):
        return _as_it_is(called, file, shapes, folder)
    example, assumed = samples_of(str(file), None, shapes)
    network = teacher.load(
        str(file), weights=None, example=example, folder=folder, made_up=True, called=called
    )
    feed = made_sample(network.interface) if example is None else example
    sample = {name: x[:1] for name, x in feed.items()}
    return Asked(
        called,
        network.model,
        one_run(sample, network.interface),
        network.params,
        network.macs,
        folder,
        network,
        sample,
        assumed,
    )


def _as_it_is(called: str, file: Path, shapes: Mapping[str, Sequence[int]], folder: Path) -> Asked:
    opened = session(file)
    needs = signature(opened)
    chosen, assumed = shapes_of(needs, shapes, opened.get_modelmeta().custom_metadata_map)
    inputs = {n.name: generate(n, chosen[n.name], seed) for seed, n in enumerate(needs)}
    weight = complexity(file, {name: x.shape for name, x in inputs.items()})
    path = folder / "model.onnx"  # the one that was given may be gone before it is asked about
    path.write_bytes(file.read_bytes())
    return Asked(called, path, inputs, weight.params, weight.macs, folder, assumed=assumed)
