"""OpenVINO on this CPU; times are measured here.

Float models are held at float32: left alone, OpenVINO computes them in bfloat16 where the CPU can, which is another
model. int8 models are run at its own choice, as apps run them, unless the target's options set a precision.

    INFERENCE_NUM_THREADS      runtime.threads of the target
    INFERENCE_PRECISION_HINT   f32 for a file without QuantizeLinear
    everything else            runtime.options of the target, in OpenVINO's own words
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze.errors import ConfigError, MeasureError, UnsupportedError
from squeeze.runtimes.installed import missing_package, named_version
from squeeze.runtimes.made_feed import made_feed
from squeeze.runtimes.plain_onnx import plain_onnx, read
from squeeze.runtimes.quantised_types import signed_off_centre
from squeeze.runtimes.repeated_runs import times_ms
from squeeze.runtimes.runtime import Abilities, Array, Built, Cost, OperatorCost, Refusal, Source

if TYPE_CHECKING:
    import onnx

    from squeeze.target import Target

_PRECISION = "INFERENCE_PRECISION_HINT"
_UNKNOWN_OPERATORS = re.compile(r"No conversion rule found for operations: (.+)")
_OF_AN_OPTION = re.compile(r"Unsupported property|property key|number of streams")
_OPSET = re.compile(r"-\d+$")
_PROFILED_RUNS = 20


class OpenVino:
    """See `InThisProcess`."""

    abilities = Abilities(in_this_process=True)
    source: Source = "measured"

    def __init__(self, target: Target) -> None:
        self.target = target

    @property
    def version(self) -> str:
        """Of OpenVINO."""
        return named_version("openvino")

    def missing(self) -> str | None:
        """The package, where it is not installed."""
        return missing_package("openvino", "openvino", "openvino")

    def refuses(self, model: Path) -> list[Refusal]:
        """Int8 activations by their look; anything else OpenVINO is asked to compile."""
        proto = read(model)
        if _PRECISION not in self.target.runtime.options and (found := signed_off_centre(proto)):
            return [
                Refusal(
                    found,
                    "int8 activations with a zero point: OpenVINO has no kernel for them where it computes in bfloat16 "
                    "('No suitable implementations'); make a file of uint8 ones (numerics.activations = \"uint8\" in "
                    f'the target), or set {_PRECISION} = "f32" in its runtime.options',
                )
            ]
        with tempfile.TemporaryDirectory(prefix="squeeze-") as folder:
            try:
                self._compiled(plain_onnx(model, Path(folder)))
            except _Refused as e:
                return _refusals(proto, e.said)
        return []

    def build(self, model: Path, folder: Path) -> Built:
        """The file itself; of one with functions a copy with their bodies in place. Raises UnsupportedError."""
        if refusals := self.refuses(model):
            raise UnsupportedError(f"{model.name}: {refusals[0]}")
        path = plain_onnx(model, folder)
        if path == model:
            return Built({"model.onnx": model})
        return Built({path.name: path}, ("our operators are written out as ONNX ones",))

    def run(self, built: Built, feed: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs. Raises MeasureError."""
        request = self._request(built, feed)
        request.infer()
        return {
            output.get_any_name(): np.array(request.get_tensor(output).data)
            for output in request.model_outputs
        }

    def caller(self, built: Built, feed: Mapping[str, Array]) -> Callable[[], object]:
        """One run; outputs stay where OpenVINO writes them."""
        request = self._request(built, feed)
        return lambda: request.infer(share_outputs=True)

    def cost(self, built: Built, feed: Mapping[str, Array] | None = None) -> Cost:
        """Latency of runs in a row, and each operator's share of the time by OpenVINO's own profile."""
        inputs = made_feed(built.runs) if feed is None else feed
        taken = times_ms(self.caller(built, inputs))
        return Cost(
            self.source,
            latency_ms=taken.p50_ms,
            latency_p10_ms=taken.p10_ms,
            latency_p90_ms=taken.p90_ms,
            file_bytes=built.runs.stat().st_size,
            operators=self._operators(built, inputs),
            notes=(f"{taken.runs} runs in a row on this machine",),
        )

    def _operators(self, built: Built, feed: Mapping[str, Array]) -> tuple[OperatorCost, ...]:
        """Medians of some runs that are profiled, in the order of execution; what was fused away is not among them."""
        request = self._request(built, feed, PERF_COUNT="YES")
        runs: dict[str, list[float]] = {}
        kinds: dict[str, str] = {}
        for _ in range(_PROFILED_RUNS):
            request.infer(share_outputs=True)
            for one in request.profiling_info:
                if one.status.name == "EXECUTED":
                    kinds[one.node_name] = one.node_type
                    runs.setdefault(one.node_name, []).append(one.real_time.total_seconds() * 1e6)
        medians = {name: float(np.median(us)) for name, us in runs.items()}
        total = sum(medians.values()) or 1.0
        return tuple(
            OperatorCost(name, kinds[name], us / total, us=us) for name, us in medians.items()
        )

    def _request(self, built: Built, feed: Mapping[str, Array], **options: str) -> Any:
        """Of a model with its inputs in place, at their sizes. Any: OpenVINO's own object, imported here alone.

        Raises MeasureError for a tensor that does not fit.
        """
        import openvino

        try:
            request = self._compiled(built.runs, feed, **options).create_infer_request()
            for name, values in feed.items():
                # Not ascontiguousarray: it makes a vector of a single number.
                request.set_tensor(name, openvino.Tensor(np.array(values, order="C")))
        except _Refused as e:
            raise MeasureError(f"{built.runs}: {self.version}: {_last_line(e.said)}") from e
        except RuntimeError as e:
            raise MeasureError(f"{built.runs}: {self.version}: {_last_line(str(e))}") from e
        return request

    def _compiled(
        self, model: Path, feed: Mapping[str, Array] | None = None, **options: str
    ) -> Any:
        """feed: whose sizes the model gets where its own may vary. Any: as `_request`.

        Raises `_Refused` when OpenVINO cannot, ConfigError for options that it does not know.
        """
        import openvino

        core = openvino.Core()
        try:
            net = core.read_model(model)
            if feed is not None and net.is_dynamic():
                net.reshape({name: list(values.shape) for name, values in feed.items()})
            return core.compile_model(net, "CPU", {**self._options(model), **options})
        except RuntimeError as e:
            if _OF_AN_OPTION.search(str(e)):
                raise ConfigError(
                    f"target '{self.target.name}': runtime.options: {_last_line(str(e))}"
                ) from e
            raise _Refused(str(e)) from e

    def _options(self, model: Path) -> dict[str, str]:
        quantised = any(node.op_type == "QuantizeLinear" for node in read(model).graph.node)
        return {
            "INFERENCE_NUM_THREADS": str(self.target.runtime.threads),
            **({} if quantised else {_PRECISION: "f32"}),
            **self.target.runtime.options,
        }


class _Refused(Exception):
    """OpenVINO does not take a model; `said` is its message."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


def _refusals(proto: onnx.ModelProto, said: str) -> list[Refusal]:
    """One for the first node of each operator that it does not know; else one of the whole model."""
    found = _UNKNOWN_OPERATORS.search(said)
    if found is None:
        return [Refusal("", f"OpenVINO does not compile it: {_last_line(said)}")]
    refusals = []
    for name in found[1].split(", "):
        domain, _, op = _OPSET.sub("", name.strip()).rpartition(".")
        nodes = [n.name for n in proto.graph.node if n.op_type == op and n.domain == domain]
        where = nodes[0] if nodes else ""
        refusals.append(
            Refusal(where, f"OpenVINO has no operator {op}; replace it, or cut the model before it")
        )
    return refusals


def _last_line(said: str) -> str:
    """What it says in the end; before that it tells places in its own sources."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
