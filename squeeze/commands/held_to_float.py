"""How the very files that targets run answer on data: the metric of docs/metrics.md, beside a float model.

The float model is the first one among those that are asked about; its answers are those of ONNX Runtime on this
machine. Where data have labels, both are held to the labels. Networks that a device takes in int8 alone are made so by
the calibrate split, of which the evaluate split, that is judged on, knows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze import artifact, measure, metrics, steps
from squeeze.account.sizes import is_float
from squeeze.commands.asked import Asked, ask
from squeeze.commands.likeness import as_taken, beside_float
from squeeze.commands.runnable import runnable
from squeeze.errors import ConfigError
from squeeze.measure.on_runtime import outputs_on
from squeeze.runtimes.inference import one_run
from squeeze.spec import load_recipe
from squeeze.teacher.hf.folder import is_folder

if TYPE_CHECKING:
    from squeeze.calib import AskedText
    from squeeze.case import Case
    from squeeze.feed import Passes
    from squeeze.interface import Interface
    from squeeze.runtimes.runtime import Built, Runtime

Json = dict[str, Any]  # Any: JSON
# Of the calibrate split, for the ranges of int8.
_CALIBRATING = 256
_BATCH = 16


@dataclass(frozen=True)
class HeldToFloat:
    """called: the float model, as the user called it; data: likewise. case: that model, and the data."""

    called: str
    data: str
    case: Case

    def asked(self, called: str, folder: Path) -> Asked:
        """One of the models with inputs and ranges of the data. Raises as `squeeze.commands.asked.ask`, and ConfigError
        for inputs or outputs that are not those of the float model."""
        calib, interface = self.case.data, self.case.interface
        first = calib.feed(calib.calibrate, 0, 1)
        if called == self.called:
            network = self.case.teacher
            asked = Asked(called, network.model, {}, network.params, network.macs, folder, network)
        else:
            shapes = {name: x.shape for name, x in one_run(first, interface).items()}
            with runnable(called, shapes) as path:
                as_taken(path, interface)  # refuses what is not alike
                asked = ask(called, path, shapes, folder)
        own = as_taken(asked.file, interface)
        ranges = None if asked.network is None else self._ranges(own)
        return replace(
            asked,
            inputs=one_run(first, own),
            sample=first,
            ranges=ranges,
            made=f"int8 by the ranges of {self._calibrating} samples of {self.data}",
            assumed=(),
        )

    def accuracy(self, runtime: Runtime, built: Built, file: Path) -> Json:
        """Samples, whose answers were had by what, beside which float model, and each judged output as
        `squeeze.commands.likeness.likeness` has it. file: the ONNX file that was built.

        Raises UnsupportedError where the runtime gives no outputs here, MeasureError when it fails.
        """
        calib, split = self.case.data, self.case.data.evaluate
        own = as_taken(file, self.case.interface)
        given = outputs_on(runtime, built, calib.feed(split), own)
        outputs = measure.without_padding(given, calib, split, self.case.interface)
        reference = self.case.reference("evaluate")
        beside = measure.beside(calib, split)
        readings = self.case.readings
        before = metrics.scores(readings, reference, split.y, reference, beside)
        after = metrics.scores(readings, outputs, split.y, reference, beside)
        intervals = [metrics.interval(r, outputs, split.y, reference, beside) for r in readings]
        return {
            "samples": len(split),
            "against": self.called,
            "by": runtime.abilities.answers_by or runtime.version,
            "outputs": beside_float(before, after, intervals),
        }

    @property
    def _calibrating(self) -> int:
        return min(_CALIBRATING, len(self.case.data.calibrate))

    def _ranges(self, interface: Interface) -> Passes:
        calib, batch = self.case.data, interface.batch_size or _BATCH
        return calib.passes(interface, calib.calibrate, range(self._calibrating), batch)


def held_to_float(
    models: Sequence[str],
    data: str,
    metric: str | None,
    shapes: Mapping[str, Sequence[int]],
    folder: Path,
    text: AskedText | None = None,
) -> HeldToFloat:
    """The first float one of `models` on `data`, its answers kept in `folder`.

    Raises ConfigError where none is float, for data that do not fit, and for --shape, which data say.
    """
    called = next((model for model in models if _is_float(model)), None)
    if called is None:
        said, todo = ("is", "add the one that it was made from as")
        if len(models) > 1:
            said, todo = ("are", "give a float one as")
        raise ConfigError(
            f"--calib: {' and '.join(models)} {said} quantised already, and answers are compared with those of a float "
            f"model; {todo} --against MODEL"
        )
    run = steps.begin(load_recipe("ptq", {}), folder, 1, "cpu", None)
    path = Path(called)
    package = path.is_dir() and not is_folder(path)
    source = artifact.open(path).model if package else path
    case = steps.load(run, str(source), None, data, metric, shapes, trained=False, text=text)
    return HeldToFloat(called, data, case)


def _is_float(model: str) -> bool:
    if Path(model).suffix == ".pt2" or is_folder(Path(model)):
        return True
    with runnable(model) as path:
        return is_float(path)
