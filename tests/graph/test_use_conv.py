"""The parameter-free shortcut of residual networks becomes a convolution."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze.graph.passes.clean import clean
from squeeze.graph.passes.use_conv import use_conv
from tests.graph.small import floats, model, node, ops, run

INT_MAX = 2**63 - 1


def shortcut(*, start: int = 0, before: int = 2, split: bool = True):
    """x[:, :, start::2, start::2] with zero channels before and after, as one Slice or as two."""
    slices = [node("Slice", ["x", "start", "end", "rows", "step"], ["s"])]
    if split:
        slices.append(node("Slice", ["s", "start", "end", "columns", "step"], ["t"]))
    constants = {
        "start": np.asarray([start], np.int64),
        "end": np.asarray([INT_MAX], np.int64),
        "rows": np.asarray([2], np.int64),
        "columns": np.asarray([-1], np.int64),
        "step": np.asarray([2], np.int64),
        "pads": np.asarray([0, before, 0, 0, 0, 3, 0, 0], np.int64),
    }
    last = "t" if split else "s"
    return model([*slices, node("Pad", [last, "pads"], ["y"])], constants, (4, 6, 6))


@pytest.mark.parametrize("split", [True, False], ids=["rows-and-columns", "rows"])
def test_strided_slice_and_channel_pad(split: bool) -> None:
    graph = shortcut(split=split)
    x = floats(2, 4, 6, 6)
    expected = x[:, :, ::2, ::2] if split else x[:, :, ::2, :]
    expected = np.pad(expected, ((0, 0), (2, 3), (0, 0), (0, 0)))
    np.testing.assert_array_equal(run(graph, x), expected)
    assert use_conv(graph)
    clean(graph)
    assert ops(graph) == ["Conv"]
    np.testing.assert_array_equal(run(graph, x), expected)


def test_slice_from_the_second_row_is_left_alone() -> None:
    assert not use_conv(shortcut(start=1))


def test_cropped_channels_are_left_alone() -> None:
    assert not use_conv(shortcut(before=-1))


def test_pad_without_slice_is_left_alone() -> None:
    graph = model(
        [node("Pad", ["x", "pads"], ["y"])],
        {"pads": np.asarray([0, 1, 0, 0, 0, 1, 0, 0], np.int64)},
        (4, 6, 6),
    )
    assert not use_conv(graph)
