"""The door from torch to ONNX: numbers, dynamic batch, bytes, silence, refusals."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from torch import nn

from squeeze.errors import ConfigError, PassError, UnsupportedError
from squeeze.export import feed_to_ir, to_ir
from squeeze.export.compare import check


class Residual(nn.Module):
    """Convolutions with normalisation, a shortcut, a mean over space and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6()
        )
        self.deep = nn.Sequential(
            nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.BatchNorm2d(8), nn.Hardswish()
        )
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.head((x + self.deep(x)).mean((2, 3)))


class Signal(nn.Module):
    """One-dimensional convolution, flattened."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(2, 4, 5, 2), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


class Tokens(nn.Module):
    """An embedding averaged over the sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(20, 6), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.table(x).mean(1))


def images(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 3, 9, 9)).astype(np.float32)


def signals(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 2, 15)).astype(np.float32)


def tokens(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 20, (count, 7))


CASES: dict[str, tuple[type[nn.Module], Callable[[int], np.ndarray]]] = {
    "image": (Residual, images),
    "signal": (Signal, signals),
    "tokens": (Tokens, tokens),
}


def built(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return kind().eval()


def exported(module: nn.Module, x: np.ndarray) -> ir.Model:
    return to_ir(module, x, input_name="x", output_name="logits")


def run(model: ir.Model, x: np.ndarray) -> np.ndarray:
    data = ir.serde.serialize_model(model).SerializeToString()
    return np.asarray(ort.InferenceSession(data).run(["logits"], {"x": x})[0])


@pytest.mark.parametrize("case", CASES)
def test_graph_computes_what_torch_computes_for_any_batch(case: str) -> None:
    kind, make = CASES[case]
    module, x = built(kind), make(5)
    model = exported(module, x[:1])
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(run(model, x), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run(model, x[:1]), expected[:1], rtol=1e-4, atol=1e-5)


def test_signature_version_and_names_are_what_was_asked_for() -> None:
    model = exported(built(Residual), images(2))
    assert model.ir_version <= 9
    assert model.graph.opset_imports == {"": 20}
    assert [str(d) for d in model.graph.inputs[0].shape] == ["batch", "3", "9", "9"]
    assert [str(d) for d in model.graph.outputs[0].shape] == ["batch", "5"]
    assert {n.op_type for n in model.graph}.isdisjoint({"BatchNormalization", "Identity"})


def test_same_module_gives_the_same_bytes_without_traces() -> None:
    first, second = (
        ir.serde.serialize_model(exported(built(Residual), images(2))).SerializeToString(
            deterministic=True
        )
        for _ in range(2)
    )
    assert first == second
    assert b".py" not in first
    assert torch.__version__.encode() not in first


def test_nothing_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exported(built(Residual), images(1))
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("", "")
    assert logging.root.manager.disable == logging.NOTSET


class OfOne(nn.Module):
    """Takes one sample and no more."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(1, 4) * 2


def test_module_without_dynamic_batch_is_exported_for_one_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = exported(OfOne().eval(), np.ones((1, 2, 2), np.float32))
    assert list(model.graph.inputs[0].shape) == [1, 2, 2]
    assert "no dynamic batch" in caplog.text


class Pair(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x


class Branch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if float(x.sum()) > 0 else x * 2


def test_two_outputs_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="returns tuple; one tensor is needed"):
        exported(Pair().eval(), images(1))


def test_module_that_depends_on_its_data_is_refused_in_one_line() -> None:
    with pytest.raises(UnsupportedError, match=r"cannot export the module: [^\n]+$"):
        exported(Branch().eval(), images(1))


def test_example_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"does not run on an input of shape \(1, 4, 9, 9\)"):
        exported(built(Residual), np.ones((1, 4, 9, 9), np.float32))


def test_empty_example_is_refused() -> None:
    with pytest.raises(ConfigError, match="no example inputs"):
        exported(built(Residual), images(0))


def test_a_graph_that_differs_is_refused_with_the_difference() -> None:
    module, x = built(Residual), images(1)
    model = exported(module, x)
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    with pytest.raises(PassError, match=r"batch 1: the graph differs from torch by 0\.5"):
        check(model, {"batch 1": ((x,), (expected + np.float32(0.5),))})
    with pytest.raises(PassError, match="shape"):
        check(model, {"batch 1": ((x,), (expected[:, :2],))})


class Noisy(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.rand_like(x)


def test_a_module_that_is_not_deterministic_is_refused() -> None:
    with pytest.raises(PassError, match="Is the module deterministic"):
        exported(Noisy().eval(), images(1))


class Several(nn.Module):
    """Two inputs, one with its batch in the middle; logits, the best class and a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(20, 6), nn.Linear(6, 2)
        self.register_buffer("places", torch.arange(7.0))

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        states = (self.table(ids) * mask.movedim(1, 0)[..., None]).mean(1)
        logits = self.head(states)
        return logits, logits.argmax(1), self.places * 2


def test_several_inputs_and_outputs_keep_their_names_and_a_free_batch() -> None:
    module, ids = built(Several), tokens(5)
    mask = (np.random.default_rng(1).random((5, 7)) < 0.7).astype(np.float32)
    model = feed_to_ir(
        module,
        {"ids": ids[:2], "mask": mask[:2]},
        output_names=("logits", "best", "places"),
        batch_axes={"mask": 1},
    )
    shapes = {
        v.name: [str(d) for d in v.shape] for v in (*model.graph.inputs, *model.graph.outputs)
    }
    assert shapes == {
        "ids": ["batch", "7"],
        "mask": ["7", "batch"],
        "logits": ["batch", "2"],
        "best": ["batch"],
        "places": ["7"],
    }
    data = ir.serde.serialize_model(model).SerializeToString()
    found = ort.InferenceSession(data).run(None, {"ids": ids, "mask": mask.T})
    with torch.no_grad():
        expected = module(torch.from_numpy(ids), torch.from_numpy(mask.T.copy()))
    for got, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, wanted.numpy(), rtol=1e-4, atol=1e-6)


def test_input_without_a_batch_is_exported_as_it_is() -> None:
    model = feed_to_ir(
        nn.Flatten(0).eval(), {"x": images(2)}, output_names=("y",), batch_axes={"x": None}
    )
    assert list(model.graph.inputs[0].shape) == [3, 9, 9]
    assert list(model.graph.outputs[0].shape) == [243]


def test_difference_of_a_second_output_names_it() -> None:
    module, ids = built(Several), tokens(1)
    mask = np.ones((7, 1), np.float32)
    feed = {"ids": ids, "mask": mask.T}
    names = ("logits", "best", "places")
    model = feed_to_ir(module, feed, output_names=names, batch_axes={"mask": 1})
    with torch.no_grad():
        outputs = [o.numpy() for o in module(torch.from_numpy(ids), torch.from_numpy(mask))]
    outputs[2] = outputs[2] + 1
    with pytest.raises(PassError, match="output 'places': the graph differs from torch by 1"):
        check(model, {"batch 1": ((ids, mask), tuple(outputs))})


class Summed(nn.Module):
    """Rows of a table, added along a text of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 4)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return (self.table(ids) * mask[:, :, None]).sum(1)


class OfFive(Summed):
    """The same of texts of five words alone, whose places count."""

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return (self.table(ids) * mask[:, :, None] * torch.arange(5.0)[:, None]).sum(1)


def test_other_axes_stay_free_by_their_names() -> None:
    feed = {"ids": np.arange(15).reshape(3, 5) % 7, "mask": np.ones((3, 5), np.int64)}
    free = {name: {1: "words"} for name in feed}
    model = feed_to_ir(built(Summed), feed, output_names=["y"], free_axes=free)
    assert [list(map(str, value.shape)) for value in model.graph.inputs] == [["batch", "words"]] * 2
    assert str(model.graph.outputs[0].shape[0]) == "batch"
    with pytest.raises(UnsupportedError, match="the module fixes its sizes; wanted free: words"):
        feed_to_ir(built(OfFive), feed, output_names=["y"], free_axes=free)


def test_value_inside_is_not_called_as_the_output_is() -> None:
    """torch calls what it looks up 'embedding', and so are outputs of encoders called."""

    class Looked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(5, 3)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.table(ids).sum(1)
            return found

    model = feed_to_ir(Looked(), {"ids": np.ones((2, 4), np.int64)}, output_names=["embedding"])
    names = [value.name for node in model.graph for value in node.outputs]
    assert names.count("embedding") == 1
