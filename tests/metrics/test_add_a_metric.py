"""A metric is one file and one line: what CONTRIBUTING says, done to a copy of the package."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.added import ROOT, copied, ran

# The share of samples whose class is within one of the label.
FILE = '''
"""The share of samples whose class is the label or a neighbour of it."""

from __future__ import annotations

import numpy as np

from squeeze.metrics.answers import classes
from squeeze.metrics.metric import Array, Floats, Metric


def near(outputs: Array, labels: Array) -> float:
    return float(np.mean(_hits(outputs, labels)))


def _hits(outputs: Array, labels: Array) -> Floats:
    return 100.0 * (abs(classes(outputs, outputs) - labels) <= 1)


METRIC = Metric(
    key="near",
    name="near",
    title="class or its neighbour",
    unit="%",
    fn=near,
    compares="classes",
    needs="labels",
    per_sample=_hits,
    share=True,
)
'''

# In a process of its own, where the copy is the package: every place that once kept a list of metrics is asked.
USE = """
import json, sys
from pathlib import Path
import onnx
from onnx import TensorProto, helper
import squeeze
from squeeze import calib, measure, metrics
from squeeze.errors import ConfigError
from squeeze.interface import Interface, TensorSpec
from squeeze.losses import choose
from squeeze.report import words

folder = Path(sys.argv[1])
value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 4]) for n in ("x", "y")]
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.save(model, folder / "m.onnx")
interface = Interface((TensorSpec("x", "float32", (4,)),), (TensorSpec("y", "float32", (4,)),))

data = calib.load(str(folder / "d.npz"), metric="near").fitted(interface)
readings = metrics.readings(interface, data.evaluate.y, {}, data.metric)
found = measure.evaluate(folder / "m.onnx", data, data.evaluate, readings, interface=interface)
refused = []
for name in ("unlabelled.npz", "one_class.npz"):
    try:
        calib.load(str(folder / name), metric="near")
    except ConfigError as e:
        refused.append(str(e))
print(json.dumps({
    "package": squeeze.__file__,
    "classes": data.classes,
    "scores": [[s.output, s.metric, s.value] for s in found.scores],
    "interval": metrics.interval(readings[0], found.outputs, data.evaluate.y, None),
    "said": metrics.describe("near", 75.0),
    "loss": choose("auto", outputs=1, activation="none", metric="near", classes=None),
    "report": [words.metric_name("near"), words.metric("near", 75.0)],
    "drop": metrics.resolve("near").drop(80, 75),
    "refused": refused,
}))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with one file and one line more."""
    folder = copied(tmp_path_factory.mktemp("copy"))
    room = folder / "squeeze" / "metrics"
    (room / "near.py").write_text(FILE)
    table = (room / "__init__.py").read_text()
    with_line = table.replace('    "spearman": ', '    "near": near.METRIC,\n    "spearman": ')
    with_line = with_line.replace("    spearman,\n", "    near,\n    spearman,\n")
    assert len(with_line.splitlines()) == len(table.splitlines()) + 2  # its import is the other
    (room / "__init__.py").write_text(with_line)
    return folder


def test_metric_is_added_with_a_file_and_a_line(copy: Path, tmp_path: Path) -> None:
    line = next(
        row
        for row in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()
        if row.startswith("| a metric |")
    )
    assert re.findall(r"`([^`]+)`", line)[0] == "squeeze/metrics/<name>.py"

    logits = np.eye(4, dtype=np.float32)[np.arange(40) % 4]
    labels = np.arange(40) % 4
    test = np.array([0, 2, 2, 0])  # against classes 0 1 2 3: right, near, right, far
    np.savez(tmp_path / "d.npz", x=logits, y=labels, x_test=logits[:4], y_test=test)
    np.savez(tmp_path / "unlabelled.npz", x=logits)
    np.savez(tmp_path / "one_class.npz", x=logits, y=labels * 0)
    done = ran(copy, "-c", USE, str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["package"].startswith(str(copy))
    assert found["scores"] == [["y", "near", 75.0]]
    assert found["classes"] == 4
    # Wilson's interval of 3 of 4.
    assert found["interval"] == pytest.approx([30.064, 95.441], abs=0.001)
    assert found["said"] == "75.00 % near"
    assert found["loss"] == "bce"
    assert found["report"] == ["class or its neighbour", "75.00 %"]
    assert found["drop"] == 5
    assert "metric 'near' needs labels" in found["refused"][0]
    assert "metric 'near' needs samples of two classes" in found["refused"][1]


def test_added_metric_is_a_name_for_the_command_line(copy: Path, tmp_path: Path) -> None:
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 4]) for n in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", x=np.eye(4, dtype=np.float32), y=np.arange(4))
    files = (str(tmp_path / "m.onnx"), "--calib", str(tmp_path / "d.npz"))
    done = ran(copy, "-m", "squeeze", "compile", *files, "-o", "out", "--metric", "neat")
    assert "metric: unknown 'neat'. Did you mean 'near'?" in done.stderr
    assert done.returncode == 2
