"""What the Hexagon runtime does in a process of its own: compiles a model with onnxruntime-qnn, or runs a compiled one.

The vendor's libraries print, and may crash; and what the compiler reports of a graph comes out on stderr alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze.runtimes.ort import ORT_ERRORS, first_line
from squeeze.runtimes.placement import FellBack, open_without_cpu

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnxruntime as ort

Json = dict[str, Any]  # Any: JSON
RESULT = "result.json"
_VERBOSE, _FATAL = 0, 4


def compile_model(job: Json) -> None:
    """Writes `job["context"]` from `job["model"]`, or what is against it, into `RESULT` of the folder it runs in."""
    try:
        # As bytes: the name that the runtime gives the graph, which is in the context, is made of the path otherwise.
        opened = open_without_cpu(
            Path(job["model"]).read_bytes(),
            lambda look: _options(job["options"], None if look else Path(job["context"])),
        )
    except FellBack as e:
        _write({"left": [[n.name, n.op, n.provider] for n in e.all_of_it]})
    except ORT_ERRORS as e:
        _write({"error": first_line(e)})
    else:
        _write({"providers": opened.get_providers()})


def run_model(job: Json) -> None:
    """Runs `job["model"]` on the rows of in_<i>.npy, `job["inputs"]` their names; its outputs become out_<i>.npy.

    axes: the batch axis of each input and output, of which the compiled model takes one entry a run; None for a
    tensor without.
    """
    axes: Mapping[str, int | None] = job["axes"]
    names: list[str] = job["inputs"]
    arrays = {name: np.load(f"in_{i}.npy") for i, name in enumerate(names)}
    samples = max((a.shape[x] for n, a in arrays.items() if (x := axes[n]) is not None), default=1)
    rows: dict[str, list[Any]] = {}  # Any: arrays of any element type
    try:
        opened = open_without_cpu(Path(job["model"]), lambda _: _options(job["options"], None))
        outputs = [output.name for output in opened.get_outputs()]
        for i in range(samples):
            feed = {
                name: x if (axis := axes[name]) is None else np.take(x, [i], axis)
                for name, x in arrays.items()
            }
            for name, values in zip(outputs, opened.run(outputs, feed), strict=True):
                rows.setdefault(name, []).append(values)
    except ORT_ERRORS as e:
        _write({"error": first_line(e)})
        return
    for i, (name, values) in enumerate(rows.items()):
        axis = axes.get(name)
        np.save(f"out_{i}.npy", values[0] if axis is None else np.concatenate(values, axis))
    _write({"outputs": list(rows)})


def _options(given: Mapping[str, str], context: Path | None) -> ort.SessionOptions:
    """context: where the compiled model is written; then the compiler also says all that it knows."""
    import onnxruntime as ort
    import onnxruntime_qnn

    name: str = onnxruntime_qnn.get_ep_name()
    level = _FATAL if context is None else _VERBOSE
    ort.set_default_logger_severity(level)
    ort.set_default_logger_verbosity(_FATAL)
    devices = [d for d in ort.get_ep_devices() if d.ep_name == name]
    if not devices:
        ort.register_execution_provider_library(name, onnxruntime_qnn.get_library_path())
        devices = [d for d in ort.get_ep_devices() if d.ep_name == name]
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = level
    if context is not None:
        context.unlink(missing_ok=True)
        options.add_session_config_entry("ep.context_enable", "1")
        options.add_session_config_entry("ep.context_file_path", str(context))
        options.add_session_config_entry("ep.context_embed_mode", "1")
    # Quantisers at the ends belong to the graph, also where something else may fall back.
    fixed = {
        "backend_path": onnxruntime_qnn.get_qnn_htp_path(),
        "offload_graph_io_quantization": "0",
    }
    options.add_provider_for_devices(devices[:1], {**fixed, **given})
    return options


def _write(result: Json) -> None:
    Path(RESULT).write_text(json.dumps(result))
