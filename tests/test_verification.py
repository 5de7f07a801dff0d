"""What may differ is what quantisation did, no more: worked by hand."""

from __future__ import annotations

import numpy as np

from squeeze.verification import Golden, compare

FLOATS = np.array([[4.0, 1.0, 0.0, -1.0], [0.0, 3.0, 1.0, 1.0]])
# Quantisation moved every number by 0.1.
EXPECTED = FLOATS + 0.1


def test_less_than_what_quantisation_did_is_the_same() -> None:
    check = compare("x", EXPECTED, EXPECTED + 0.09, FLOATS)
    assert check.ok
    assert "same top-1 on 2 of 2" in check.found


def test_vectors_have_no_best_class_but_a_direction() -> None:
    # Of the first sample 3 and 4 become 4 and 3: its cosine is 24 / 25; the second one is the same.
    expected = np.array([[3.0, 4.0], [1.0, 0.0]])
    got = np.array([[4.0, 3.0], [1.0, 0.0]])
    check = compare("x", expected, got, expected + 2, vector=True)
    assert check.ok
    assert check.found.endswith("), cosine with the stored ones at least 0.9600")
    assert "top-1" not in check.found


def test_classes_that_are_as_near_as_the_outputs_may_move_are_told_as_such() -> None:
    near = np.array([[1.0, 1.01], [2.0, 2.01]])
    check = compare("x", near, near, near + 1)
    assert check.ok
    assert (
        "top-1 not compared: on each of 2 samples the two best are nearer than that" in check.found
    )


def test_more_than_what_quantisation_did_is_not() -> None:
    assert not compare("x", EXPECTED, EXPECTED + 0.11, FLOATS).ok


def test_float_file_may_move_by_the_order_of_additions_alone() -> None:
    assert compare("x", FLOATS, FLOATS * (1 + 1e-4), FLOATS).ok
    assert not compare("x", FLOATS, FLOATS * (1 + 1e-2), FLOATS).ok


def test_one_bad_sample_among_many_is_found() -> None:
    got = np.repeat(EXPECTED, 50, axis=0)
    got[17] += 1.0
    assert not compare("x", np.repeat(EXPECTED, 50, axis=0), got, np.repeat(FLOATS, 50, axis=0)).ok


def test_nan_and_another_shape_are_no_match() -> None:
    assert not compare("x", EXPECTED, np.full_like(EXPECTED, np.nan), FLOATS).ok
    check = compare("x", EXPECTED, EXPECTED[:, :3], FLOATS)
    assert not check.ok
    assert "(2, 3), stored (2, 4)" in check.found


def test_integers_may_change_where_quantisation_changed_some() -> None:
    floats = np.array([1, 2, 3, 4])
    expected = np.array([1, 2, 3, 5])
    assert compare("x", expected, np.array([1, 2, 3, 4]), floats).ok
    assert not compare("x", expected, np.array([0, 2, 3, 4]), floats).ok
    assert not compare("x", floats, np.array([1, 2, 3, 5]), floats).ok


def test_golden_arrays_are_read_back_under_any_name() -> None:
    known = Golden({"in/put.1": FLOATS}, {"y:0": EXPECTED}, {"y:0": FLOATS})
    again = Golden.read(known.arrays())
    assert list(again.inputs) == ["in/put.1"]
    np.testing.assert_array_equal(again.outputs["y:0"], EXPECTED)
    np.testing.assert_array_equal(again.floats["y:0"], FLOATS)
