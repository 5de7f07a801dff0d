"""Emulated CPUs without VNNI against sums written out in NumPy, and against ONNX Runtime on qemu's Haswell."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from benchmarks import qemu
from squeeze import calib, graph, machine, measure, quant, runtimes, teacher
from squeeze.case import Case
from squeeze.errors import UnsupportedError
from squeeze.metrics import Reading, Score, score
from squeeze.net import FloatNet
from squeeze.old_x86.emulation import emulated, saturates
from squeeze.old_x86.kinds import check
from squeeze.spec import QuantPart
from tests.feeds import passes_of
from tests.graph.small import floats
from tests.old_x86.test_saturation import few_levels
from tests.quant.families import inputs
from tests.quant.families import model as family

Array = NDArray[Any]  # Any: of several element types
MICROSOFT = "com.microsoft"
X_ZERO = 113
NEEDS_QEMU = pytest.mark.skipif(
    not qemu.available(), reason=f"{qemu.QEMU} is missing; Debian's package is qemu-user-static"
)

NEEDS_X86 = pytest.mark.skipif(
    not any(isa.startswith("x86") for isa in machine.isa()), reason="this CPU is no x86"
)


def single(op: str, w: Array, x: tuple[int, ...], domain: str = "", **attributes: Any) -> bytes:
    """A model of one int8 operator with weights w for u8 inputs of shape x; the requantised range is wide enough."""
    outputs = len(w) if op == "QLinearConv" or attributes.get("transB") else w.shape[-1]
    rng = np.random.default_rng(1)
    constants = {
        "x_scale": np.float32(0.02),
        "x_zero": np.uint8(X_ZERO),
        "w": w,
        "w_scale": rng.uniform(0.001, 0.01, outputs).astype(np.float32),
        "w_zero": np.zeros(outputs, w.dtype),
        "bias": rng.integers(-9999, 9999, outputs).astype(np.int32),
        "real_bias": rng.normal(size=outputs).astype(np.float32),
        "y_scale": np.float32(0.3),
        "y_zero": np.uint8(120),
    }
    names = {
        "ConvInteger": "x w x_zero",
        "DynamicQuantizeMatMul": "real_x w w_scale",
        "MatMulInteger": "x w x_zero",
        "MatMulIntegerToFloat": "x w x_scale w_scale x_zero w_zero real_bias",
        "QGemm": "x x_scale x_zero w w_scale w_zero bias y_scale y_zero",
        "QGemm to float": "x x_scale x_zero w w_scale w_zero bias",
        "QLinearConv": "x x_scale x_zero w w_scale w_zero y_scale y_zero bias",
        "QLinearMatMul": "x x_scale x_zero w w_scale w_zero y_scale y_zero",
    }[op].split()
    floating = op in ("DynamicQuantizeMatMul", "MatMulIntegerToFloat", "QGemm to float")
    kind = TensorProto.FLOAT if floating else TensorProto.UINT8
    kind = TensorProto.INT32 if op.endswith("Integer") else kind
    given = TensorProto.FLOAT if "real_x" in names else TensorProto.UINT8
    made = helper.make_graph(
        [
            helper.make_node(
                op.split()[0], names, ["y"], name="product", domain=domain, **attributes
            )
        ],
        "single",
        [helper.make_tensor_value_info(names[0], given, x)],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items() if k in names],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(MICROSOFT, 1)]
    written: bytes = helper.make_model(made, opset_imports=opsets, ir_version=9).SerializeToString()
    return written


def weights(*shape: int, most: int = 127) -> Array:
    return np.random.default_rng(0).integers(-most, most + 1, shape).astype(np.int8)


def bright(*shape: int) -> Array:
    """u8 activations, every other one the largest."""
    rng = np.random.default_rng(2)
    return np.where(rng.random(shape) < 0.5, 255, rng.integers(0, 256, shape)).astype(np.uint8)


# name -> operator, its weights, the shape of its input, attributes
CASES: dict[str, tuple[str, Array, tuple[int, ...], dict[str, Any]]] = {
    # Wide enough for the runtime's kernel without im2col
    "conv": ("QLinearConv", weights(16, 16, 3, 3), (2, 16, 7, 7), {"pads": [1, 1, 1, 1]}),
    # Pairs reach from one kernel position into the next; the last weight is alone
    "conv-odd": (
        *("QLinearConv", weights(5, 3, 3, 3), (2, 3, 9, 9)),
        {"pads": [1, 0, 1, 0], "strides": [2, 2]},
    ),
    "conv-grouped": (
        *("QLinearConv", weights(8, 3, 3, 3), (2, 12, 6, 6)),
        {"group": 4, "dilations": [2, 2], "pads": [2, 2, 2, 2]},
    ),
    "conv-two-per-channel": ("QLinearConv", weights(8, 1, 3, 3), (2, 4, 6, 6), {"group": 4}),
    "conv-pointwise": ("QLinearConv", weights(24, 20, 1, 1), (2, 20, 5, 5), {}),
    "conv-depthwise": ("QLinearConv", weights(16, 1, 3, 3), (2, 16, 6, 6), {"group": 16}),
    "conv-depthwise-odd": ("QLinearConv", weights(5, 1, 3, 3), (2, 5, 6, 6), {"group": 5}),
    "conv-1d": ("QLinearConv", weights(7, 5, 4), (2, 5, 11), {"pads": [1, 2]}),
    "conv-integer": ("ConvInteger", weights(4, 6, 3, 3), (1, 6, 5, 5), {}),
    "gemm": ("QGemm", weights(21, 10), (7, 21), {"domain": MICROSOFT}),
    "gemm-transposed": ("QGemm", weights(10, 21), (7, 21), {"domain": MICROSOFT, "transB": 1}),
    "gemm-one-row": ("QGemm to float", weights(64, 10), (1, 64), {"domain": MICROSOFT}),
    "matmul": ("QLinearMatMul", weights(33, 17), (3, 4, 33), {}),
    "matmul-integer": ("MatMulInteger", weights(33, 17), (1, 33), {}),
    "matmul-to-float": ("MatMulIntegerToFloat", weights(32, 9), (4, 32), {"domain": MICROSOFT}),
    "unsigned-weights": (
        *("QLinearConv", weights(16, 16, 1, 1).view(np.uint8), (1, 16, 4, 4)),
        {},
    ),
}
EXACT = {
    "conv-depthwise",
    "conv-depthwise-odd",
    "conv-integer",
    "unsigned-weights",
}


def case(name: str) -> tuple[bytes, Array]:
    op, w, x, attributes = CASES[name]
    return single(op, w, x, **attributes), bright(*x)


def opened(path: Path, model: bytes) -> Path:
    path.write_bytes(model)
    return path


def outputs(model: bytes, x: Array) -> Array:
    session = runtimes.session(model)
    found: Array = session.run(None, {session.get_inputs()[0].name: x})[0]
    return found


def added(products: Array, limit: int | None) -> Array:
    """The sums of products [..., k] over k, pairs of neighbours first, which stop at 16 bits when `limit` says so."""
    padded = np.concatenate([products, np.zeros_like(products[..., : products.shape[-1] % 2])], -1)
    pairs = padded.reshape(*padded.shape[:-1], -1, 2).sum(axis=-1)
    return (pairs if limit is None else np.clip(pairs, -limit - 1, limit)).sum(axis=-1)


def sums(name: str, x: Array, limit: int | None) -> Array:
    """The int32 sums of a case before the bias, without the zero point: written out over output pixels."""
    _, w, _, attributes = CASES[name]
    wide = w.astype(np.int64)
    if w.ndim == 2:
        rows = wide if attributes.get("transB") else wide.T
        found = added(x.astype(np.int64)[..., None, :] * rows, limit)
        return found - X_ZERO * rows.sum(axis=1)
    dims = w.ndim - 2
    pads = attributes.get("pads", [0] * 2 * dims)
    strides = attributes.get("strides", [1] * dims)
    dilations = attributes.get("dilations", [1] * dims)
    around = [(0, 0), (0, 0), *zip(pads[:dims], pads[dims:], strict=True)]
    padded = np.pad(x.astype(np.int64), around, constant_values=X_ZERO)
    reach = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilations, strict=True)]
    size = [(n - r) // s + 1 for n, r, s in zip(padded.shape[2:], reach, strides, strict=True)]
    found = np.zeros((len(x), len(w), *size), np.int64)
    per_group = len(w) // attributes.get("group", 1)
    for o in range(len(w)):
        first = o // per_group * w.shape[1]
        for at in product(*map(range, size)):
            window = tuple(
                slice(i * s, i * s + r, d)
                for i, s, r, d in zip(at, strides, reach, dilations, strict=True)
            )
            seen = padded[:, first : first + w.shape[1]][(slice(None), slice(None), *window)]
            products = np.moveaxis(seen * wide[o], 1, -1).reshape(len(x), -1)
            found[:, o][(slice(None), *at)] = added(products, limit) - X_ZERO * wide[o].sum()
    return found


def finished(name: str, found: Array, model: bytes) -> Array:
    """Bias, scale and rounding as the operators are defined."""
    has = {t.name: numpy_helper.to_array(t) for t in onnx.load_from_string(model).graph.initializer}
    op, w, _, _ = CASES[name]
    if op == "MatMulInteger":
        return found
    along = [-1, *[1] * (w.ndim - 2)]
    biased = found + has["bias"].reshape(along) if "bias" in has else found
    scale = has["x_scale"] * has["w_scale"]
    scale = scale / has["y_scale"] if "y_scale" in has else scale
    real = biased.astype(np.float32) * scale.reshape(along)
    if "real_bias" in has:
        return real + has["real_bias"]
    if "y_zero" not in has:
        return real
    return np.clip(np.rint(real) + has["y_zero"], 0, 255).astype(np.uint8)


@pytest.mark.parametrize("saturate", [True, False], ids=["saturating", "exact"])
@pytest.mark.parametrize("name", [name for name in CASES if name not in EXACT])
def test_emulated_products_are_the_sums_written_out(
    name: str, saturate: bool, tmp_path: Path
) -> None:
    model, x = case(name)
    found = emulated(opened(tmp_path / "m.onnx", model), saturate=saturate)
    expected = finished(name, sums(name, x, 32767 if saturate else None), model)
    np.testing.assert_array_equal(outputs(found.model, x), expected)
    other = finished(name, sums(name, x, None if saturate else 32767), model)
    assert (expected != other).mean() > 0.1
    assert len(found.layers) == 1


@pytest.mark.parametrize("name", sorted(EXACT))
def test_products_that_are_exact_everywhere_stay(name: str, tmp_path: Path) -> None:
    model, _ = case(name)
    assert emulated(opened(tmp_path / "m.onnx", model)).layers == ()


def test_small_weights_stay(tmp_path: Path) -> None:
    model = single("QLinearConv", weights(8, 16, 3, 3, most=64), (1, 16, 5, 5))
    found = emulated(opened(tmp_path / "m.onnx", model))
    assert found.layers == ()
    assert {n.op_type for n in onnx.load_from_string(found.model).graph.node} <= {
        "QLinearConv",
        "Transpose",
    }


def test_layers_say_how_many_channels_and_pairs_are_at_risk(tmp_path: Path) -> None:
    w = np.zeros((3, 4), np.int8)
    w[0] = (100, 100, -100, -100)
    w[1] = (100, -100, 100, -100)
    w[2] = (127, 1, 127, 2)
    model = single("QGemm", w, (2, 4), MICROSOFT, transB=1)
    layer = emulated(opened(tmp_path / "m.onnx", model)).layers[0]
    assert (layer.channels, layer.channels_at_risk, layer.pairs_at_risk) == (3, 2, 3)


def test_a_layer_whose_emulation_would_not_fit_a_file_is_refused(tmp_path: Path) -> None:
    w = np.full((1024, 1024), 127, np.int8)
    model = single("QGemm", w, (2, 1024), MICROSOFT, transB=1)
    with pytest.raises(
        UnsupportedError, match=r"524,288 pairs of weights in 1,024 channels would take 2 GiB"
    ):
        emulated(opened(tmp_path / "m.onnx", model))


def test_dynamic_quantisation_that_can_saturate_is_refused(tmp_path: Path) -> None:
    model = single("DynamicQuantizeMatMul", weights(16, 8), (2, 16), MICROSOFT)
    with pytest.raises(UnsupportedError, match=r"product \(DynamicQuantizeMatMul\) can saturate"):
        emulated(opened(tmp_path / "m.onnx", model))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("sse4_1", False),
        ("avx2 fma", True),
        ("avx2 fma avx512f avx512bw", True),
        ("avx2 fma avx_vnni", False),
        ("avx2 fma avx512f avx512_vnni", False),
        ("asimd asimddp", False),
    ],
)
def test_cpus_with_avx2_and_without_vnni_saturate(words: str, expected: bool) -> None:
    assert saturates(f"processor : 0\nflags : {words}\n") is expected


@cache
def qdq(name: str) -> bytes:
    """A family's network with weights that can saturate."""
    x = inputs(name, 8)
    part = QuantPart(samples=8, observer="minmax", bias_correction=False)
    found = quant.quantize(
        family(name), passes_of(family(name), x), activations="uint8", part=part
    ).model
    return graph.to_bytes(found)


def lowered(name: str) -> bytes:
    model = ir.serde.deserialize_model(onnx.load_from_string(qdq(name)))
    return graph.to_bytes(graph.lower(model)[0])


NETWORKS: dict[str, Callable[[], tuple[bytes, Array]]] = {
    "residual": lambda: (qdq("residual"), inputs("residual", 8)),
    "residual-lowered": lambda: (lowered("residual"), inputs("residual", 8)),
    "depthwise": lambda: (qdq("depthwise"), inputs("depthwise", 8)),
    "dense": lambda: (qdq("dense"), inputs("dense", 8)),
    "codebook": lambda: (
        graph.to_bytes(graph.lower(few_levels())[0]),
        floats(4, 32, 6, 6, seed=1),
    ),
}


@cache
def in_qemu() -> dict[str, Array]:
    """What every case and network gives there; the emulated process is started once."""
    made = {name: case(name) for name in CASES} | {name: make() for name, make in NETWORKS.items()}
    return dict(zip(made, qemu.outputs(list(made.values()), timeout_s=60), strict=True))


@NEEDS_QEMU
@pytest.mark.parametrize("name", [*CASES, *NETWORKS])
def test_emulated_outputs_are_those_of_a_cpu_without_vnni(name: str, tmp_path: Path) -> None:
    model, x = case(name) if name in CASES else NETWORKS[name]()
    found = emulated(opened(tmp_path / "m.onnx", model))
    np.testing.assert_array_equal(outputs(found.model, x), in_qemu()[name])
    assert bool(found.layers) == (name not in EXACT)


def residual(folder: Path, x: Array) -> Case:
    """The float network as a case judged by agreement with it."""
    graph.save(family("residual"), folder / "float.onnx")
    found = teacher.load(
        str(folder / "float.onnx"), weights=None, example=x[:2], folder=folder / "teacher"
    )
    data = calib.from_arrays("own", fit=x, calibrate=x, evaluate=x, modality="image")
    interface = found.interface
    answers = runtimes.infer(runtimes.session(found.model), {"x": x}, interface)
    np.save(folder / "evaluate-0.npy", answers[interface.only_output.name])
    readings = (Reading(interface.only_output.name, "agreement"),)
    net = FloatNet("kept", found.model, found.digest, interface)
    return Case(found, net, data.fitted(interface), readings, folder)


@NEEDS_X86
def test_check_says_how_each_cpu_was_looked_at(tmp_path: Path) -> None:
    path = opened(tmp_path / "m.onnx", qdq("residual"))
    x = inputs("residual", 100)
    problem = residual(tmp_path, x)
    reference = problem.reference("evaluate")
    known = measure.evaluate(
        path,
        problem.data,
        problem.data.evaluate,
        problem.readings,
        interface=problem.interface,
        reference=reference,
    )
    found = check(path, problem, known, judged=0, isa=machine.isa())
    here, there = found["cpus"]
    assert (here["source"], there["source"]) == ("measured", "emulated")
    assert {here["cpu"], there["cpu"]} == {"x86 with VNNI", "x86 without VNNI"}
    assert here["metric"] == known.scores[0].value
    assert here["changed_top1"] == 0
    old = emulated(path, saturate=not saturates())
    outputs = runtimes.run(runtimes.session(old.model), x)
    classes = outputs.argmax(axis=1)
    (wanted,) = reference.values()
    assert there["metric"] == score("agreement", outputs, None, reference=wanted)
    measured = known.outputs[problem.readings[0].output].argmax(axis=1)
    assert there["changed_top1"] == (classes != measured).sum()
    assert there["scores"] == [
        {
            "output": "y",
            "metric": "agreement",
            "value": there["metric"],
            "changed_top1": there["changed_top1"],
        }
    ]
    assert there["samples"] == 100
    assert len(found["layers"]) == 9


@NEEDS_X86
def test_check_of_safe_weights_gives_what_was_measured_for_every_output(tmp_path: Path) -> None:
    path = opened(tmp_path / "m.onnx", single("QLinearMatMul", weights(8, 3, most=64), (4, 8)))
    known = measure.Evaluated(
        (Score("classes", "agreement", 12.5), Score("map", "error", 3.5)),
        {"classes": np.eye(3), "map": np.ones((3, 4, 4))},
    )
    nothing: Any = None  # no file is evaluated, so that the case is never looked at
    found = check(path, nothing, known, judged=0, isa=machine.isa())
    scores = [
        {"output": "classes", "metric": "agreement", "value": 12.5, "changed_top1": 0},
        {"output": "map", "metric": "error", "value": 3.5},
    ]
    assert [row["source"] for row in found["cpus"]] == ["measured", "proven equal"]
    for row in found["cpus"]:
        assert (row["metric"], row["changed_top1"], row["samples"]) == (12.5, 0, 3)
        assert row["scores"] == scores
    assert found["layers"] == []
    for row in check(path, nothing, known, judged=1, isa=machine.isa())["cpus"]:
        named = {key: row[key] for key in ("output", "metric_name", "metric", "samples")}
        assert named == {"output": "map", "metric_name": "error", "metric": 3.5, "samples": 3}
        assert "changed_top1" not in row


def test_check_elsewhere_measures_there_and_proves_the_rest(tmp_path: Path) -> None:
    known = measure.Evaluated((Score("y", "agreement", 99.0),), {"y": np.eye(3)})
    nothing: Any = None
    safe = opened(tmp_path / "safe.onnx", single("QLinearMatMul", weights(8, 3, most=64), (4, 8)))
    sources = [
        r["source"] for r in check(safe, nothing, known, judged=0, isa=("arm64_neon",))["cpus"]
    ]
    assert sources == ["measured", "proven equal", "proven equal"]
    risky = opened(tmp_path / "risky.onnx", qdq("residual"))
    found = check(risky, nothing, known, judged=0, isa=("arm64_neon",))
    assert [r["source"] for r in found["cpus"]] == ["measured", "not checked", "not checked"]
    assert len(found["layers"]) == 9
