"""One damaged file through our readers and passes: what came of it, in one word and one line.

refused   a SqueezeError of one or two lines, as a user is told
fine      a file came out that opens and runs, with the library and without
fault     anything else: another exception, a longer message, a file that the runtime does not take
"""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from squeeze import graph, quant, runtimes, teacher
from squeeze.commands.inspect import inspect_model
from squeeze.commands.lower import lower_file
from squeeze.errors import MeasureError, SqueezeError
from squeeze.feed import Feed, Passes, part
from squeeze.interface import Interface
from squeeze.spec import QuantPart

# Of processor time: a busy machine takes longer, and no file is at fault for that.
LIMIT_CPU_SECONDS = 60.0
MOST_LINES = 2
SAMPLES = 4


class TooLong(BaseException):
    """A file took more processor time than it may. No Exception, so that nothing on the way takes it for one."""


class Invalid(Exception):
    """A file that we made is not taken by the runtime."""


def outcome(
    work: Callable[[], str], limit_cpu_seconds: float = LIMIT_CPU_SECONDS
) -> tuple[str, str]:
    """The word, and the message or the place of a fault."""
    try:
        with _limit(limit_cpu_seconds):
            return "fine", work()
    except SqueezeError as e:
        message = str(e)
        lines = message.count("\n") + 1
        told = f"{type(e).__name__}: {message}"
        return ("refused", told) if lines <= MOST_LINES else ("fault", f"{lines} lines: {told}")
    except TooLong:
        where = _place(traceback.format_exc())
        return "fault", f"not done after {limit_cpu_seconds:g} s of processor time: {where}"
    except Exception as e:  # any other exception is what this looks for
        return "fault", f"{type(e).__name__}: {str(e)[:200]} {_place(traceback.format_exc())}"


def looked_at(path: Path) -> str:
    """As `squeeze inspect` does."""
    inspect_model(path)
    return "inspected"


def lowered(path: Path, folder: Path) -> str:
    """As `squeeze lower --no-measure` does; the result is tried."""
    out = folder / "lowered.onnx"
    lower_file(path, out, measured=False)
    for native in (True, False):
        try:
            runtimes.session(out, native=native)
        except MeasureError as e:
            raise Invalid(f"the lowered file does not open (native={native}): {e}") from e
    return "lowered"


def quantised(path: Path, feed: Feed, folder: Path) -> str:
    """Adopted, optimised, quantised, lowered; what comes out is run on the samples."""
    source = str(path)
    taught = teacher.load(source, weights=None, example=_named(path, feed), folder=folder)
    model = graph.load(taught.model)
    samples = _fitting(taught.interface, _named(path, feed))
    graph.optimise(model, samples, taught.interface)

    def begin() -> Iterator[Feed]:
        yield samples

    part_wanted = QuantPart(samples=SAMPLES)
    passes = Passes(taught.interface, begin)
    made = quant.quantize(model, passes, activations="uint8", part=part_wanted)
    low, _ = graph.lower(made.model)
    graph.compact(low)
    for name, file in (("Q/DQ", graph.to_bytes(made.model)), ("lowered", graph.to_bytes(low))):
        for native in (True, False):
            try:
                session = runtimes.session(file, native=native)
                runtimes.infer(session, samples, taught.interface)
            except MeasureError as e:
                raise Invalid(f"the {name} file does not run (native={native}): {e}") from e
    return "quantised"


def _named(path: Path, feed: Feed) -> Feed:
    """The samples under the names of the file's own inputs, in their order."""
    try:
        proto = onnx.load(path, load_external_data=False)
    except (DecodeError, OSError):
        return feed
    weights = {weight.name for weight in proto.graph.initializer}
    names = [value.name for value in proto.graph.input if value.name not in weights]
    return dict(zip(names, feed.values(), strict=False)) or feed


def _fitting(interface: Interface, feed: Feed) -> dict[str, Any]:  # Any: several element types
    """The samples in the types and sizes that the model takes; ones where a size is another."""
    found: dict[str, Any] = {}
    for spec in interface.inputs:
        given = feed.get(spec.name)
        if given is None or given.shape[1:] != spec.shape:
            given = np.ones((SAMPLES, *spec.shape))
        found[spec.name] = np.asarray(given, spec.dtype)
    return part(found, 0, SAMPLES)


def feed_of(model: onnx.ModelProto) -> Mapping[str, Any]:  # Any: several element types
    """Samples for a base model from its seed; sizes that may vary are 4."""
    rng = np.random.default_rng(0)
    found: dict[str, Any] = {}
    for value in model.graph.input:
        tensor = value.type.tensor_type
        shape = (SAMPLES, *(d.dim_value or 4 for d in tensor.shape.dim[1:]))
        whole = tensor.elem_type == onnx.TensorProto.INT64
        x = rng.integers(0, 16, shape) if whole else rng.normal(size=shape).astype(np.float32)
        found[value.name] = x
    return found


@contextmanager
def _limit(cpu_seconds: float) -> Iterator[None]:
    def stop(number: int, frame: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        # One that is on its way while the timer is stopped would end the process by the default.
        signal.signal(signal.SIGPROF, signal.SIG_IGN if before is signal.SIG_DFL else before)


def _place(text: str) -> str:
    """The last lines of ours in a traceback."""
    ours = [line.strip() for line in text.splitlines() if "/squeeze/" in line and "File" in line]
    short = [line.replace('File "', "").split("/squeeze/", 1)[-1] for line in ours[-3:]]
    return "at " + " < ".join(reversed(short))
