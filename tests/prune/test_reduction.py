"""From a float graph to one with fewer channels: kept, undone and impossible, and gone on with after a kill."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.numpy import save_file
from torch import nn

from squeeze import export, graph
from squeeze.account import complexity
from squeeze.interface import Interface, TensorSpec
from squeeze.prune import Making, Reduced, Samples, reduce, refusal
from squeeze.spec import PrunePart
from tests.prune.zoo import Head, conv, with_statistics

X = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
ENDS = Interface(
    (TensorSpec("x", "float32", (3, 8, 8)),),
    (TensorSpec("y", "float32", (10,)),),
)


def to_graph(module: nn.Module) -> ir.Model:
    found = export.to_ir(module, X, input_name="x", output_name="y")
    graph.optimise(found, {"x": X[:1]}, ENDS)
    return found


def samples(model: ir.Model) -> list[Samples]:
    """What the graph itself says of some inputs: it is the teacher here."""
    x = np.random.default_rng(1).standard_normal((64, 3, 8, 8)).astype(np.float32)
    return [Samples(torch.from_numpy(x), None, torch.from_numpy(run(model, x)))]


def run(model: ir.Model, x: np.ndarray) -> np.ndarray:
    found: np.ndarray = ort.InferenceSession(graph.to_bytes(model)).run(None, {"x": x})[0]
    return found


def macs_ratio(after: Path, before: Path) -> float:
    """A device on which the time is what is multiplied."""
    return complexity(after).macs / complexity(before).macs


def louder(model: ir.Model, folder: Path) -> ir.Model:
    """A training whose result is known: twice the weights of the classifier."""
    copy = ir.serde.deserialize_model(ir.serde.serialize_model(model))
    weight = next(n for n in copy.graph if n.op_type == "Gemm").inputs[1]
    weight.const_value = ir.tensor(2 * weight.const_value.numpy())
    return copy


def reduced(model: ir.Model, folder: Path, part: PrunePart, **changes: object) -> Reduced:
    asked = changes.pop("samples", lambda: samples(model))
    making = replace(Making(to_graph, graph.save, macs_ratio, louder, folder), **changes)
    return reduce(model, ENDS, {"x": X}, part, making, samples=asked)


@pytest.fixture(scope="module")
def model() -> ir.Model:
    torch.manual_seed(0)
    return to_graph(with_statistics(nn.Sequential(conv(3, 16), conv(16, 24), Head(24))))


@pytest.mark.parametrize("importance", ["bn", "distillation"])
def test_graph_shrinks_and_is_rebuilt_in_a_fresh_process_when_faster(
    model: ir.Model, importance: str, tmp_path: Path
) -> None:
    # The graph has no BatchNormalization: what it was multiplied by is folded into the convolutions.
    assert "BatchNormalization" not in {node.op_type for node in model.graph}
    part = PrunePart(ratio=0.4, rounds=2, align=4, importance=importance)
    found = reduced(model, tmp_path, part)
    assert found.model is not None
    assert list(tmp_path.iterdir()) == []
    assert [note.kept for note in found.notes if note.name.startswith("prune round")] == [True] * 2
    graph.save(model, tmp_path / "before.onnx")
    graph.save(found.model, tmp_path / "after.onnx")
    share = macs_ratio(tmp_path / "after.onnx", tmp_path / "before.onnx")
    assert share == pytest.approx(0.6, abs=0.1)
    assert f"{1 - share:.0%} fewer MACs" in found.why
    save_file(dict(found.weights), tmp_path / "weights.safetensors")
    (tmp_path / "arch.json").write_text(found.arch.model_dump_json())
    np.save(tmp_path / "x.npy", X)
    script = (
        "import sys, numpy as np, torch\n"
        "from pathlib import Path\n"
        "from safetensors.torch import load_file\n"
        "from squeeze import students\n"
        "from squeeze.spec import ArchSpec\n"
        "folder = Path(sys.argv[1])\n"
        "arch = ArchSpec.model_validate_json((folder / 'arch.json').read_text())\n"
        "network = students.rebuild(arch).eval()\n"
        "network.load_state_dict(load_file(folder / 'weights.safetensors'))\n"
        "x = torch.from_numpy(np.load(folder / 'x.npy'))\n"
        "with torch.no_grad():\n"
        "    np.save(folder / 'y.npy', network(x).numpy())\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    np.testing.assert_allclose(
        np.load(tmp_path / "y.npy"), run(found.model, X), rtol=1e-4, atol=1e-4
    )


def test_what_is_trained_is_what_ships_when_kept(model: ir.Model, tmp_path: Path) -> None:
    timed: list[bytes] = []
    trained: list[bytes] = []

    def ship(plain: ir.Model, path: Path) -> None:
        timed.append(graph.to_bytes(plain))
        graph.save(plain, path)

    def recover(plain: ir.Model, folder: Path) -> ir.Model:
        trained.append(graph.to_bytes(plain))
        return louder(plain, folder)

    part = PrunePart(ratio=0.4, rounds=1, align=4, importance="l2")
    found = reduced(model, tmp_path, part, ship=ship, recover=recover)
    # Each of the two was built for the timing once, and the pruned one of them was trained.
    assert len(timed) == 2
    assert trained == [b for b in timed if b != graph.to_bytes(model)]
    assert found.model is not None
    plain = ir.serde.deserialize_model(ir.serde.serialize_model(found.model))
    classifier = next(n for n in plain.graph if n.op_type == "Gemm")
    bias = classifier.inputs[2].const_value.numpy()
    untrained = reduced(model, tmp_path, part.model_copy(update={"steps": 0}))
    assert untrained.model is not None
    np.testing.assert_allclose(
        run(found.model, X) - bias, 2 * (run(untrained.model, X) - bias), rtol=1e-3, atol=1e-4
    )


def test_nothing_is_trained_or_kept_when_no_round_is_faster(
    model: ir.Model, tmp_path: Path
) -> None:
    def recover(plain: ir.Model, folder: Path) -> ir.Model:
        raise AssertionError("a round that is undone is not trained")

    part = PrunePart(ratio=0.4, rounds=2, align=4, importance="l2")
    found = reduced(model, tmp_path, part, measure=lambda after, before: 0.98, recover=recover)
    assert found.model is None
    assert found.arch is None
    assert found.why == "no round made it faster here"
    rounds = [note for note in found.notes if note.name.startswith("prune round")]
    assert len(rounds) == 2
    assert all("undone, not faster" in note.why for note in rounds)


def test_trainings_that_are_done_are_not_repeated_after_a_kill(
    model: ir.Model, tmp_path: Path
) -> None:
    part = PrunePart(ratio=0.5, rounds=2, align=4, importance="l2")
    calls: list[str] = []

    def killed(plain: ir.Model, folder: Path) -> ir.Model:
        calls.append(folder.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return louder(plain, folder)

    with pytest.raises(KeyboardInterrupt):
        reduced(model, tmp_path, part, recover=killed)
    again = reduced(model, tmp_path, part, recover=killed)
    # The second training was begun twice, in one folder; the first was not.
    assert len(calls) == 3
    assert calls[0] != calls[1] == calls[2]
    (tmp_path / "whole").mkdir()
    whole = reduced(model, tmp_path / "whole", part)
    assert again.model is not None
    assert whole.model is not None
    assert graph.to_bytes(again.model) == graph.to_bytes(whole.model)


def unknown_operator() -> ir.Model:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, 8, 8])
    made = helper.make_graph([helper.make_node("Sinh", ["x"], ["y"])], "g", [x], [y])
    return ir.serde.deserialize_model(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    )


def test_reason_is_given_and_nothing_asked_when_torch_cannot_train_it(tmp_path: Path) -> None:
    def asked() -> list[Samples]:
        raise AssertionError("no samples are wanted for what cannot be pruned")

    model = unknown_operator()
    found = reduced(model, tmp_path, PrunePart(ratio=0.4), samples=asked)
    assert found.model is None
    assert found.why.startswith("cannot be pruned: ")
    assert "Sinh" in found.why
    assert refusal(model, ENDS, {"x": X}) in found.why


def test_pruning_is_refused_when_inputs_are_several_or_the_batch_is_elsewhere(
    model: ir.Model,
) -> None:
    (x,), (y,) = ENDS.inputs, ENDS.outputs
    assert refusal(model, ENDS, {"x": X}) == ""
    assert "2 inputs" in refusal(model, Interface((x, x), (y,)), {"x": X})
    assert "2 outputs" in refusal(model, Interface((x,), (y, y)), {"x": X})
    for changed in ({"batch_axis": 1}, {"batch_axis": None}, {"batch_size": 1}):
        odd = TensorSpec("x", "float32", (3, 8, 8), **changed)
        assert "batch of any size as the first axis" in refusal(
            model, Interface((odd,), (y,)), {"x": X}
        )


def test_pruning_is_refused_when_torch_takes_no_two_samples() -> None:
    class Single(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(1, 192)[:, :10]

    model = export.to_ir(Single().eval(), X[:1], input_name="x", output_name="y")
    assert "on 2 samples at once" in refusal(model, ENDS, {"x": X})
