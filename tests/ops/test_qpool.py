"""QMaxPool and QGlobalAveragePool inside ONNX Runtime: against NumPy, against their bodies, and with broken nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.ops import node_model
from tests.ops.node_model import Array, Node, build, most_steps_apart, session

ISAS = ("portable", "x86_avx2", "x86_avx512vnni")
f32 = np.float32
FIRST = {3: (0, 1, 2), 4: (0, 1, 2, 3)}
FROM_LAST = {3: (0, 2, 1), 4: (0, 3, 1, 2)}
TO_LAST = {3: (0, 2, 1), 4: (0, 2, 3, 1)}


def images(
    seed: int, shape: tuple[int, ...], dtype: type, x_last: bool, y_last: bool
) -> tuple[Array, dict[str, tuple[int, ...]]]:
    """x of the channels-first `shape` in its layout, and the attributes that say so."""
    rank, limits = len(shape), np.iinfo(dtype)
    x = np.random.default_rng(seed).integers(limits.min, limits.max + 1, shape).astype(dtype)
    perms = {
        "x_perm": FROM_LAST[rank] if x_last else FIRST[rank],
        "y_perm": TO_LAST[rank] if y_last else FIRST[rank],
    }
    return x.transpose(TO_LAST[rank]) if x_last else x, perms


def max_pool(
    seed: int,
    shape: tuple[int, ...],
    kernel: tuple[int, ...],
    *,
    strides: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    dilations: tuple[int, ...] | None = None,
    dtype: type = np.uint8,
    x_last: bool = True,
    y_last: bool = True,
) -> Node:
    x, perms = images(seed, shape, dtype, x_last, y_last)
    ones = (1,) * len(kernel)
    window = {
        "kernel_shape": kernel,
        "strides": strides or ones,
        "pads": pads or (0,) * (2 * len(kernel)),
        "dilations": dilations or ones,
    }
    return Node("QMaxPool", {"x": x}, ("x",), {**window, **perms})


def average(
    seed: int,
    shape: tuple[int, ...],
    *,
    scales: tuple[float, float] = (0.02, 0.004),
    zero_points: tuple[int, int] = (120, 100),
    dtype: type = np.uint8,
    x_last: bool = True,
    y_last: bool = True,
) -> Node:
    x, perms = images(seed, shape, dtype, x_last, y_last)
    low = np.iinfo(dtype).min
    inputs = {
        "x": x,
        "x_scale": np.array(scales[0], f32),
        "x_zero_point": np.array(zero_points[0] + low, dtype),
        "y_scale": np.array(scales[1], f32),
        "y_zero_point": np.array(zero_points[1] + low, dtype),
    }
    return Node("QGlobalAveragePool", inputs, ("x",), dict(perms))


def largest(x: Array, window: dict[str, Any]) -> Array:
    """The maxima of channels-first `x`, one window at a time."""
    if x.ndim == 3:
        flat = {
            "kernel_shape": (1, *window["kernel_shape"]),
            "strides": (1, *window["strides"]),
            "dilations": (1, *window["dilations"]),
            "pads": (0, window["pads"][0], 0, window["pads"][1]),
        }
        return largest(x[:, :, None], flat)[:, :, 0]
    top, left, bottom, right = window["pads"]
    least = np.iinfo(x.dtype).min
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=least)
    sizes = zip(
        x.shape[2:],
        window["kernel_shape"],
        window["dilations"],
        window["strides"],
        strict=True,
    )
    out_h, out_w = ((size - (k - 1) * d - 1) // s + 1 for size, k, d, s in sizes)
    y = np.empty((*x.shape[:2], out_h, out_w), x.dtype)
    (kernel_h, kernel_w), (dilation_h, dilation_w) = window["kernel_shape"], window["dilations"]
    for i in range(out_h):
        for j in range(out_w):
            at_h, at_w = i * window["strides"][0], j * window["strides"][1]
            rows = slice(at_h, at_h + (kernel_h - 1) * dilation_h + 1, dilation_h)
            columns = slice(at_w, at_w + (kernel_w - 1) * dilation_w + 1, dilation_w)
            y[:, :, i, j] = x[:, :, rows, columns].max((2, 3))
    return y


def averages(x: Array, case: Node) -> Array:
    """The means of channels-first `x`, by the arithmetic of the contract."""
    spatial = tuple(range(2, x.ndim))
    zero, y_zero = case.inputs["x_zero_point"], case.inputs["y_zero_point"]
    totals = (x.astype(np.int64) - int(zero)).sum(spatial, keepdims=True).astype(f32)
    pixels = f32(np.prod(x.shape[2:]))
    multiplier = case.inputs["x_scale"] / (case.inputs["y_scale"] * pixels)
    limits = np.iinfo(y_zero.dtype)
    values = np.rint(totals * multiplier) + f32(y_zero)
    return np.clip(values, limits.min, limits.max).astype(y_zero.dtype)


def expected(case: Node) -> Array:
    x = case.inputs["x"].transpose(case.attributes["x_perm"])
    y = largest(x, case.attributes) if case.op_type == "QMaxPool" else averages(x, case)
    return y.transpose(case.attributes["y_perm"])


ONES, TWOS = (1, 1, 1, 1), (2, 2)
CASES = {
    "max-stem": max_pool(1, (2, 64, 11, 12), (3, 3), strides=TWOS, pads=ONES),
    "max-s8": max_pool(2, (2, 33, 9, 8), (3, 3), strides=TWOS, pads=ONES, dtype=np.int8),
    "max-2x2": max_pool(3, (1, 24, 8, 8), (2, 2), strides=TWOS),
    "max-odd-channels": max_pool(4, (2, 71, 7, 9), (3, 2), pads=(1, 0, 2, 1)),
    "max-few-channels": max_pool(5, (1, 3, 9, 9), (3, 3), pads=ONES),
    "max-12-channels": max_pool(6, (1, 12, 9, 9), (3, 3), pads=ONES, dtype=np.int8),
    "max-dilated": max_pool(7, (1, 130, 13, 12), (3, 3), pads=(2, 2, 2, 2), dilations=TWOS),
    "max-channels-first": max_pool(8, (2, 10, 9, 8), (3, 3), x_last=False, y_last=False),
    "max-to-channels-last": max_pool(9, (2, 10, 9, 8), (3, 3), x_last=False),
    "max-to-channels-first": max_pool(10, (2, 10, 9, 8), (3, 3), y_last=False),
    "max-one-channel": max_pool(11, (2, 1, 9, 8), (3, 3), x_last=False, y_last=False),
    "max-sequence": max_pool(12, (3, 20, 31), (5,), strides=(3,), pads=(2, 1)),
    "max-sequence-first": max_pool(13, (3, 20, 31), (2,), x_last=False, y_last=False),
    "max-everything": max_pool(14, (1, 16, 5, 6), (5, 6)),
    "max-large": max_pool(15, (2, 64, 56, 56), (3, 3), strides=TWOS, pads=ONES),
    "max-no-images": max_pool(16, (0, 4, 5, 5), (2, 2)),
    "average": average(21, (2, 65, 7, 7)),
    "average-s8": average(22, (2, 40, 5, 9), dtype=np.int8),
    "average-channels-first": average(23, (2, 65, 7, 7), x_last=False, y_last=False),
    "average-s8-channels-first": average(24, (1, 9, 8, 8), x_last=False, dtype=np.int8),
    "average-to-channels-first": average(25, (2, 16, 3, 3), y_last=False),
    "average-one-pixel": average(26, (3, 12, 1, 1)),
    "average-ties": average(27, (1, 200, 1, 2), scales=(1.0, 1.0), zero_points=(0, 0)),
    "average-sequence": average(28, (2, 12, 50)),
    "average-large": average(29, (3, 256, 40, 40)),
    "average-no-images": average(30, (0, 12, 4, 4)),
}
every_case = pytest.mark.parametrize("name", CASES)


@pytest.mark.parametrize("isa", ISAS)
@every_case
def test_every_isa_equals_numpy_bit_for_bit(
    library: str, name: str, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEEZE_ISA", isa)
    y, wanted = node_model.run_native(CASES[name]), expected(CASES[name])
    assert y.dtype == wanted.dtype
    np.testing.assert_array_equal(y, wanted)


@every_case
def test_two_threads_give_the_bytes_of_one(library: str, name: str) -> None:
    one = node_model.run_native(CASES[name])
    np.testing.assert_array_equal(node_model.run_native(CASES[name], threads=2), one)


@pytest.mark.parametrize("opset", [13, 18, 20])
@every_case
def test_body_gives_the_same_and_an_average_within_one_step(name: str, opset: int) -> None:
    case = CASES[name]
    steps = most_steps_apart(node_model.run_body(case, opset=opset), expected(case))
    assert steps <= (1 if case.op_type == "QGlobalAveragePool" else 0)


# onnx.reference turns the padding of 8-bit images into not-a-number in the other cases, and cannot pool no images.
IN_THE_REFERENCE = [
    *("max-stem", "max-s8", "max-2x2", "max-dilated", "max-sequence", "max-sequence-first"),
    *(name for name in CASES if name.startswith("average") and name != "average-no-images"),
]


@pytest.mark.parametrize("name", IN_THE_REFERENCE)
def test_body_in_the_reference_gives_the_same_within_one_step(name: str) -> None:
    case = CASES[name]
    assert most_steps_apart(node_model.run_reference(case), expected(case)) <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_stock_runtime_fuses_the_body(dtype: type, tmp_path: Path) -> None:
    for shape, kernel in (((1, 8, 9, 9), (3, 3)), ((1, 8, 9), (3,))):
        assert node_model.fused(max_pool(1, shape, kernel, dtype=dtype), tmp_path) == {
            "NhwcMaxPool": 1
        }
    counts = dict(node_model.fused(average(1, (1, 8, 9, 9), dtype=dtype), tmp_path))
    counts.pop("Transpose", None)
    assert counts == {"QLinearGlobalAveragePool": 1}


BROKEN: dict[str, tuple[str, dict[str, Any], str]] = {  # Any: broken on purpose
    "no-kernel": ("max-stem", {"kernel_shape": None}, "kernel_shape has 0 integers, expected 1 or"),
    "3-d": ("max-stem", {"kernel_shape": [1, 2, 3]}, "kernel_shape has 3 integers, expected 1 or"),
    "kernel-0": ("max-stem", {"kernel_shape": [0, 3]}, "kernel_shape has the value 0, expected 1"),
    "strides": ("max-stem", {"strides": [2]}, "attribute strides has 1 values, expected 2"),
    "pads-negative": ("max-stem", {"pads": [0, -1, 0, 0]}, "attribute pads has the value -1"),
    "pads-large": ("max-stem", {"pads": [0, 0, 0, 3]}, "value 3, expected less than kernel_shape"),
    "dilations": ("max-stem", {"dilations": [1, 0]}, "dilations has the value 0, expected 1"),
    "x-perm": ("max-stem", {"x_perm": [0, 2, 3, 1]}, r"x_perm must be \[0, 1, 2, 3\] or \[0, 3"),
    "y-perm": ("max-stem", {"y_perm": [0, 3, 1, 2]}, r"y_perm must be \[0, 1, 2, 3\] or \[0, 2"),
    "perm-1-d": ("max-sequence", {"x_perm": [0, 3, 1, 2]}, "x_perm has 4 values, expected 3"),
    "average-perm": ("average", {"y_perm": None}, "attribute y_perm is missing"),
    "average-rank": ("average", {"x_perm": [0, 1]}, "attribute x_perm has 2 values, expected 4"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_node_is_refused_with_its_name_and_reason(library: str, name: str) -> None:
    case, attributes, message = BROKEN[name]
    broken = CASES[case].saying(**attributes)
    with pytest.raises(Exception, match=f"{broken.op_type} 'the node': .*{message}"):
        session(build(broken, body=False), native=True)


def test_average_scales_too_far_apart_are_refused(library: str) -> None:
    broken = CASES["average"].having(y_scale=np.array(1e-9, f32))
    with pytest.raises(Exception, match=r"x_scale must be below 2\^20 \* y_scale, got 0.02 and"):
        session(build(broken, body=False), native=True)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("max-stem", (1, 9, 64), "rank 3|Invalid rank"),
        ("max-stem", (1, 0, 9, 64), "input x is 0 x 9 pixels, too few for the kernel"),
        ("max-stem", (1, 9, 9, 0), "input x has 0 channels, expected 1 to 1048576"),
        ("max-everything", (1, 4, 9, 3), "input x is 4 x 9 pixels, too few for the kernel"),
        ("average", (1, 0, 9, 64), r"input x is \[1, 0, 9, 64\], expected channels, and pixels"),
        ("average", (1, 9, 9, 0), r"input x is \[1, 9, 9, 0\], expected channels, and pixels"),
    ],
)
def test_wrong_input_is_refused_and_the_session_lives_on(
    library: str, name: str, shape: tuple[int, ...], message: str
) -> None:
    made = session(build(CASES[name], body=False), native=True)
    with pytest.raises(Exception, match=message):
        made.run(None, {"x": np.zeros(shape, np.uint8)})
    np.testing.assert_array_equal(made.run(None, CASES[name].feeds())[0], expected(CASES[name]))
