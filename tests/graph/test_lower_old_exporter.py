"""Lowering of a BERT that torch's older exporter wrote and ONNX Runtime's static quantiser quantised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from squeeze import graph, runtimes
from squeeze.graph.agreement import objector
from squeeze.graph.lower import made
from squeeze.note import Note
from tests.graph.old_exporter import Feed, feeds, quantised

# One layer: products of attention and of the layer behind it, of which one has Gelu; the sums are those of the
# embeddings and behind both.
WHOLE = {"QGemm": 6, "QAttention": 1, "QAddNorm": 3}
pytestmark = pytest.mark.filterwarnings("ignore")


def lowered(path: Path) -> tuple[Path, dict[str, int], list[Note]]:
    """The lowered file beside `path`, which may stand for it; what was made; the notes."""
    model = graph.load(path)
    result, notes = graph.lower(model)
    target = path.with_name("lowered.onnx")
    graph.save(result, target)
    assert objector(model, path, feeds(2, seed=1))(target) is None
    return target, made(result), notes


def states(path: Path, feed: Feed, *, native: bool) -> np.ndarray:
    found: np.ndarray = runtimes.session(path, native=native).run(None, feed)[0]
    return found


@pytest.mark.parametrize(
    ("opset", "prepared"), [(17, False), (17, True), (14, True)], ids=["17", "17-prepared", "14"]
)
def test_all_is_lowered_where_everything_was_quantised(
    tmp_path: Path, opset: int, *, prepared: bool
) -> None:
    path = quantised(tmp_path, "eager", opset, prepared=prepared)
    target, counts, notes = lowered(path)
    assert counts == WHOLE
    # A mask of -3e38 set the steps of the scores, which are 0 in the file as in the lowered one.
    assert any("weigh all keys alike" in note.why for note in notes if note.kept)
    masked_keys_are_not_read(target)


def masked_keys_are_not_read(path: Path) -> None:
    feed = feeds(1, seed=2)[0]
    hidden = feed["attention_mask"] == 0
    other = feed | {"input_ids": np.where(hidden, 7, feed["input_ids"])}
    assert (other["input_ids"] != feed["input_ids"]).any()
    for native in (True, False):
        a, b = (states(path, one, native=native) for one in (feed, other))
        np.testing.assert_array_equal(a[~hidden], b[~hidden])


def test_all_is_lowered_where_products_were_quantised(tmp_path: Path) -> None:
    path = quantised(tmp_path, "eager", 17, op_types_to_quantize=["MatMul"])
    target, counts, notes = lowered(path)
    # Nothing quantises the last normalisation.
    assert (counts["QAttention"], counts["QAddNorm"]) == (1, 2)
    assert not any("weigh all keys alike" in note.why for note in notes)
    masked_keys_are_not_read(target)


@pytest.mark.parametrize("prepared", [False, True])
def test_mask_that_was_never_seen_is_as_little_a_mask_as_in_the_file(
    tmp_path: Path, *, prepared: bool
) -> None:
    path = quantised(tmp_path, "sdpa", 17, prepared=prepared, padded=False)
    assert lowered(path)[1] == WHOLE


def test_scores_without_steps_are_left_and_the_notes_say_why(tmp_path: Path) -> None:
    """A mask of -inf gives steps that are infinite."""
    path = quantised(tmp_path, "sdpa", 17)
    _, counts, notes = lowered(path)
    assert counts["QAddNorm"] == 3
    assert "QAttention" not in counts
    assert any("steps that are no number" in note.why for note in notes if not note.kept)
