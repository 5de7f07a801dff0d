"""The trained model to compress: any accepted form -> one ONNX file, and what there is to know about it.

Accepted: a torch.export archive (.pt2), an ONNX file, a Hugging Face folder, `package.module:factory` with weights. All
end as the same kind of file, so that every later step sees one thing. What a file holds is data: no pickle is read, no
code in an archive or a folder is run, and no path leaves its folder; a factory is the user's own code, named on the
command line.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import ModelProto, ValueInfoProto, helper

from squeeze import account, runtimes
from squeeze.errors import ConfigError, MeasureError
from squeeze.feed import Feed, count
from squeeze.interface import Interface, TensorSpec
from squeeze.outputs import Outputs
from squeeze.runtimes.confined import check_within
from squeeze.teacher.onnx.taps import Activation, Taps
from squeeze.teacher.source import Kind, classify, digest_files
from squeeze.workdir import write_atomic

if TYPE_CHECKING:
    import onnxruntime as ort
    from numpy.typing import NDArray

    from squeeze.teacher.onnx.adopt import Adopted

__all__ = ["Taps", "Teacher", "input_names", "load", "self_contained", "source_digest"]

logger = logging.getLogger(__name__)

_FILE = "teacher.onnx"
_OPEN = 4  # sessions with taps that are kept, newest last
_sessions: OrderedDict[tuple[Any, ...], ort.InferenceSession] = (
    OrderedDict()
)  # Any: file and settings


@dataclass(frozen=True)
class Teacher:
    """A frozen trained model as one ONNX file.

    model: self-contained, float32 inside, names and types of inputs and outputs as the user's model has them, opset 13
    to 20, the batch free where that was proven. changes: what was done to the user's model, in words. census: nodes by
    operator, plus "DepthwiseConv" for those among the Conv. macs: of one sample. metadata: the entries
    of an ONNX file, or what a folder says, which the written file keeps.
    """

    source: str
    kind: Kind
    digest: str
    model: Path
    interface: Interface
    output_activation: Activation
    census: dict[str, int]
    taps: Taps
    params: int
    macs: int
    changes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def input(self) -> TensorSpec:
        """The only input. Raises UnsupportedError when there are several."""
        return self.interface.only_input

    @property
    def output(self) -> TensorSpec:
        """The only output. Raises UnsupportedError when there are several."""
        return self.interface.only_output

    def outputs(
        self, x: NDArray[np.generic] | Feed, threads: int = 1
    ) -> Outputs[NDArray[np.float32]]:
        """Logits [n, ...] before a final Softmax or Sigmoid, and those taps of "embedding" [n, d] and "feature_map"
        [n, c, ...] that it has, of `x`.

        For teachers with one output. x: [n, ...] of the only input, or of each by its name. Raises ConfigError when `x`
        does not fit, UnsupportedError for other teachers, MeasureError when the runtime fails.
        """
        given, gives = {self.input.name: x} if isinstance(x, np.ndarray) else x, self.output
        feed = {}
        for takes in self.interface.inputs:
            value, free = given[takes.name], dict(takes.free)
            pairs = zip(value.shape[1:], takes.shape, strict=False)
            fits = all(size == known or i in free for i, (size, known) in enumerate(pairs))
            if value.ndim != len(takes.shape) + 1 or not fits or len(value) == 0:
                raise ConfigError(
                    f"{self.source}: the teacher takes {takes}, got {value.dtype} {list(value.shape)}"
                )
            feed[takes.name] = value.astype(takes.dtype, copy=False)
        names = [n for n in (self.taps.logits, self.taps.embedding, self.taps.feature_map) if n]
        session = _tapped(self.model, tuple(dict.fromkeys(names)), threads)
        # Taps have their samples where the output has them.
        values = tuple(replace(gives, name=name) for name in dict.fromkeys(names))
        ran = runtimes.infer(session, feed, Interface(self.interface.inputs, values))
        found = {name: value.astype(np.float32, copy=False) for name, value in ran.items()}
        taps = {}
        if self.taps.embedding is not None:
            taps["embedding"] = found[self.taps.embedding].reshape(count(feed), -1)
        if self.taps.feature_map is not None:
            feature_map = found[self.taps.feature_map]
            if self.taps.channels_last:
                feature_map = np.ascontiguousarray(np.moveaxis(feature_map, -1, 1))
            taps["feature_map"] = feature_map
        return Outputs(found[self.taps.logits], taps)

    def key(self) -> str:
        """What it was made from says everything."""
        return self.digest

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """Everything but the file, which lies in the step's folder."""
        return {
            **asdict(self),
            "model": self.model.name,
            "interface": self.interface.to_json(),
            "changes": list(self.changes),
        }

    @classmethod
    def from_json(cls, folder: Path, data: dict[str, Any]) -> Teacher:  # Any: JSON
        """The teacher that `to_json` described, with its file in `folder`."""
        return cls(
            **{
                **data,
                "model": folder / data["model"],
                "interface": Interface.from_json(data["interface"]),
                "taps": Taps(**data["taps"]),
                "changes": tuple(data["changes"]),
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
    if kind == "hf":
        from squeeze.teacher.hf.folder import read_folder

        folder = read_folder(Path(source))
        return digest_files(
            [*folder.files], *(str(f.relative_to(folder.path)) for f in folder.files)
        )
    return digest_files([Path(source)])


def input_names(source: str, weights: str | None) -> tuple[str, ...] | None:
    """The names of the model's inputs, in its order, looked up without running or exporting it; None when that is not
    to be known (a factory whose forward takes what it likes).

    Raises ConfigError or UnsupportedError as `load` for sources that are missing, damaged or no model.
    """
    from squeeze.teacher.ends import said_of

    said = said_of(source, weights)
    if said is not None:
        return tuple(d.name for d in said.inputs)
    from squeeze.teacher.factory import parameter_names

    return parameter_names(source)


def load(
    source: str,
    *,
    weights: str | None,
    example: Feed | NDArray[np.generic] | None,
    folder: Path,
    made_up: bool = False,
    called: str | None = None,
) -> Teacher:
    """Reads a teacher, writes it as `folder`/teacher.onnx, and tries it on `example`.

    source: a .pt2 archive, an .onnx file, a Hugging Face folder, or "package.module:factory"; weights: for a factory,
    .safetensors or a weights-only .pt. example: some samples [n, ...] of the data for each input, by its name (for a
    model with one input the name does not count); layout and type are adapted. None where there is no data: inputs are
    then generated, which a factory and sizes that may vary do not allow. made_up: the example is nobody's data, so that
    an axis that was wrongly taken for the batch is fixed to 1 and not refused. called: the user's name of the file that
    `source` is a copy of, for messages.

    Raises ConfigError for a wrong, damaged or unsafe source and for one that does not fit the example,
    UnsupportedError for a model that squeeze cannot work on, PassError when the export computes something else.
    """
    digest = source_digest(source, weights)
    kind = classify(source, weights)
    feed = {"": example} if isinstance(example, np.ndarray) else example
    said = called or source
    adopted = _adopt(kind, source, weights, feed, said)
    if adopted.other_axis is not None and example is not None and not made_up:
        raise ConfigError(f"{said}: {adopted.other_axis}")
    metadata = _metadata(source) if kind in ("hf", "onnx") else {}
    if kind == "hf":
        helper.set_model_props(adopted.model, dict(metadata))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _FILE
    write_atomic(path, adopted.model.SerializeToString(deterministic=True))
    try:
        ends = adopted.interface
        counted = account.complexity(path, batch_size=ends.batch_size or 1, shapes=ends.run_shapes)
    except MeasureError as e:
        raise ConfigError(f"{said}: {str(e).removeprefix(f'{path}: ')}") from e
    if counted.unknown:
        logger.warning("%s: its MACs leave out %s", said, "; ".join(counted.unknown[:3]))
    return Teacher(
        source,
        kind,
        digest,
        path,
        adopted.interface,
        adopted.output_activation,
        adopted.census,
        adopted.taps,
        counted.params,
        counted.macs,
        adopted.changes,
        metadata,
    )


def _metadata(source: str) -> Mapping[str, str]:
    from squeeze.teacher.ends import said_of

    said = said_of(source, None)
    return {} if said is None else said.metadata


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
    kind: Kind, source: str, weights: str | None, example: Feed | None, called: str
) -> Adopted:
    from squeeze.teacher.onnx.adopt import adopt_export, adopt_file, as_read

    if kind == "onnx":
        from squeeze.teacher.onnx.external import read_onnx

        model = read_onnx(Path(source))
        shapes = {name: (1, *x.shape[1:]) for name, x in (example or {}).items()}
        with as_read(model, Path(source)) as file:
            check_within(file, called, model.ByteSize(), shapes=shapes)
        return adopt_file(model, example, called)
    if kind == "hf":
        from squeeze.teacher.hf.folder import read_folder
        from squeeze.teacher.hf.to_onnx import folder_to_onnx

        return adopt_file(folder_to_onnx(read_folder(Path(source))), example, called)
    if kind == "pt2":
        from squeeze.teacher.from_pt2 import pt2_to_onnx

        made = pt2_to_onnx(Path(source), example)
    else:
        from squeeze.teacher.from_factory import factory_to_onnx

        made = factory_to_onnx(source, Path(str(weights)), example)
    return adopt_export(made.model, made.inputs, made.outputs, made.changes, called)


def _tapped(model: Path, names: tuple[str, ...], threads: int) -> ort.InferenceSession:
    """A session on a copy of the model that also gives the values called `names`; made once."""
    status = model.stat()
    key = (model, status.st_mtime_ns, status.st_size, names, threads)
    if key not in _sessions:
        proto = ModelProto.FromString(model.read_bytes())
        given = {v.name for v in proto.graph.output}
        proto.graph.output.extend(ValueInfoProto(name=n) for n in names if n not in given)
        while len(_sessions) >= _OPEN:
            _sessions.popitem(last=False)
        _sessions[key] = runtimes.session(proto.SerializeToString(), threads=threads)
    return _sessions[key]
