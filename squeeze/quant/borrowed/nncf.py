"""nncf's post-training quantisation of a float graph, read from the file that it writes.

nncf (https://github.com/openvinotoolkit/nncf) takes the mean over samples of each tensor's extremes where we look for
the range with the least error, and corrects biases layer by layer ("fast bias correction"; Nagel et al. 2019). It
writes Q/DQ of its own kind; of that only two things are taken: the range behind each quantiser of an activation, and
biases. The tensors are told by their names, which it keeps.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from squeeze import graph, runtimes
from squeeze.feed import count, repeated
from squeeze.graph.values import constant, is_op
from squeeze.quant.place import WEIGHTED
from squeeze.quant.runner import chunks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from squeeze.feed import Passes

# What nncf itself takes by default.
MOST_SAMPLES = 300
LIMIT_SECONDS = 3600

# The module path is ours to give: an isolated interpreter (-I) takes nothing from the environment or the folder.
_CHILD = (
    "import json, sys; job = json.load(sys.stdin); sys.path[:] = job['path']; "
    "import squeeze; from squeeze.quant.borrowed.child import quantise; "
    "print('\\n' + json.dumps(quantise(job)))"
)


class NncfFailed(Exception):
    """nncf made no file; the message is the first line of what it said."""


@dataclass(frozen=True)
class Borrowed:
    """ranges: name of an activation -> (low, high). biases: first output of a node with weights -> its bias [o]."""

    ranges: dict[str, tuple[float, float]]
    biases: dict[str, NDArray[np.float64]]


def nncf_version() -> str | None:
    """The version that is installed; None where it is not."""
    try:
        return version("nncf")
    except PackageNotFoundError:
        return None


def borrow(model: ir.Model, passes: Passes, samples: int, folder: Path) -> Borrowed:
    """What nncf finds for `model`, whose shapes are inferred, on the first `samples`. What is written into `folder` is
    taken away again. Raises NncfFailed."""
    source, made = folder / "nncf-in.onnx", folder / "nncf-out.onnx"
    written: list[Path] = []
    try:
        source.write_bytes(graph.to_bytes(model))
        for i, arrays in enumerate(_runs(passes, min(samples, MOST_SAMPLES))):
            written.append(folder / f"nncf-feed-{i:04}.npz")
            np.savez(written[-1], allow_pickle=False, **arrays)
        _ask({"model": str(source), "out": str(made), "feeds": [str(path) for path in written]})
        return read_borrowed(graph.load(made).graph)
    finally:
        for path in (source, made, *written):
            path.unlink(missing_ok=True)


def read_borrowed(quantised: ir.Graph) -> Borrowed:
    """What the Q/DQ nodes of a graph say of its activations, and the biases of its nodes with weights."""
    ranges, biases = {}, {}
    for node in quantised:
        if is_op(node, "QuantizeLinear") and node.inputs[0] is not None:
            numbers = [constant(value) for value in node.inputs[1:3]]
            if len(numbers) == 2 and (found := _range(*numbers)) is not None:
                ranges[str(node.inputs[0].name)] = found
        elif is_op(node, *WEIGHTED) and len(node.inputs) > 2:
            bias = constant(node.inputs[2])
            if bias is not None and node.outputs:
                biases[str(node.outputs[0].name)] = bias.astype(np.float64).reshape(-1)
    return Borrowed(ranges, biases)


def _range(
    scale: NDArray[np.generic] | None, zero_point: NDArray[np.generic] | None
) -> tuple[float, float] | None:
    """The ends of a grid; None where there is more than one, or its types are not those of 8 bits."""
    if scale is None or zero_point is None or scale.size != 1 or zero_point.dtype.itemsize != 1:
        return None
    ends, step = np.iinfo(zero_point.dtype), float(scale.item())
    low, high = (step * (end - int(zero_point.item())) for end in (ends.min, ends.max))
    return (low, high) if np.isfinite([low, high]).all() else None


def _runs(passes: Passes, samples: int) -> Iterator[dict[str, NDArray[Any]]]:  # Any: any dtype
    """What the runtime is given, a sample at a time, or as many as the model's own batch has."""
    size = passes.interface.batch_size or 1
    for feed in chunks(passes, samples, 1):
        whole = feed if count(feed) == size else repeated(feed, size)
        yield runtimes.tensors(whole, passes.interface)


def _ask(job: dict[str, Any]) -> None:  # Any: JSON
    job["path"] = [str(Path(entry).resolve()) for entry in sys.path]
    try:
        child = subprocess.run(
            [sys.executable, "-I", "-c", _CHILD],
            input=json.dumps(job),
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        raise NncfFailed(f"it was not done within {LIMIT_SECONDS} s") from e
    except OSError as e:
        raise NncfFailed(f"{sys.executable} cannot be started: {e.strerror}") from e
    if child.returncode != 0:
        lines = child.stderr.strip().splitlines()
        raise NncfFailed(lines[-1] if lines else f"its process ended with code {child.returncode}")
    if "error" in (answer := json.loads(child.stdout.splitlines()[-1])):
        raise NncfFailed(answer["error"])
