"""Qualcomm's Hexagon processors by onnxruntime-qnn on this machine: maps entirely or names the node that does not.

No device is needed: the vendor's compiler makes the context binary that a phone loads, reports statically how many
bytes go to and from DRAM (`source` is static; none of it is a time), and its simulator gives the outputs. The package's
Python part is under the MIT licence, the binaries in it are under the vendor's: optional, and no part of squeeze.

A context is compiled for fixed sizes: a batch of 1, other sizes that may vary are chosen and said.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import inliner
from onnxruntime.tools.onnx_model_utils import fix_output_shapes, make_input_shape_fixed

from squeeze.account.fusion import bodies_of
from squeeze.errors import MeasureError, UnsupportedError
from squeeze.runtimes.child import Ended, in_child
from squeeze.runtimes.hexagon_report import Report, blamed, report_of
from squeeze.runtimes.hexagon_session import RESULT
from squeeze.runtimes.installed import missing_package, named_version
from squeeze.runtimes.made_feed import OneSample, one_sample
from squeeze.runtimes.placement import CPU, FellBack, Placed, first_left
from squeeze.runtimes.plain_onnx import read, with_names, with_tensors, write
from squeeze.runtimes.runtime import Abilities, Array, Built, Cost, Refusal, Source
from squeeze.workdir import digest_bytes, write_atomic

if TYPE_CHECKING:
    import onnx

    from squeeze.target import Target

Json = dict[str, Any]  # Any: JSON
CONTEXT, REPORT = "model_ctx.onnx", "htp_report.json"
_TIMEOUT_S = 1800.0
_SCRIPT = "from squeeze.runtimes.hexagon_session import {0}; {0}(job)"
_OLDEST_PYTHON = (3, 11)
# The provider has no Mish, so that ONNX Runtime writes its definition out; of such a graph it makes no context ("an
# invalid node"), but it does where the definition was written out before.
_WRITTEN_OUT = [("", "Mish")]
# The compiler takes some If, and of those computes wrong answers for some (2.7: branches with a convolution each).
_BRANCHING = (
    "{} runs graphs of its own, which the vendor's compiler leaves to the CPU or computes wrongly; write it as plain "
    "operators (both branches and a Where, the steps one after the other), or cut the model before it"
)


class Hexagon:
    """See `Runtime`. The processor is told by accelerator.options of the target: htp_arch, soc_model, vtcm_mb."""

    # A context is of one sample.
    abilities = Abilities(fixes="sample", looks_first=True, answers_by="the vendor's simulator")
    source: Source = "static"

    def __init__(self, target: Target) -> None:
        self.target = target
        # Of the model that `refuses` compiled last, and took: digest, report and context.
        self._compiled_last: tuple[str, Json, bytes] | None = None

    @property
    def version(self) -> str:
        """Of the package with the compiler."""
        return named_version("onnxruntime-qnn")

    def missing(self) -> str | None:
        """The package, or the Python that it has none for."""
        if sys.version_info < _OLDEST_PYTHON or sys.platform != "linux":
            return "onnxruntime-qnn needs Python 3.11 or newer on Linux"
        missing = missing_package("onnxruntime_qnn", "onnxruntime-qnn", "qnn")
        return missing and (
            f"{missing} (its binaries are under Qualcomm's licence, Qualcomm_LICENSE.pdf in the package)"
        )

    def lacks(self, model: Path) -> list[Refusal]:
        return _branching(with_names(read(model)))

    def refuses(self, model: Path) -> list[Refusal]:
        """The first node that the compiler leaves to the CPU or fails on: it is asked, in seconds."""
        with tempfile.TemporaryDirectory(prefix="squeeze-") as scratch:
            made = self._compiled(model, Path(scratch))
            if isinstance(made, Refusal):
                return [made]
            context = (Path(scratch) / CONTEXT).read_bytes()
        self._compiled_last = (_digest(model), made, context)
        return []

    def build(self, model: Path, folder: Path) -> Built:
        """The context binary, and beside it what the compiler reported. Raises UnsupportedError."""
        known = self._compiled_last
        if known is None or known[0] != _digest(model):
            if refusals := self.refuses(model):
                raise UnsupportedError(f"{model.name}: {refusals[0]}")
            known = self._compiled_last
        assert known is not None  # it took the model
        _, made, context = known
        write_atomic(folder / REPORT, (json.dumps(made, indent=1) + "\n").encode())
        write_atomic(folder / CONTEXT, context)
        return Built({REPORT: folder / REPORT, CONTEXT: folder / CONTEXT}, tuple(made["assumed"]))

    def run(self, built: Built, feed: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs of the vendor's simulator, sample by sample (far slower than the processor). Raises MeasureError."""
        job = {
            "model": str(built.runs.resolve()),
            "options": dict(self._options),
            "axes": self._told(built)["batch_axes"],
            "inputs": list(feed),
        }
        with tempfile.TemporaryDirectory(prefix="squeeze-") as scratch:
            folder = Path(scratch)
            for i, values in enumerate(feed.values()):
                np.save(folder / f"in_{i}.npy", values)
            result = _result(folder, in_child(_SCRIPT.format("run_model"), job, folder, _TIMEOUT_S))
            if "error" in result:
                raise MeasureError(f"{built.runs}: {self.version}: {result['error']}")
            return {
                name: np.load(folder / f"out_{i}.npy") for i, name in enumerate(result["outputs"])
            }

    def cost(self, built: Built, feed: Mapping[str, Array] | None = None) -> Cost:
        """What the compiler reported; no latency, which nobody knows without the processor."""
        told = self._told(built)
        report = Report(**told["report"])
        traffic = {"dram_read": report.dram_read_bytes, "dram_write": report.dram_write_bytes}
        known = {name: count for name, count in traffic.items() if count is not None}
        notes = [_vtcm(report)]
        if report.spill_bytes or report.fill_bytes:
            notes.append(
                f"of the traffic {report.spill_bytes or 0:,} bytes spill out of the VTCM and "
                f"{report.fill_bytes or 0:,} come back"
            )
        if len(known) < len(traffic):
            notes.append(
                f"{self.version} says nothing of the bytes to and from DRAM that we know to read"
            )
        return Cost(
            self.source,
            file_bytes=built.runs.stat().st_size,
            traffic_bytes=known,
            accelerator_share=1.0,
            limited_by="tensors larger than the VTCM" if report.spill_bytes else "",
            notes=tuple(notes),
        )

    @property
    def _options(self) -> Mapping[str, str]:
        return {} if self.target.accelerator is None else self.target.accelerator.options

    def _compiled(self, model: Path, folder: Path) -> Json | Refusal:
        """What `REPORT` holds, with `CONTEXT` written into `folder`; or why there is none."""
        sample = one_sample(model)
        proto = _of_one_sample(model, sample)
        if branching := _branching(proto):
            return branching[0]
        order = [node.name for node in proto.graph.node]
        source = write(proto, folder / "model.onnx")
        job = {
            "model": str(source),
            "options": dict(self._options),
            "context": str(folder / CONTEXT),
        }
        ended = in_child(_SCRIPT.format("compile_model"), job, folder, _TIMEOUT_S)
        if ended.code < 0:
            return Refusal("", f"the vendor's compiler gave up on it: {ended.why}")
        result = _result(folder, ended)
        if "left" in result:
            nodes = [Placed(*node) for node in result["left"]]
            fell = FellBack([node for node in nodes if node.provider == CPU], nodes)
            return first_left(fell, order, "replace it, or cut the model before it")
        if "error" in result:
            node, said = blamed(ended.said) or ("", result["error"])
            return Refusal(node, f"the vendor's compiler does not take it: {said}")
        return {
            "compiler": self.version,
            "report": asdict(report_of(ended.said)),
            "batch_axes": sample.batch_axes,
            "assumed": list(sample.assumed),
        }

    def _told(self, built: Built) -> Json:
        path = built.files[REPORT]
        try:
            told: Json = json.loads(path.read_bytes())
        except (OSError, ValueError) as e:
            raise MeasureError(f"{path}: cannot be read: {e}; build the model again") from e
        return told


def _branching(proto: onnx.ModelProto) -> list[Refusal]:
    return [
        Refusal(node.name, _BRANCHING.format(node.op_type))
        for node in proto.graph.node
        if bodies_of(node)
    ]


def _digest(model: Path) -> str:
    """Of the file and its external data."""
    return digest_bytes(with_tensors(read(model), model).SerializeToString(deterministic=True))


def _of_one_sample(model: Path, sample: OneSample) -> onnx.ModelProto:
    """A copy of fixed sizes, without functions, each node with a name."""
    proto = inliner.inline_local_functions(with_tensors(read(model), model))
    proto = inliner.inline_selected_functions(proto, _WRITTEN_OUT, inline_schema_functions=True)
    for name, shape in sample.shapes.items():
        make_input_shape_fixed(proto.graph, name, shape)
    fix_output_shapes(proto)
    return with_names(proto)


def _result(folder: Path, ended: Ended) -> Json:
    """What the child wrote. Raises MeasureError where it did not come so far."""
    path = folder / RESULT
    if ended.code != 0 or not path.is_file():
        raise MeasureError(f"onnxruntime-qnn: {ended.why}")
    result: Json = json.loads(path.read_bytes())
    return result


def _vtcm(report: Report) -> str:
    if report.vtcm_bytes is None:
        return "the compiler does not say how much VTCM it was given"
    return f"compiled for {report.vtcm_bytes:,} bytes of VTCM"
