"""Which shapes a model with open sizes is run at: asked for, hinted at by the file, or round numbers."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze.errors import ConfigError
from squeeze.runtimes.shapes import shapes_of
from squeeze.runtimes.signature import Input

IMAGE = Input("x", np.dtype("float32"), ("batch", 3, "height", "width"))
LAST = Input("x", np.dtype("float32"), ("N", "h", "w", 3))
IDS = Input("ids", np.dtype("int64"), ("batch", "seq"))
MASK = Input("mask", np.dtype("int64"), ("batch", "seq"))
RATE = Input("sr", np.dtype("int64"), ())
WAVE = Input("audio", np.dtype("float32"), ("batch", "samples"))
STATE = Input("state", np.dtype("float32"), (2, "batch", 128))


@pytest.mark.parametrize(
    ("hints", "wanted"),
    [
        ({}, (224, 224)),
        ({"imgsz": "[640, 480]"}, (640, 480)),
        ({"input_size": "320"}, (320, 320)),
        ({"input_shape": "1,3,96,128"}, (96, 128)),
        ({"imgsz": "none", "stride": "32"}, (224, 224)),
        ({"imgsz": "99999999999"}, (224, 224)),
    ],
)
def test_images_have_the_size_that_the_file_hints_at(
    hints: dict[str, str], wanted: tuple[int, int]
) -> None:
    found, said = shapes_of([IMAGE], {}, hints)
    assert found == {"x": (1, 3, *wanted)}
    assert "height, width may vary" in said[0]
    found, _ = shapes_of([LAST], {}, hints)
    assert found == {"x": (1, *wanted, 3)}


def test_texts_are_no_longer_than_the_model_takes() -> None:
    ids = [Input("ids", np.dtype(np.int64), ("batch", "t"))]
    assert shapes_of(ids, {}, {"max_position_embeddings": "38"})[0] == {"ids": (1, 38)}
    assert shapes_of(ids, {}, {"max_position_embeddings": "512"})[0] == {"ids": (1, 128)}


def test_sizes_of_one_name_are_one_size() -> None:
    found, said = shapes_of([IDS, MASK], {"mask": (2, 32)}, {})
    assert found == {"ids": (2, 32), "mask": (2, 32)}
    assert said == ()
    found, said = shapes_of([IDS, MASK], {}, {})
    assert found == {"ids": (1, 128), "mask": (1, 128)}
    assert len(said) == 1


def test_a_waveform_with_state_and_rate_needs_no_word() -> None:
    found, said = shapes_of([WAVE, STATE, RATE], {}, {})
    assert found == {"audio": (1, 16_000), "state": (2, 1, 128), "sr": ()}
    assert len(said) == 1


def test_sizes_without_a_name_are_one_size_only_where_they_are_the_batch() -> None:
    """As `signature` calls them: by their axis."""
    kind = np.dtype("float32")
    wave, cell = Input("wave", kind, ("dim0", "dim1")), Input("cell", kind, (2, "dim1", 128))
    other = Input("other", kind, ("dim0", 5))
    found, _ = shapes_of([wave, cell, other], {"wave": (3, 512)}, {})
    assert found["other"] == (3, 5)
    assert found["cell"][1] != 512


def test_a_shape_without_a_name_is_for_all_inputs_with_as_many_axes() -> None:
    found, _ = shapes_of([IDS, MASK, STATE], {"": (1, 7)}, {})
    assert found == {"ids": (1, 7), "mask": (1, 7), "state": (2, 1, 128)}
    with pytest.raises(ConfigError, match="--shape 1x7x7x7: input 'ids' takes"):
        shapes_of([IDS, MASK], {"": (1, 7, 7, 7)}, {})
    with pytest.raises(ConfigError, match="input 'x' takes"):
        shapes_of([IMAGE], {"x": (1, 4, 32, 32)}, {})


@pytest.mark.parametrize("open_size", [-1, 0])
def test_numbers_below_one_are_sizes_that_may_vary(open_size: int) -> None:
    image = Input("x", np.dtype("float32"), (open_size, 3, open_size, open_size))
    assert shapes_of([image], {}, {})[0] == {"x": (1, 3, 224, 224)}
