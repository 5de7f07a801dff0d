"""The trained model to compress: any accepted form -> one float32 ONNX file, and what there is to know about it.

Accepted: a torch.export archive (.pt2), an ONNX file, `package.module:factory` with weights. All end as the same kind
of file, so that every later step sees one thing. What a file holds is data: no pickle is read, no code in an archive
is run, and no path leaves its folder; a factory is the user's own code, named on the command line.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from squeeze import account, runtimes
from squeeze.errors import ConfigError, MeasureError
from squeeze.interface import Outputs, TensorSpec
from squeeze.teacher.onnx.taps import Activation, Taps
from squeeze.teacher.source import Kind, classify, digest_files
from squeeze.workdir import write_atomic

if TYPE_CHECKING:
    import onnxruntime as ort
    from numpy.typing import NDArray

    from squeeze.teacher.onnx.adopt import Adopted

__all__ = ["Taps", "Teacher", "load", "self_contained", "source_digest"]

logger = logging.getLogger(__name__)

_FILE = "teacher.onnx"
_BATCH = 64
_OPEN = 4  # sessions with taps that are kept, newest last
_sessions: OrderedDict[tuple[Any, ...], ort.InferenceSession] = (
    OrderedDict()
)  # Any: file and settings


@dataclass(frozen=True)
class Teacher:
    """A frozen trained model as one ONNX file.

    model: float32, self-contained, one input and one output, opset 13 to 20, the batch free where that was proven.
    census: nodes by operator, plus "DepthwiseConv" for those among the Conv. macs: of one sample.
    """

    source: str
    kind: Kind
    digest: str
    model: Path
    input: TensorSpec
    output: TensorSpec
    output_activation: Activation
    census: dict[str, int]
    taps: Taps
    params: int
    macs: int

    def outputs(self, x: NDArray[np.generic], threads: int = 1) -> Outputs[NDArray[np.float32]]:
        """Logits [n, ...] before a final Softmax or Sigmoid, embedding [n, d] and feature map [n, c, ...] of `x`.

        x: [n, ...] as `input` says. Raises ConfigError when `x` does not fit, MeasureError when the runtime fails.
        """
        if x.shape[1:] != self.input.shape or len(x) == 0:
            raise ConfigError(
                f"{self.source}: the teacher takes {self.input}, got {x.dtype} {list(x.shape)}"
            )
        names = [n for n in (self.taps.logits, self.taps.embedding, self.taps.feature_map) if n]
        session = _tapped(self.model, tuple(names), threads)
        found = dict(
            zip(names, _run(session, x.astype(self.input.dtype, copy=False), names), strict=True)
        )
        embedding, feature_map = (
            found.get(n) if n is not None else None
            for n in (self.taps.embedding, self.taps.feature_map)
        )
        if embedding is not None:
            embedding = embedding.reshape(len(x), -1)
        if feature_map is not None and self.taps.channels_last:
            feature_map = np.ascontiguousarray(np.moveaxis(feature_map, -1, 1))
        return Outputs(found[self.taps.logits], embedding, feature_map)

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """Everything but the file, which lies in the step's folder."""
        return {**asdict(self), "model": self.model.name}

    @classmethod
    def from_json(cls, folder: Path, data: dict[str, Any]) -> Teacher:  # Any: JSON
        """The teacher that `to_json` described, with its file in `folder`."""
        return cls(
            **{
                **data,
                "model": folder / data["model"],
                "input": TensorSpec.from_json(data["input"]),
                "output": TensorSpec.from_json(data["output"]),
                "taps": Taps(**data["taps"]),
            }
        )


def source_digest(source: str, weights: str | None) -> str:
    """SHA-256 of what the teacher is made from: its file with external data, or weights, module text and name.

    Raises ConfigError as `load` for sources that are missing or no model.
    """
    kind = classify(source, weights)
    if kind == "factory":
        from squeeze.teacher.factory import source_text

        return digest_files([Path(str(weights))], source_text(source), source)
    if kind == "onnx":
        from squeeze.teacher.onnx.external import external_files

        return digest_files([Path(source), *external_files(Path(source))])
    return digest_files([Path(source)])


def load(
    source: str, *, weights: str | None, example: NDArray[np.generic] | None, folder: Path
) -> Teacher:
    """Reads a teacher, writes it as `folder`/teacher.onnx, and tries it on `example`.

    source: a .pt2 archive, an .onnx file, or "package.module:factory"; weights: for a factory, .safetensors or a
    weights-only .pt. example: some inputs [n, ...] of the data; layout and integer width are adapted. None where
    there is no data: inputs are then generated, which a factory and sizes that may vary do not allow.

    Raises ConfigError for a wrong, damaged or unsafe source and for one that does not fit the example,
    UnsupportedError for a model that squeeze cannot work on, PassError when the export computes something else.
    """
    digest = source_digest(source, weights)
    kind = classify(source, weights)
    adopted = _adopt(kind, source, weights, example)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _FILE
    write_atomic(path, adopted.model.SerializeToString(deterministic=True))
    try:
        cost = account.cost(path, (1, *adopted.input.shape))
    except MeasureError as e:
        raise ConfigError(f"{source}: {e}") from e
    if cost.unknown:
        logger.warning("%s: its MACs leave out %s", source, "; ".join(cost.unknown[:3]))
    return Teacher(
        source,
        kind,
        digest,
        path,
        adopted.input,
        adopted.output,
        adopted.output_activation,
        adopted.census,
        adopted.taps,
        cost.params,
        cost.macs,
    )


def self_contained(path: Path, folder: Path) -> Path:
    """Any ONNX file as it is, its external data taken in, as `folder`/model.onnx: for looking at models that are no
    teachers (quantised, several inputs). Raises ConfigError for what is no ONNX file or has data outside of its folder.
    """
    from squeeze.teacher.onnx.external import read_onnx

    if classify(str(path), None) != "onnx":
        raise ConfigError(f"{path}: an .onnx file is wanted")
    target = folder / "model.onnx"
    write_atomic(target, read_onnx(path).SerializeToString(deterministic=True))
    return target


def _adopt(
    kind: Kind, source: str, weights: str | None, example: NDArray[np.generic] | None
) -> Adopted:
    from squeeze.teacher.onnx.adopt import adopt

    if kind == "onnx":
        from squeeze.teacher.onnx.external import read_onnx

        return adopt(read_onnx(Path(source)), example, source)
    from squeeze.teacher.from_torch import factory_to_onnx, pt2_to_onnx

    if kind == "pt2":
        model, taken = pt2_to_onnx(Path(source), example)
    else:
        model, taken = factory_to_onnx(source, Path(str(weights)), example)
    return adopt(model, taken, source)


def _tapped(model: Path, names: tuple[str, ...], threads: int) -> ort.InferenceSession:
    """A session on a copy of the model that also gives the values called `names`; made once."""
    status = model.stat()
    key = (model, status.st_mtime_ns, status.st_size, names, threads)
    if key not in _sessions:
        proto = onnx.load(model)
        given = {v.name for v in proto.graph.output}
        proto.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in given)
        while len(_sessions) >= _OPEN:
            _sessions.popitem(last=False)
        _sessions[key] = runtimes.session(proto.SerializeToString(), threads=threads)
    return _sessions[key]


def _run(
    session: ort.InferenceSession, x: NDArray[np.generic], names: list[str]
) -> list[NDArray[np.float32]]:
    needs = session.get_inputs()[0]
    fixed = needs.shape[0] if isinstance(needs.shape[0], int) else None
    size = fixed or _BATCH
    parts = []
    for start in range(0, len(x), size):
        chunk = x[start : start + size]
        count = len(chunk)
        if fixed and count < fixed:
            chunk = np.concatenate([chunk, np.repeat(chunk[-1:], fixed - count, axis=0)])
        try:
            found = session.run(names, {needs.name: np.ascontiguousarray(chunk)})
        except runtimes.ORT_ERRORS as e:
            raise MeasureError(
                f"the teacher failed on inputs {list(chunk.shape)}: {str(e).splitlines()[0]}"
            ) from e
        parts.append([np.asarray(f)[:count] for f in found])
    return [np.concatenate(each) for each in zip(*parts, strict=True)]
