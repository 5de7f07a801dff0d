"""What a model's file says of its inputs and outputs, looked up without running or exporting it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from squeeze.calib.lookups import Lookups
from squeeze.calib.of_model import OfModel
from squeeze.teacher.source import classify

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squeeze.end import End


@dataclass(frozen=True)
class Said:
    """Inputs and outputs in the model's order, the file's metadata, and what lies beside it of its data."""

    inputs: tuple[End, ...]
    outputs: tuple[End, ...]
    metadata: Mapping[str, str]
    data: OfModel = field(default_factory=OfModel)


def said_of(source: str, weights: str | None) -> Said | None:
    """None for a factory, which does not say what its model takes.

    Raises ConfigError or UnsupportedError as `squeeze.teacher.load` for sources that are missing, damaged or no model.
    """
    kind = classify(source, weights)
    if kind == "factory":
        return None
    if kind == "onnx":
        from squeeze.teacher.onnx.external import read_graph
        from squeeze.teacher.onnx.id_tables import id_tables
        from squeeze.teacher.onnx.position_tables import position_tables
        from squeeze.teacher.onnx.signature import declared, inputs_of

        model = read_graph(Path(source))
        return Said(
            tuple(declared(value) for value in inputs_of(model.graph)),
            tuple(declared(value) for value in model.graph.output),
            {entry.key: entry.value for entry in model.metadata_props},
            OfModel(lookups=Lookups(id_tables(model.graph), position_tables(model.graph))),
        )
    if kind == "hf":
        from squeeze.teacher.hf.ends import ends_of_folder, metadata_of_folder
        from squeeze.teacher.hf.folder import read_folder
        from squeeze.teacher.hf.of_data import data_of_folder

        folder = read_folder(Path(source))
        inputs, outputs = ends_of_folder(folder)
        metadata = metadata_of_folder(folder)
        return Said(inputs, outputs, metadata, data_of_folder(folder, inputs))
    from squeeze.teacher.pt2.program import read_ends

    inputs, outputs, rows = read_ends(Path(source))
    return Said(inputs, outputs, {}, OfModel(lookups=Lookups(rows)))
