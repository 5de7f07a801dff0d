"""The networks of the quantisation benchmark as files: students to be trained, and the teachers that label for them.

    python -m benchmarks.qat_structures FOLDER

Per network `NAME.onnx` (the optimised float graph, untrained for students), `NAME.json` (description and plan of
quantisation) and `NAME.safetensors` (weights). Training needs nothing else of the project's graph code.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from safetensors.numpy import save_file

from benchmarks.cases import ROOT, data
from benchmarks.feeds import optimise
from squeeze import export, graph, students
from squeeze.spec import ArchSpec
from squeeze.train.quantised.plan import plan


@dataclass(frozen=True)
class Shape:
    """A residual student for images of `side`, with three stages."""

    channels: int
    side: int
    widths: tuple[int, int, int]
    depth: int = 3

    def arch(self) -> ArchSpec:
        return ArchSpec(
            family="resnet",
            params={
                "input_shape": (self.channels, self.side, self.side),
                "outputs": 10,
                "layout": "channels-first",
                "stem": self.widths[0],
                "stem_kernel": 3,
                "stem_stride": 1,
                "widths": self.widths,
                "depths": (self.depth,) * 3,
                "strides": (1, 2, 2),
            },
        )


# resnet20 and fashion20 have the size of ResNet-20, fashion20-half has half its channels, for trainings on a CPU; the
# others are points of the curve of accuracy against bytes.
STUDENTS = {
    "resnet20": Shape(3, 32, (16, 32, 64)),
    "fashion20": Shape(1, 28, (16, 32, 64)),
    "fashion20-half": Shape(1, 28, (8, 16, 32)),
    "curve100": Shape(3, 32, (8, 16, 32)),
    "curve60": Shape(3, 32, (16, 32, 48)),
    "curve30": Shape(3, 32, (24, 40, 80)),
    "curve15": Shape(3, 32, (24, 48, 96)),
    "curve8": Shape(3, 32, (32, 64, 128)),
}


def teachers() -> dict[str, Path]:
    """The trained networks. Raises MissingData."""
    return {
        "resnet56": data("teachers-cifar10/resnet56_jpeg.onnx"),
        "fashion": data("teacher-fashion/fashion_resnet.onnx"),
    }


def student_graph(shape: Shape) -> ir.Model:
    """The optimised float graph of an untrained student."""
    example = np.zeros((3, shape.channels, shape.side, shape.side), np.float32)
    module = students.build(shape.arch()).eval()
    model = export.to_ir(module, example, input_name="x", output_name="logits")
    optimise(model, np.random.default_rng(0).random(example[:1].shape, np.float32))
    return model


def write(folder: Path, name: str, model: ir.Model) -> None:
    """The three files of a network."""
    found = plan(model)
    params, weights = export.from_ir(model)
    graph.save(model, folder / f"{name}.onnx")
    save_file(
        {k: np.ascontiguousarray(v) for k, v in weights.items()}, folder / f"{name}.safetensors"
    )
    known = {**asdict(found), "read": [[*key, root] for key, root in found.read.items()]}
    (folder / f"{name}.json").write_text(json.dumps({"params": params, "plan": known}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "build/bench/qat")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, shape in STUDENTS.items():
        write(folder, name, student_graph(shape))
    for name, path in teachers().items():
        model = graph.load(path)
        side = 32 if name == "resnet56" else 28
        channels = 3 if name == "resnet56" else 1
        optimise(model, np.random.default_rng(0).random((1, channels, side, side), np.float32))
        write(folder, name, model)


if __name__ == "__main__":
    main()
