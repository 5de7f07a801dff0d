"""Images whose pixels do not fit the arithmetic of kernels are refused with words, before memory is taken for them.

Large inputs are files with holes that nobody reads: they have addresses, but take no memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.ops import any_op, codebook_model, qconv_model
from tests.ops.node_model import Array, Node, build, session

OPS = tuple(op for op in any_op.OPS if "Conv" in op or op == "QMaxPool")
SIDE = 1 << 15
# Strides up to 2^20, whose product is 1 in 32 bits.
WRAPPING = (411849, 20857)


def image_node(op_type: str, rank: int) -> Node:
    """A valid node for channels-last images with few channels."""
    for seed in range(10_000):
        rng = np.random.default_rng(seed)

        def draw(low: int, high: int, rng: np.random.Generator = rng) -> int:
            return int(rng.integers(low, high + 1))

        node = any_op.random_node(op_type, draw)
        x = node.inputs["x"]
        if x.ndim == rank and x.shape[-1] <= 2 and node.attributes["x_perm"][1] == rank - 1:
            return node
    raise AssertionError(f"no {op_type} of rank {rank} was drawn")


def unread(node: Node, folder: Path, *sides: int) -> Array:
    """An x of these sides for `node`."""
    given = node.inputs["x"]
    path = folder / "holes"
    shape = (1, *sides, given.shape[-1])
    with path.open("wb") as file:
        file.truncate(int(np.prod(shape, dtype=np.int64)) * given.itemsize)
    return np.memmap(path, given.dtype, "r", shape=shape)


def refusal(node: Node, x: Array, **attributes: Any) -> str:  # Any: attributes of every kind
    made = session(build(node.saying(**attributes), body=False), native=True)
    with pytest.raises(Exception, match=f"{node.op_type} 'the node'") as refused:
        made.run(None, {**node.feeds(), "x": x})
    return str(refused.value)


@pytest.mark.parametrize("op_type", OPS)
def test_more_pixels_than_fit_are_refused(library: str, op_type: str, tmp_path: Path) -> None:
    node = image_node(op_type, 4)
    x = unread(node, tmp_path, SIDE, SIDE + 1)
    said = refusal(node, x, strides=[SIDE, SIDE])  # few results: the input alone is too large
    assert f"input x is {SIDE} x {SIDE + 1} pixels" in said
    assert f"expected sides up to {1 << 20} and at most {1 << 30} pixels" in said


@pytest.mark.parametrize("op_type", OPS)
def test_a_side_beyond_the_limit_is_refused(library: str, op_type: str, tmp_path: Path) -> None:
    node = image_node(op_type, 3)
    said = refusal(node, unread(node, tmp_path, (1 << 20) + 1))
    assert f"input x is 1 x {(1 << 20) + 1} pixels, expected sides up to {1 << 20}" in said


@pytest.mark.parametrize("pad", [SIDE // 2 + 16, 1 << 20])
@pytest.mark.parametrize("op_type", [op for op in OPS if op != "QMaxPool"])
def test_pads_that_make_too_many_pixels_are_refused(library: str, op_type: str, pad: int) -> None:
    node = image_node(op_type, 4)
    said = refusal(node, node.inputs["x"], pads=[pad] * 4, strides=[1, 1])
    assert f"expected at most {1 << 30}; pads are too large" in said


def test_strides_whose_product_wraps_to_one_are_no_strides_of_one(library: str) -> None:
    shape, weights = (1, 8, 1, WRAPPING[1] + 1), (16, 8, 1, 1)
    integer = qconv_model.random_case(1, shape, 16, (1, 1), strides=WRAPPING)
    np.testing.assert_array_equal(
        qconv_model.run(integer, native=True), qconv_model.expected(integer)
    )
    real = codebook_model.random_case(1, shape, weights, strides=WRAPPING)
    np.testing.assert_allclose(
        codebook_model.run(real, native=True), codebook_model.expected(real), rtol=1e-5, atol=1e-5
    )
