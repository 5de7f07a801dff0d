"""The one place where an ONNX Runtime session is made, so that every number comes from the same settings.

Settings: CPU provider alone, sequential, `threads` threads inside an operator, one between operators,
deterministic kernels, no telemetry. Threads of a pool may spin while a run is in progress and stop when it
ends (`force_spinning_stop`): spinning on between runs would slow down the other model of an interleaved
comparison. Log level 4, because every error also arrives as an exception.

A model that imports the domain `ai.squeeze` gets our library when there is one; a library that will not load
is said at WARNING, and the function bodies inside the model run instead.
"""

from __future__ import annotations

import logging
import re
from functools import cache
from pathlib import Path

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as _state

from squeeze import ops
from squeeze.errors import ConfigError, MeasureError, UnsupportedError
from squeeze.runtimes.domains import domains
from squeeze.runtimes.saturating import saturates
from squeeze.runtimes.signature import Input, signature

logger = logging.getLogger(__name__)

# The runtime's exceptions share no base class but Exception.
ORT_ERRORS: tuple[type[Exception], ...] = (
    _state.EPFail,
    _state.EngineError,
    _state.Fail,
    _state.InvalidArgument,
    _state.InvalidGraph,
    _state.InvalidProtobuf,
    _state.ModelLoaded,
    _state.NoModel,
    _state.NoSuchFile,
    _state.NotImplemented,
    _state.RuntimeException,
    RuntimeError,
    ValueError,
)


def session(
    model: Path | bytes,
    *,
    threads: int = 1,
    optimise: bool = True,
    native: bool = True,
    profile_prefix: Path | None = None,
    optimised_path: Path | None = None,
    outputs_only: bool = False,
) -> ort.InferenceSession:
    """Opens a model in ONNX Runtime on the CPU.

    `optimise=False` switches all of the runtime's graph optimisations off. `native=False` runs the function
    bodies of our ops even where the library is there. `profile_prefix` writes the runtime's profile,
    `optimised_path` the graph after its optimisations. `outputs_only`: for what the model computes, never for how fast:
    without integer kernels of the runtime that saturate where those of the model's device do not. Raises MeasureError
    when the model cannot be opened.
    """
    options = _options(threads, optimise)
    if profile_prefix is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile_prefix)
    if optimised_path is not None:
        options.optimized_model_filepath = str(optimised_path)
    where = "the model" if isinstance(model, bytes) else str(model)
    try:
        if native and uses_our_ops(model):
            _register(options)
        if outputs_only and saturates(model):
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        source = model if isinstance(model, bytes) else str(model)
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except OSError as e:
        raise MeasureError(f"{where}: cannot be read: {e.strerror}") from e
    except ORT_ERRORS as e:
        raise MeasureError(
            f"{where}: onnxruntime {ort.__version__} cannot open it: {first_line(e)}"
        ) from e


def only_input(opened: ort.InferenceSession) -> Input:
    """The single input of a model that also has a single output. Raises UnsupportedError otherwise."""
    inputs = signature(opened)
    outputs = [o.name for o in opened.get_outputs()]
    if len(inputs) != 1 or len(outputs) != 1:
        raise UnsupportedError(
            f"the model has inputs {', '.join(i.name for i in inputs) or 'none'} and outputs "
            f"{', '.join(outputs)}; squeeze takes models with one input and one output"
        )
    return inputs[0]


def uses_our_ops(model: Path | bytes) -> bool:
    """Whether the model imports the domain of our custom ops. Raises OSError when it cannot be read."""
    return ops.DOMAIN in domains(model)


def native_library() -> Path | None:
    """The library with our kernels, or None when this installation has none."""
    return ops.library_path()


def first_line(error: Exception) -> str:
    """What the runtime said, in one line, without its stack of source locations."""
    said, *more = str(error).strip().split("\n")
    if said.rstrip().endswith((" indices", ":")):  # which ones is in the lines below
        said = "; ".join((said.rstrip(), *(line.strip() for line in more if line.strip())))
    said = _SOURCE.sub(" ", said)
    if "Unsupported model IR version" in said:
        said += "; save it with model.ir_version = 10, which every runtime since 1.18 reads"
    return said or type(error).__name__


# Of the runtime's own source: file, line, and the function with the types of its arguments.
_SOURCE = re.compile(r"/[\w/.-]*onnxruntime/[\w/.-]+:\d+ [\w:~<>]+\((?:[^()]|\([^()]*\))*\) ")


def _options(threads: int, optimise: bool) -> ort.SessionOptions:
    if threads < 1:
        raise ConfigError(f"threads: got {threads}, allowed: 1 or more")
    # For the runtime's Windows builds; elsewhere it comes too late, and what counts is squeeze/offline.py.
    ort.disable_telemetry_events()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    options.use_deterministic_compute = True
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def _register(options: ort.SessionOptions) -> None:
    library = native_library()
    if library is None:
        _warn_once("no native library in this installation; our ops run as plain ONNX (slower)")
        return
    try:
        options.register_custom_ops_library(str(library))
    except ORT_ERRORS as e:
        _warn_once(
            f"the native library {library} will not load ({first_line(e)}); "
            "our ops run as plain ONNX (slower)"
        )


@cache
def _warn_once(message: str) -> None:
    """A compile opens hundreds of sessions; the same trouble is said once."""
    logger.warning(message)
