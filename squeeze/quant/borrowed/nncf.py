"""nncf's post-training quantisation of a float graph, read from the file that it writes.

nncf (https://github.com/openvinotoolkit/nncf) takes the mean over samples of each tensor's extremes where we look for
the range with the least error, and corrects biases layer by layer ("fast bias correction"; Nagel et al. 2019). It
writes Q/DQ of its own kind, of which the ranges and the biases are taken (`squeeze.quant.borrowed.read`).

It runs in a process of its own, which may fail or hang: it changes functions of torch when it is imported, prints, and
draws bars.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from squeeze import graph, runtimes
from squeeze.feed import count, repeated
from squeeze.quant.borrowed.read import Borrowed, read_borrowed
from squeeze.quant.runner import chunks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from squeeze.feed import Passes

# It looks at every tensor of every sample in Python: 20 to 100 ms each. More samples hardly move a mean.
MOST_SAMPLES = 64
# What the samples may take on the disk.
MOST_BYTES = 256 << 20
LIMIT_SECONDS = 600

# The module path is ours to give: an isolated interpreter (-I) takes nothing from the environment or the folder.
# Whatever of ours is imported switches telemetry off first.
_CHILD = (
    "import json, sys; job = json.load(sys.stdin); sys.path[:] = job['path']; "
    "from squeeze.quant.borrowed.child import quantise; print('\\n' + json.dumps(quantise(job)))"
)

Json = dict[str, Any]  # Any: JSON
Run = list["NDArray[Any]"]  # Any: any dtype


class NncfFailed(Exception):
    """nncf made no file that can be used; the message is a line that says why."""


def nncf_version() -> str | None:
    """The version that is installed; None where it is not."""
    try:
        return version("nncf")
    except PackageNotFoundError:
        return None


def borrow(
    model: ir.Model, passes: Passes, samples: int, *, limit_s: float = LIMIT_SECONDS
) -> Borrowed:
    """What nncf finds for `model` on the first samples, at most `samples`. Raises NncfFailed, also when it takes longer
    than `limit_s`."""
    with tempfile.TemporaryDirectory(prefix="squeeze-") as name:
        folder = Path(name)
        source, made = folder / "float.onnx", folder / "quantised.onnx"
        source.write_bytes(graph.to_bytes(_named(model)))
        feeds = []
        for i, arrays in enumerate(_runs(passes, min(samples, MOST_SAMPLES))):
            feeds.append(str(folder / f"{i}.npz"))
            np.savez(feeds[-1], *arrays)
        names = [spec.name for spec in passes.interface.inputs]
        _ask({"model": str(source), "out": str(made), "inputs": names, "feeds": feeds}, limit_s)
        try:
            found = read_borrowed(graph.load(made).graph)
        except Exception as e:  # whatever is wrong with a file that is not ours
            raise NncfFailed(f"its file cannot be read: {_line(e)}") from e
    if not found.ranges:
        raise NncfFailed("it quantised nothing")
    return found


def _named(model: ir.Model) -> ir.Model:
    """A copy in which each node has a name of its own, which nncf wants; values keep theirs."""
    copy = ir.serde.deserialize_model(ir.serde.serialize_model(model))
    for i, node in enumerate(ir.traversal.RecursiveGraphIterator(copy.graph)):
        node.name = f"node_{i}"
    return copy


def _runs(passes: Passes, samples: int) -> Iterator[Run]:
    """What the runtime is given, in the order of the inputs: a sample at a time, or as many as the model's own batch
    has. Ends where MOST_BYTES are reached, with one run at least."""
    size, left = passes.interface.batch_size or 1, MOST_BYTES
    for feed in chunks(passes, samples, 1):
        whole = feed if count(feed) == size else repeated(feed, size)
        tensors = runtimes.tensors(whole, passes.interface)
        yield [np.asarray(tensors[spec.name]) for spec in passes.interface.inputs]
        left -= sum(np.asarray(x).nbytes for x in tensors.values())
        if left <= 0:
            break


def _ask(job: Json, limit_s: float) -> None:
    job = {**job, "path": [str(Path(entry).resolve()) for entry in sys.path]}
    try:
        child = subprocess.run(
            [sys.executable, "-I", "-c", _CHILD],
            input=json.dumps(job),
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        raise NncfFailed(f"it was not done within {limit_s:g} s") from e
    except OSError as e:
        raise NncfFailed(f"{sys.executable} cannot be started: {e.strerror}") from e
    if child.returncode != 0:
        lines = child.stderr.strip().splitlines()
        raise NncfFailed(lines[-1] if lines else f"its process ended with code {child.returncode}")
    try:
        answer = json.loads(child.stdout.splitlines()[-1])
    except (ValueError, IndexError) as e:
        raise NncfFailed("its process gave no answer") from e
    if "error" in answer:
        raise NncfFailed(answer["error"])


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
