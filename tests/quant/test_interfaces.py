"""Models with any number of inputs and outputs, of any type, with the batch anywhere: int8 files keep all of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto

from squeeze import graph, ops, quant, runtimes
from squeeze.feed import Array, part
from squeeze.interface import Interface, TensorSpec
from squeeze.metrics.fields import fields_axis, of_fields
from squeeze.quant.output_error import errors_by_output, output_errors
from squeeze.spec import QuantPart
from tests.feeds import interface_of, passes_of
from tests.graph.small import floats, node, typed

SAMPLES = 64


@dataclass(frozen=True)
class Kind:
    model: ir.Model
    interface: Interface
    feed: dict[str, Array]


def detector() -> Kind:
    """A body and two heads, one of them on rows."""
    model = typed(
        [
            node("Conv", ["x", "w1", "b1"], ["c1"], strides=[2, 2], pads=[1] * 4),
            node("Relu", ["c1"], ["r1"]),
            node("Conv", ["r1", "w2"], ["scores"], pads=[1] * 4),
            node("Conv", ["r1", "w3"], ["c3"], pads=[1] * 4),
            node("Transpose", ["c3"], ["t"], perm=[0, 2, 3, 1]),
            node("Reshape", ["t", "rows"], ["boxes"]),
        ],
        {
            "w1": floats(8, 3, 3, 3) / 5,
            "b1": floats(8, seed=1),
            "w2": floats(2, 8, 3, 3, seed=2) / 8,
            "w3": floats(8, 8, 3, 3, seed=3) / 8,
            "rows": np.asarray([0, -1, 4]),
        },
        {"x": ("float32", ["n", 3, 12, 12])},
        {"scores": ("float32", ["n", 2, 6, 6]), "boxes": ("float32", ["n", 72, 4])},
    )
    return Kind(model, interface_of(model), {"x": floats(SAMPLES, 3, 12, 12, seed=9)})


def encoder() -> Kind:
    """Token ids and a mask; one layer of attention; MatMul with a bias behind it, of rank 3."""
    d, t = 16, 6
    model = typed(
        [
            node("Gather", ["table", "ids"], ["e"]),
            node("LayerNormalization", ["e", "one", "zero"], ["x"]),
            node("Cast", ["mask"], ["m"], to=TensorProto.FLOAT),
            node("Sub", ["m", "unit"], ["m1"]),
            node("Mul", ["m1", "large"], ["m2"]),
            node("Unsqueeze", ["m2", "axis"], ["m3"]),
            *[node("MatMul", ["x", f"w{k}"], [f"p{k}"]) for k in "qkv"],
            *[node("Add", [f"p{k}", "zero"], [f"{k}"]) for k in "qkv"],
            node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
            node("MatMul", ["q", "kt"], ["s"]),
            node("Add", ["s", "m3"], ["sm"]),
            node("Softmax", ["sm"], ["a"]),
            node("MatMul", ["a", "v"], ["av"]),
            node("Add", ["x", "av"], ["r"]),
            node("MatMul", ["r", "wf"], ["f"]),
            node("Relu", ["f"], ["g"]),
            node("MatMul", ["g", "wo"], ["o"]),
            node("Gather", ["o", "first"], ["head"], axis=1),
            node("Gemm", ["head", "wl", "bl"], ["logits"]),
        ],
        {
            "table": floats(50, d),
            "one": np.ones(d, np.float32),
            "zero": floats(d, seed=5) / 9,
            "unit": np.float32(1),
            "large": np.float32(1e9),
            "axis": np.asarray([1]),
            "first": np.asarray(0),
            **{f"w{k}": floats(d, d, seed=i) / 4 for i, k in enumerate("qkv")},
            "wf": floats(d, 32, seed=6) / 4,
            "wo": floats(32, d, seed=7) / 4,
            "wl": floats(d, 4, seed=8),
            "bl": floats(4, seed=9),
        },
        {"ids": ("int64", ["n", t]), "mask": ("bool", ["n", t])},
        {"logits": ("float32", ["n", 4])},
    )
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 50, (SAMPLES, t))
    mask = np.arange(t)[None] < rng.integers(2, t + 1, (SAMPLES, 1))
    return Kind(model, interface_of(model), {"ids": ids, "mask": mask})


def time_first() -> Kind:
    """[time, batch, features]: the bias of a layer is an Add behind it."""
    model = typed(
        [
            node("MatMul", ["frames", "w1"], ["p"]),
            node("Add", ["p", "b"], ["q"]),
            node("Relu", ["q"], ["r"]),
            node("MatMul", ["r", "w2"], ["phones"]),
        ],
        {"w1": floats(8, 16), "b": floats(16, seed=1), "w2": floats(16, 5, seed=2)},
        {"frames": ("float32", [7, "batch", 8])},
        {"phones": ("float32", [7, "batch", 5])},
    )
    return Kind(model, interface_of(model, batch_axis=1), {"frames": floats(SAMPLES, 7, 8, seed=3)})


def camera() -> Kind:
    """Bytes [h, w, c] in, normalised inside; classes as integers beside the scores."""
    model = typed(
        [
            node("Cast", ["frame"], ["f"], to=TensorProto.FLOAT),
            node("Sub", ["f", "mean"], ["s"]),
            node("Div", ["s", "deviation"], ["d"]),
            node("Transpose", ["d"], ["x"], perm=[0, 3, 1, 2]),
            node("Conv", ["x", "w1", "b1"], ["c"], strides=[2, 2]),
            node("Relu", ["c"], ["r"]),
            node("Conv", ["r", "w2"], ["scores"]),
            node("ArgMax", ["scores"], ["classes"], axis=1, keepdims=0),
        ],
        {
            "mean": np.float32([120, 110, 100]),
            "deviation": np.float32([60, 61, 62]),
            "w1": floats(8, 3, 2, 2) / 3,
            "b1": floats(8, seed=1),
            "w2": floats(3, 8, 1, 1, seed=2),
        },
        {"frame": ("uint8", ["n", 10, 10, 3])},
        {"scores": ("float32", ["n", 3, 5, 5]), "classes": ("int64", ["n", 5, 5])},
    )
    frames = np.random.default_rng(0).integers(0, 256, (SAMPLES, 10, 10, 3)).astype(np.uint8)
    return Kind(model, interface_of(model), {"frame": frames})


def casts(dtype: str) -> Kind:
    """Another float type outside, float32 inside."""
    outside = int(getattr(TensorProto, {"float16": "FLOAT16", "float64": "DOUBLE"}[dtype]))
    model = typed(
        [
            node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
            node("Gemm", ["f", "w1", "b1"], ["h"]),
            node("Relu", ["h"], ["r"]),
            node("Gemm", ["r", "w2", "b2"], ["g"]),
            node("Cast", ["g"], ["y"], to=outside),
        ],
        {
            "w1": floats(10, 16),
            "b1": floats(16, seed=1),
            "w2": floats(16, 4, seed=2),
            "b2": floats(4, seed=3),
        },
        {"x": (dtype, ["n", 10])},
        {"y": (dtype, ["n", 4])},
    )
    return Kind(model, interface_of(model), {"x": floats(SAMPLES, 10, seed=4).astype(dtype)})


def no_batch() -> Kind:
    """One image a run, [c, h, w], and a threshold without any axis."""
    model = typed(
        [
            node("Unsqueeze", ["image", "axis"], ["x"]),
            node("Conv", ["x", "w1", "b1"], ["c"], pads=[1] * 4),
            node("Relu", ["c"], ["r"]),
            node("Conv", ["r", "w2"], ["m"]),
            node("Squeeze", ["m", "axis"], ["map"]),
            node("Greater", ["map", "threshold"], ["mask"]),
        ],
        {
            "axis": np.asarray([0]),
            "w1": floats(8, 2, 3, 3) / 3,
            "b1": floats(8, seed=1),
            "w2": floats(3, 8, 1, 1, seed=2),
        },
        {"image": ("float32", [2, 9, 9]), "threshold": ("float32", [])},
        {"map": ("float32", [3, 9, 9]), "mask": ("bool", [3, 9, 9])},
    )
    feed = {"image": floats(SAMPLES, 2, 9, 9, seed=3), "threshold": floats(SAMPLES, seed=4)}
    return Kind(model, interface_of(model, batch_axis=None), feed)


def fixed_batch() -> Kind:
    model = typed(
        [
            node("Conv", ["x", "w", "b"], ["c"]),
            node("Relu", ["c"], ["r"]),
            node("Conv", ["r", "v"], ["y"]),
        ],
        {"w": floats(6, 3, 3, 3) / 4, "b": floats(6, seed=1), "v": floats(4, 6, 1, 1, seed=2)},
        {"x": ("float32", [5, 3, 8, 8])},
        {"y": ("float32", [5, 4, 6, 6])},
    )
    return Kind(model, interface_of(model), {"x": floats(SAMPLES, 3, 8, 8, seed=3)})


KINDS: dict[str, Callable[[], Kind]] = {
    "camera": camera,
    "detector": detector,
    "encoder": encoder,
    "fixed-batch": fixed_batch,
    "float16": lambda: casts("float16"),
    "float64": lambda: casts("float64"),
    "no-batch": no_batch,
    "time-first": time_first,
}


def int8(kind: Kind, size: int = 16, **part: bool) -> quant.Quantised:
    passes = passes_of(kind.model, kind.feed, size, kind.interface)
    settings = QuantPart(samples=SAMPLES, **part)  # type: ignore[arg-type]
    return quant.quantize(kind.model, passes, activations="uint8", part=settings, reduce_range=True)


def outputs(kind: Kind, model: ir.Model, *, native: bool = False) -> dict[str, Array]:
    session = runtimes.session(graph.to_bytes(model), native=native)
    return runtimes.infer(session, kind.feed, kind.interface)


def ends(model: ir.Model) -> list[tuple[str | None, ir.DataType | None, list[object]]]:
    values = (*model.graph.inputs, *model.graph.outputs)
    return [(v.name, v.dtype, [str(d) for d in v.shape or []]) for v in values]


@pytest.mark.parametrize("name", KINDS)
def test_optimised_quantised_and_lowered_files_keep_their_ends_and_their_values(name: str) -> None:
    kind = KINDS[name]()
    expected, before = outputs(kind, kind.model), ends(kind.model)
    graph.optimise(kind.model, part(kind.feed, 0, 1), kind.interface)
    found = int8(kind).model
    lowered = graph.lower(found)[0]
    graph.compact(lowered)
    assert "QuantizeLinear" in graph.count_ops(found)
    for model, native in ((found, False), (lowered, False), (lowered, True)):
        if native and ops.library_path() is None:
            continue
        assert ends(model) == before
        got = outputs(kind, model, native=native)
        for output, wanted in expected.items():
            assert (got[output].dtype, got[output].shape) == (wanted.dtype, wanted.shape)
            if wanted.dtype.kind == "f":
                difference = got[output].astype(np.float64) - wanted
                assert np.sqrt((difference**2).mean()) < 0.06 * wanted.astype(np.float64).std()
            else:
                assert (got[output] == wanted).mean() > 0.95


@pytest.mark.parametrize("name", KINDS)
def test_the_file_does_not_depend_on_how_samples_come_in_feeds(name: str) -> None:
    files = [graph.to_bytes(int8(KINDS[name](), size, adaround=True).model) for size in (3, 64)]
    assert files[0] == files[1]


@pytest.mark.parametrize("name", KINDS)
def test_errors_of_outputs_are_those_that_numpy_finds(name: str) -> None:
    kind = KINDS[name]()
    found = int8(kind).model
    passes = passes_of(kind.model, kind.feed, 16, kind.interface)
    expected, got = outputs(kind, kind.model), outputs(kind, found)
    wanted = {}
    for output, values in expected.items():
        if values.dtype.kind != "f":
            wanted[output] = (got[output] != values).mean()
            continue
        exact = values.astype(np.float64)
        axis = fields_axis(values)
        missed = of_fields((got[output] - exact) ** 2, axis).mean(axis=(0, 2))
        varies = of_fields(exact, axis).var(axis=0).mean(axis=1)
        size = of_fields(exact**2, axis).mean(axis=(0, 2))
        wanted[output] = np.sqrt((missed / np.maximum(varies, size / 100)).mean())
    (errors,) = errors_by_output(kind.model, [found], passes, SAMPLES)
    assert errors == pytest.approx(wanted, rel=1e-4)
    (together,) = output_errors(kind.model, [found], passes, SAMPLES)
    assert together == pytest.approx(np.sqrt(np.mean(np.square(list(wanted.values())))), rel=1e-4)


def test_an_output_that_does_not_vary_is_measured_by_its_size() -> None:
    def constant(bias: float) -> ir.Model:
        return typed(
            [node("Mul", ["x", "zero"], ["z"]), node("Add", ["z", "bias"], ["y"])],
            {"zero": np.float32(0), "bias": np.float32([4, bias])},
            {"x": ("float32", ["n", 2])},
            {"y": ("float32", ["n", 2])},
        )

    passes = passes_of(constant(3), floats(8, 2))
    (error,) = output_errors(constant(3), [constant(3.5)], passes, 8)
    # Of two fields one is wrong, and a tenth of 3 is what it is held to.
    assert error == pytest.approx(np.sqrt((0.5 / 0.3) ** 2 / 2))


def test_infinite_outputs_of_the_float_model_do_not_count() -> None:
    def logarithm(shift: float) -> ir.Model:
        return typed(
            [node("Relu", ["x"], ["r"]), node("Log", ["r"], ["l"]), node("Add", ["l", "s"], ["y"])],
            {"s": np.float32(shift)},
            {"x": ("float32", ["n", 3])},
            {"y": ("float32", ["n", 3])},
        )

    x = np.float32([[1, -1, np.e], [np.e, -2, -1]])
    # What is left: 0 and 1 in the first column, 1 in the last, where it counts as a zero in the other sample.
    (error,) = output_errors(logarithm(0), [logarithm(0.1)], passes_of(logarithm(0), x), 2)
    assert error == pytest.approx(np.sqrt((0.1**2 / 0.25 + 0 + 0.1**2 / 2 / 0.25) / 3), rel=1e-5)


def test_layers_without_a_bias_need_no_correction() -> None:
    model = typed(
        [
            node("MatMul", ["frames", "w1"], ["p"]),
            node("Relu", ["p"], ["r"]),
            node("MatMul", ["r", "w2"], ["phones"]),
        ],
        {"w1": floats(8, 16), "w2": floats(16, 5, seed=2)},
        {"frames": ("float32", [7, "batch", 8])},
        {"phones": ("float32", [7, "batch", 5])},
    )
    frames = {"frames": floats(SAMPLES, 7, 8, seed=3)}
    notes = int8(Kind(model, interface_of(model, batch_axis=1), frames)).notes
    assert "bias correction" not in [note.name for note in notes]


def test_names_that_the_quantiser_would_use_may_be_taken() -> None:
    model = typed(
        [
            node("Conv", ["x", "c_scale", "b"], ["c"], name="x_quantised"),
            node("Relu", ["c"], ["x_quantised"]),
            node("Conv", ["x_quantised", "x_scale"], ["quantised/x"]),
            node("Relu", ["quantised/x"], ["c_dequantised"]),
            node("Conv", ["c_dequantised", "zero_int8_4"], ["y"]),
        ],
        {
            "c_scale": floats(4, 3, 3, 3) / 4,
            "b": floats(4, seed=1),
            "x_scale": floats(4, 4, 1, 1, seed=2),
            "zero_int8_4": floats(4, 4, 1, 1, seed=3),
        },
        {"x": ("float32", ["n", 3, 8, 8])},
        {"y": ("float32", ["n", 4, 6, 6])},
    )
    kind = Kind(model, interface_of(model), {"x": floats(SAMPLES, 3, 8, 8, seed=4)})
    expected, got = outputs(kind, model)["y"], outputs(kind, int8(kind).model)["y"]
    assert np.sqrt(((got - expected) ** 2).mean()) < 0.05 * expected.std()


def test_only_float32_values_are_quantised_in_a_graph_of_many_types() -> None:
    found = int8(camera()).model
    sources = [n.inputs[0] for n in found.graph if n.op_type == "QuantizeLinear"]
    assert sources
    assert {s.dtype for s in sources if s is not None} == {ir.DataType.FLOAT}


def test_a_spec_without_samples_is_one_run_a_sample() -> None:
    kind = no_batch()
    assert kind.interface.inputs[1] == TensorSpec("threshold", "float32", (), None)
    assert outputs(kind, kind.model)["mask"].shape == (SAMPLES, 3, 9, 9)
